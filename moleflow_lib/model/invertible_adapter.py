"""The deep invertible adapter: a small flow of one task behind the shared blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["AffineCoupling", "DeepInvertibleAdapter"]


class AffineCoupling(nn.Module):
    """One affine coupling step: y₂ = x₂·exp(s(x₁)) + t(x₁), y₁ = x₁, with s = c·tanh(s/c).

    s and t are separate MLPs D/2 → D/2 → D/2 → D/2 whose last layer is zero, so the step starts as
    the exact identity (Dinh et al. 2017).

    Args:
        dim: D, even.
        swapped: whether the second half conditions the first.
        clamp: c.
        compute: what the MLPs' products are made in; None: in whatever their weights are.
    """

    def __init__(
        self, dim: int, swapped: bool, clamp: float = 1.9, compute: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.swapped, self.clamp = swapped, clamp
        self.scale, self.shift = (_zero_ended_mlp(dim // 2, compute) for _ in range(2))

    def forward(self, x: torch.Tensor, reverse: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(..., D) → (..., D) and the log-determinant (...), nats; `reverse` inverts both."""
        first, second = x.chunk(2, dim=-1)
        passive, active = (second, first) if self.swapped else (first, second)
        s = self.clamp * torch.tanh(self.scale(passive).to(x.dtype) / self.clamp)
        t = self.shift(passive).to(x.dtype)
        active = (active - t) * torch.exp(-s) if reverse else (active * torch.exp(s)).add_(t)
        halves = (active, passive) if self.swapped else (passive, active)
        log_det = s.sum(dim=-1)
        return torch.cat(halves, dim=-1), -log_det if reverse else log_det


class DeepInvertibleAdapter(nn.Module):
    """A small flow of one task behind the shared one: coupling steps with alternating halves.

    Args:
        dim: D, even.
        blocks: number of coupling steps.
        compute: see `AffineCoupling`.

    >>> adapter, z = DeepInvertibleAdapter(4, blocks=2), torch.ones(1, 4)
    >>> bool(torch.equal(adapter(z)[0], z))
    True
    """

    def __init__(self, dim: int, blocks: int = 2, compute: torch.dtype | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            AffineCoupling(dim, swapped=i % 2 == 1, compute=compute) for i in range(blocks)
        )

    def forward(self, x: torch.Tensor, reverse: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """(..., D) → (..., D) and the log-determinant (...), nats; `reverse` inverts both."""
        total = x.new_zeros(x.shape[:-1])
        for block in reversed(self.blocks) if reverse else self.blocks:
            x, log_det = block(x, reverse)
            total = total + log_det
        return x, total


class _Linear(nn.Linear):
    """A square linear layer; its product may be made in another precision than its weights are kept in."""

    def __init__(self, dim: int, compute: torch.dtype | None) -> None:
        super().__init__(dim, dim)
        self.compute = compute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        operands = x, self.weight, self.bias
        return F.linear(*(operand.to(self.compute or operand.dtype) for operand in operands))


def _zero_ended_mlp(dim: int, compute: torch.dtype | None) -> nn.Sequential:
    first, second, last = (_Linear(dim, compute) for _ in range(3))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True), last)
