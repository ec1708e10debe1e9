"""Linear layers with a low-rank update and a bias per task, and the coupling subnet made of them.

LoRA: Hu et al. 2021. The shared weight is trained with the first task and frozen afterwards.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["LoRALinear", "MoLESubnet"]


class LoRALinear(nn.Module):
    """h(x) = (W + α/r · B_t A_t) x + b + b_t for the active task t.

    The low-rank product is added to W before W meets the data: with N patches a step, B·A costs
    r·in·out operations where applying A and B to the patches would cost N·r·(in + out).

    Args:
        in_features: width of x.
        out_features: width of h.
        rank: r.
        alpha: α; the update is scaled by α/r.
        use_lora: whether tasks get A and B.
        use_task_bias: whether tasks get b_t.

    >>> layer = LoRALinear(3, 2, rank=1, alpha=1.0)
    >>> layer.add_task(0); layer.activate(0)
    >>> bool(torch.equal(layer(torch.ones(1, 3)), layer.base(torch.ones(1, 3))))
    True
    """

    def __init__(
        self, in_features: int, out_features: int, *, rank: int, alpha: float,
        use_lora: bool = True, use_task_bias: bool = True,
    ) -> None:
        super().__init__()
        self.base = nn.Linear(in_features, out_features)
        self.rank, self.scaling = rank, alpha / rank
        self.use_lora, self.use_task_bias = use_lora, use_task_bias
        self.lora_A, self.lora_B, self.task_bias = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        self._active: str | None = None
        self._merged: tuple[torch.Tensor, torch.Tensor] | None = None

    def add_task(self, task: int) -> None:
        """Give a task its A (Xavier uniform), B (zero) and bias (zero): at first it changes nothing."""
        like = self.base.weight
        if self.use_lora:
            down = nn.Parameter(like.new_empty(self.rank, self.base.in_features))
            self.lora_A[str(task)] = nn.Parameter(nn.init.xavier_uniform_(down))
            self.lora_B[str(task)] = nn.Parameter(like.new_zeros(self.base.out_features, self.rank))
        if self.use_task_bias:
            self.task_bias[str(task)] = nn.Parameter(like.new_zeros(self.base.out_features))

    def activate(self, task: int | None, merge: bool = False) -> None:
        """Choose whose update acts; `merge` computes the sum once, for inference."""
        self._active, self._merged = None if task is None else str(task), None
        if merge:
            with torch.no_grad():
                self._merged = self.effective()

    def effective(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight (out, in) and bias (out,) of the plain linear layer that the active task amounts to."""
        weight, bias = self.base.weight, self.base.bias
        if self._active in self.lora_A:
            weight = weight + self.scaling * (self.lora_B[self._active] @ self.lora_A[self._active])
        if self._active in self.task_bias:
            bias = bias + self.task_bias[self._active]
        return weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) → (N, out)."""
        return F.linear(x, *(self._merged or self.effective()))


class MoLESubnet(nn.Module):
    """Coupling subnet: LoRALinear(in → 2·in) → ReLU → LoRALinear(2·in → out)."""

    def __init__(self, dims_in: int, dims_out: int, **lora: object) -> None:
        super().__init__()
        self.layer1 = LoRALinear(dims_in, 2 * dims_in, **lora)
        self.layer2 = LoRALinear(2 * dims_in, dims_out, **lora)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) → (N, out)."""
        return self.layer2(F.relu(self.layer1(x)))
