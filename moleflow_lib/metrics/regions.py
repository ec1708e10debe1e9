"""Connected defect regions, for the per-region overlap (PRO)."""

from __future__ import annotations

from typing import cast

import numpy as np
from scipy.ndimage import label

__all__ = ["region_weights"]

_EIGHT_NEIGHBOURS = np.zeros((3, 3, 3), dtype=bool)
_EIGHT_NEIGHBOURS[1] = True  # within an image, never from one image to the next


def region_weights(masks: np.ndarray) -> np.ndarray:
    """Weight of each defect pixel so that every region weighs 1, whatever its size.

    Pixels that touch by a side or a corner belong to one region (8-connected), as in MVTec's own
    evaluation code.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (P,) 1 / pixels of the region, in the order of `masks[masks]`.

    >>> masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 1]]], dtype=bool)
    >>> region_weights(masks)
    array([0.5, 0.5, 1. , 1. ])
    """
    marked = masks[masks.any(axis=(1, 2))]  # the others hold no region; leaving them out keeps the order
    regions, _ = cast("tuple[np.ndarray, int]", label(marked, _EIGHT_NEIGHBOURS))
    own = regions[marked]
    return 1.0 / np.bincount(own)[own] if len(own) else np.zeros(0)
