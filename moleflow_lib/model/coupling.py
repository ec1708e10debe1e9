"""FrEIA's coupling block with its permutation as an index: the only file that knows FrEIA.

FrEIA 0.2 stores a hard permutation as a dense D×D matrix of parameters and multiplies by it.
Gathering by index is the same function, costs no multiplication, and leaves only what is trained
to be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import nn

from moleflow_lib.model.lora import MoLESubnet

__all__ = ["IndexPermutedBlock", "build_coupling_flow"]

_CLAMPING = 1.9  # bound of each coupling's log-scale, nats


class IndexPermutedBlock(AllInOneBlock):
    """AllInOneBlock with SOFTPLUS global affine and a hard permutation held as an index buffer.

    y = gather(Ψ(s)·coupling(x) + o), with coupling scale exp(c·tanh(0.1·a)); same values as the
    parent to float accuracy (Kingma & Dhariwal 2018; Ardizzone et al. 2018).
    """

    w_perm: torch.Tensor
    order: torch.Tensor
    inverse_order: torch.Tensor

    def __init__(
        self,
        dims_in: list,
        dims_c: Sequence = (),
        *,
        subnet_constructor: Callable[[int, int], nn.Module],
        affine_clamping: float,
        global_affine_type: str = "SOFTPLUS",
        permute_soft: bool = False,
    ) -> None:
        super().__init__(
            dims_in,
            list(dims_c),
            subnet_constructor=subnet_constructor,
            affine_clamping=affine_clamping,
            global_affine_type=global_affine_type,
            permute_soft=permute_soft,
        )
        order = self.w_perm.detach().argmax(dim=1)
        del self.w_perm, self.w_perm_inv
        self.register_buffer("order", order)
        self.register_buffer("inverse_order", order.argsort())

    def _permute(self, x: torch.Tensor, rev: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.global_scale_activation(self.global_scale)
        log_det = scale.log().sum()
        if rev:
            return (x.index_select(1, self.inverse_order) - self.global_offset) / scale, log_det
        return (x * scale).add_(self.global_offset).index_select(1, self.order), log_det


def build_coupling_flow(
    dim: int,
    layers: int,
    *,
    rank: int,
    alpha: float,
    use_task_bias: bool = True,
    compute: torch.dtype | None = None,
) -> SequenceINN:
    """Stack coupling blocks whose subnets are `MoLESubnet`.

    Args:
        dim: D, even.
        layers: number of blocks; none gives the identity.
        rank: of the low-rank updates, see `LoRALinear`.
        alpha: scales them.
        use_task_bias: whether tasks get biases.
        compute: what products are made in, see `LoRALinear`.

    Returns:
        A flow that maps (N, D) to (N, D) and log-det (N,), nats. Permutations come from NumPy's
        global generator, so seed it before.
    """

    def subnet(dims_in: int, dims_out: int) -> MoLESubnet:
        return MoLESubnet(
            dims_in, dims_out, rank=rank, alpha=alpha, use_task_bias=use_task_bias, compute=compute
        )

    flow = SequenceINN(dim)
    for _ in range(layers):
        flow.append(
            IndexPermutedBlock,
            subnet_constructor=subnet,
            affine_clamping=_CLAMPING,
            global_affine_type="SOFTPLUS",
            permute_soft=False,
        )
    return flow
