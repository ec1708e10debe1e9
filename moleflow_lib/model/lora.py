"""Linear layers with a low-rank update and a bias per task, and the coupling subnet made of them.

LoRA: Hu et al. 2021. The shared weight is trained with the first task and frozen afterwards.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from moleflow_lib.model.cache import TensorCache

__all__ = ["LoRALinear", "LoRAUpdate", "MoLESubnet"]


class LoRAUpdate(nn.Module):
    """What one task adds to one linear layer: A (r, in), B (out, r), a bias (out,); each may be left out."""

    lora_A: nn.Parameter | None
    lora_B: nn.Parameter | None
    task_bias: nn.Parameter | None

    def __init__(
        self, lora_A: torch.Tensor | None, lora_B: torch.Tensor | None, task_bias: torch.Tensor | None
    ) -> None:
        super().__init__()
        for name, values in (("lora_A", lora_A), ("lora_B", lora_B), ("task_bias", task_bias)):
            self.register_parameter(name, None if values is None else nn.Parameter(values))


class LoRALinear(nn.Module):
    """h(x) = (W + α/r · B_t A_t) x + b + b_t for the active task t.

    The low-rank product is added to W before W meets the data: with N patches a step, B·A costs
    r·in·out operations where applying A and B to the patches would cost N·r·(in + out).

    Args:
        in_features: width of x.
        out_features: width of h.
        rank: r; 0: tasks get no A and B.
        alpha: α; the update is scaled by α/r.
        use_task_bias: whether tasks get b_t.
        compute: what the product with the data is made in, and h(x) comes in; None: in whatever W and x are.

    >>> layer = LoRALinear(3, 2, rank=1, alpha=1.0)
    >>> layer.activate(layer.new_update())
    >>> bool(torch.equal(layer(torch.ones(1, 3)), layer.base(torch.ones(1, 3))))
    True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        rank: int,
        alpha: float,
        use_task_bias: bool = True,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.base = nn.Linear(in_features, out_features)
        self.rank = rank
        self.scaling = alpha / max(rank, 1)
        self.use_task_bias = use_task_bias
        self.compute = compute
        self._active: tuple[LoRAUpdate, ...] = ()  # in a tuple, so that a task's values stay the task's
        self._merged: tuple[torch.Tensor, torch.Tensor] | None = None
        self._kept: TensorCache[tuple[torch.Tensor, torch.Tensor]] = TensorCache()

    def new_update(self) -> LoRAUpdate:
        """A (Xavier uniform), B (zero) and bias (zero) of a new task: at first they change nothing."""
        like = self.base.weight
        down, up, bias = None, None, None
        if self.rank:
            down = nn.init.xavier_uniform_(like.new_empty(self.rank, self.base.in_features))
            up = like.new_zeros(self.base.out_features, self.rank)
        if self.use_task_bias:
            bias = like.new_zeros(self.base.out_features)
        return LoRAUpdate(down, up, bias)

    def activate(self, update: LoRAUpdate | None, merge: bool = False) -> None:
        """Choose whose update acts, None for no task's; `merge` computes the sum once, for inference, and
        keeps it for the tasks used last.
        """
        self._active = () if update is None else (update,)
        sources = [tensor for module in (self.base, *self._active) for tensor in module.parameters()]
        self._merged = self._kept(sources, self._at_work) if merge else None

    def effective(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight (out, in) and bias (out,) of the plain linear layer that the active task amounts to."""
        weight = self.base.weight
        bias = self.base.bias
        for update in self._active:
            if update.lora_A is not None and update.lora_B is not None:
                weight = weight + self.scaling * (update.lora_B @ update.lora_A)
            if update.task_bias is not None:
                bias = bias + update.task_bias
        return weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) → (N, out)."""
        weight, bias = self._merged or self._at_work()
        return F.linear(x.to(self.compute or x.dtype), weight, bias)

    def _at_work(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias = self.effective()
        return weight.to(self.compute or weight.dtype), bias.to(self.compute or bias.dtype)


class MoLESubnet(nn.Module):
    """Coupling subnet: LoRALinear(in → 2·in) → ReLU → LoRALinear(2·in → out)."""

    def __init__(
        self,
        dims_in: int,
        dims_out: int,
        *,
        rank: int,
        alpha: float,
        use_task_bias: bool = True,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        linear = partial(LoRALinear, rank=rank, alpha=alpha, use_task_bias=use_task_bias, compute=compute)
        self.layer1 = linear(dims_in, 2 * dims_in)
        self.layer2 = linear(2 * dims_in, dims_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) → (N, out)."""
        return self.layer2(F.relu(self.layer1(x), inplace=True)).to(x.dtype)
