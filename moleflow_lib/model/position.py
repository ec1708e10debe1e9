"""The two-dimensional sinusoidal positional encoding, added to patch features."""

from __future__ import annotations

import math

import torch
from torch import nn

from moleflow_lib.errors import ConfigError

__all__ = ["PositionalEmbeddingGenerator", "at_least_float32", "positional_encoding_2d"]


def positional_encoding_2d(dim: int, height: int, width: int) -> torch.Tensor:
    """Interleaved sine and cosine of column (x) and row (y) position.

    Channels 4i…4i+3 hold sin x, cos x, sin y, cos y at frequency 10000^(−4i/D) (Vaswani et al.
    2017, in two dimensions).

    Args:
        dim: D, must divide by 4.
        height: H, in patches.
        width: W, in patches.

    Returns:
        (H, W, D) float32, each value in [−1, 1].

    Raises:
        ConfigError: D does not divide by 4.

    >>> positional_encoding_2d(4, 1, 2)[0, 1]
    tensor([0.8415, 0.5403, 0.0000, 1.0000])
    """
    if dim % 4:
        raise ConfigError(
            f"positional encoding needs a feature width that divides by 4, got {dim}; set feature_dim"
        )
    rate = torch.exp(torch.arange(dim // 4) * -(math.log(10000.0) / (dim // 4)))
    x = (torch.arange(width)[:, None] * rate).expand(height, width, dim // 4)
    y = (torch.arange(height)[:, None, None] * rate).expand(height, width, dim // 4)
    return torch.stack([x.sin(), x.cos(), y.sin(), y.cos()], dim=-1).reshape(height, width, dim)


class PositionalEmbeddingGenerator(nn.Module):
    """Adds the positional encoding to patch features; switched off it is the identity."""

    def __init__(self, dim: int, enabled: bool = True) -> None:
        super().__init__()
        self.dim = dim
        self.enabled = enabled
        self._grids: dict[tuple[int, int, torch.device, torch.dtype], torch.Tensor] = {}

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add each patch's position code.

        Args:
            features: (B, H, W, D).

        Returns:
            (B, H, W, D).
        """
        codes = self.codes(features)
        return features if codes is None else features + codes

    def codes(self, features: torch.Tensor) -> torch.Tensor | None:
        """What is added to a grid of features (B, H, W, D): (H, W, D), or None if switched off."""
        if not self.enabled:
            return None
        _, height, width, _ = features.shape
        key = (height, width, features.device, at_least_float32(features))
        if key not in self._grids:
            grid = positional_encoding_2d(self.dim, height, width)
            self._grids[key] = grid.to(features.device, at_least_float32(features))
        return self._grids[key]


def at_least_float32(x: torch.Tensor) -> torch.dtype:
    """The type that numbers of x are computed in: stored features have half the width."""
    return torch.promote_types(x.dtype, torch.float32)
