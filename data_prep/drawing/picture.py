"""One picture of the demo dataset, and the mask of its defect."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from data_prep.drawing.camera import Camera, expose, to_bytes
from data_prep.drawing.products import PRODUCTS

__all__ = ["picture", "spoilt_picture"]

_VISIBLE = 2.0  # grey levels; what a defect changes by less is left as it was
_AREA = (0.0005, 0.15)  # share of the picture a defect may cover
_TRIES = 40


def picture(key: str, product: str, *, seed: int, size: int) -> np.ndarray:
    """Draw a normal picture.

    Args:
        key: name of the picture; with `seed` it decides every random number in it.
        product: a name in `PRODUCTS`.
        seed: seed of the dataset.
        size: side in pixels.

    Returns:
        (size, size, 3) uint8.

    >>> picture("nut/train/good/000", "nut", seed=0, size=64).shape
    (64, 64, 3)
    """
    piece, camera, _ = _scene(key, product, seed, size)
    return to_bytes(expose(piece.surface, camera), camera)


def spoilt_picture(
    key: str, product: str, defect: str, severity: float, *, seed: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture with a defect: the normal picture of the same key, changed inside the mask alone.

    Args:
        key: name of the picture.
        product: a name in `PRODUCTS`.
        defect: one of the product's defects.
        severity: 0 (hard to see) to 1 (obvious).
        seed: seed of the dataset.
        size: side in pixels.

    Returns:
        The picture (size, size, 3) uint8 and its mask (size, size) bool.
    """
    piece, camera, chances = _scene(key, product, seed, size)
    clean = expose(piece.surface, camera)
    normal = to_bytes(clean, camera)
    for chance in chances.spawn(_TRIES):
        surface = PRODUCTS[product].defects[defect](piece, np.random.default_rng(chance), severity)
        spoilt = expose(surface, camera)
        image = to_bytes(spoilt, camera)
        mask = (np.abs(spoilt - clean).max(axis=-1) >= _VISIBLE) & (image != normal).any(axis=-1)
        if _AREA[0] <= mask.mean() <= _AREA[1]:
            return np.where(mask[..., None], image, normal), mask
    raise RuntimeError(
        f"{key}: no {defect} of severity {severity:.2f} covered between 0.05 % and 15 % of the picture"
    )


def _scene(key: str, product: str, seed: int, size: int) -> tuple[Any, Camera, np.random.SeedSequence]:
    """The piece and the camera of one picture, and the seeds left for its defect."""
    name = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    for_piece, for_camera, for_defect = np.random.SeedSequence([seed, name]).spawn(3)
    piece = PRODUCTS[product].draw(np.random.default_rng(for_piece), size)
    return piece, Camera.draw(np.random.default_rng(for_camera), PRODUCTS[product].rig, size), for_defect
