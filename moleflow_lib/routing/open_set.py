"""Open-set rejection: an image too far from every task to belong to any of them.

Each task accepts what lies as near to it as its own training images do, when those are held out
(`held_out.held_out_distances`). Distances of training images to a prototype that saw them will not
do: with n < D they are near √(n − 1) whatever the images, and every new image would be refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

__all__ = ["acceptance_limits", "accepted", "excess"]


def acceptance_limits(own: Sequence[torch.Tensor], share: float = 0.95) -> torch.Tensor:
    """The distance up to which each task accepts an image as its own.

    The ⌈(n + 1)·share⌉-th smallest of n held-out distances: a new image of the same kind is refused
    with probability at most 1 − share (split conformal prediction, Vovk et al. 2005). Fewer images
    than share/(1 − share) cannot promise that; the largest distance is taken, and 1 in n + 1 refused.

    Args:
        own: held-out distances (n,) of each task's training images to their own task.
        share: of its own images that a task should accept.

    Returns:
        (T,) limits; infinite where a task has no held-out image, so that it accepts everything.

    >>> acceptance_limits([torch.arange(1.0, 100.0), torch.tensor([3.0, 1.0])], 0.9).tolist()
    [90.0, 3.0]
    """
    return torch.stack([_limit(distances, share) for distances in own])


def accepted(distances: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Whether each image (N, T) lies within the limit of the task it is nearest to, (N,) bool; otherwise none
    of these.
    """
    return distances.amin(dim=1) <= limits[distances.argmin(dim=1)]


def excess(distances: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Distance of each image (N, T) to its nearest task over that task's limit (N,); above 1 = none of these.

    >>> excess(torch.tensor([[6.0, 9.0]]), torch.tensor([3.0, 1.0])).item()
    2.0
    """
    return distances.amin(dim=1) / limits[distances.argmin(dim=1)].clamp_min(1e-12)


def _limit(distances: torch.Tensor, share: float) -> torch.Tensor:
    count = len(distances)
    if count == 0:
        return torch.tensor(torch.inf, dtype=torch.float64)
    rank = min(count, math.ceil(round((count + 1) * share, 9)))
    return distances.double().sort().values[rank - 1]
