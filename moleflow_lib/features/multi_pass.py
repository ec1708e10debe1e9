"""Multi-pass feature extraction: a frozen network looks at shifted crops, so that patches overlap.

Every pass costs a whole run of the network, so `overlap` 2 takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

__all__ = ["overlapping_features"]


def overlapping_features(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, patch: int, overlap: int
) -> torch.Tensor:
    """Features on a grid that is `overlap` times as fine, from crops shifted by parts of a patch.

    Args:
        network: maps (B, 3, S, S) to (B, H, W, D).
        images: (B, 3, S, S); mirrored at the border.
        patch: S / H, pixels; a multiple of `overlap`.
        overlap: passes along each side; 1 is a single pass.

    Returns:
        (B, overlap·H, overlap·W, D).
    """
    if overlap == 1:
        return network(images)
    side = images.shape[-1]
    step = patch // overlap
    margin = patch // 2
    starts = [margin + i * step - (patch - step) // 2 for i in range(overlap)]  # centred, to half a pixel
    padded = F.pad(images, (margin, margin, margin, margin), mode="reflect")
    passes = [[network(padded[..., y : y + side, x : x + side]) for x in starts] for y in starts]
    fine = torch.stack([torch.stack(row, dim=3) for row in passes], dim=2)  # (B, H, overlap, W, overlap, D)
    return fine.flatten(3, 4).flatten(1, 2)
