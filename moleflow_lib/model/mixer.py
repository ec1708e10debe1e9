"""The spatial context mixer in front of the coupling blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SpatialContextMixer"]


class SpatialContextMixer(nn.Module):
    """Blends each patch with its neighbourhood: (1−g)·x + g·conv(x), depthwise 3×3, zero padding.

    Starts as the 3×3 mean with gate g = sigmoid(0.5); trained with task 0 only.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim, 1, 3, 3), 1 / 9))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.gate = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, H, W, D) → (B, H, W, D)."""
        planes = features.permute(0, 3, 1, 2)
        context = F.conv2d(planes, self.weight, self.bias, padding=1, groups=planes.shape[1])
        return torch.lerp(features, context.permute(0, 2, 3, 1), torch.sigmoid(self.gate))
