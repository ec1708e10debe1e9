"""From patch scores to one score an image and one map a pixel grid."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d

__all__ = ["image_scores", "pixel_maps"]


def image_scores(patch_scores: torch.Tensor, k: int = 3) -> torch.Tensor:
    """One anomaly score an image, higher = more anomalous.

    Args:
        patch_scores: (N, H, W).
        k: how many of the highest patches are averaged; 0 averages all.

    Returns:
        (N,).

    >>> image_scores(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), k=2)
    tensor([3.5000])
    """
    flat = patch_scores.flatten(1)
    return flat.topk(min(k, flat.shape[1]) or flat.shape[1], dim=1).values.mean(dim=1)


def pixel_maps(patch_scores: torch.Tensor, size: int, sigma: float = 4.0) -> torch.Tensor:
    """Bilinear enlargement, then Gaussian smoothing with reflected borders.

    Both are linear and separable, so each axis is one small matrix: map = M·scores·Mᵀ.

    Args:
        patch_scores: (N, H, W).
        size: side of the maps in pixels.
        sigma: standard deviation of the Gaussian in pixels; 0 leaves it out.

    Returns:
        (N, size, size) float32.
    """
    rows, columns = (_axis_operator(n, size, sigma).to(patch_scores) for n in patch_scores.shape[1:])
    return rows @ patch_scores @ columns.T


@cache
def _axis_operator(patches: int, size: int, sigma: float) -> torch.Tensor:
    """(size, patches) matrix that enlarges and smooths along one axis."""
    enlarged = F.interpolate(torch.eye(patches)[None], size=size, mode="linear", align_corners=False)[0].T
    return (
        torch.from_numpy(gaussian_filter1d(enlarged.double().numpy(), sigma, axis=0)) if sigma else enlarged
    )
