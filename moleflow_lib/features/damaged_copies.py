"""Copies of a task's own photos with damage drawn onto them: how a defect moves the patches beside it.

Attention lets a transformer's intact patches see a defect, so next to one they are no longer what they are in
normal photos. The patches of a copy that its damage does not touch say how they look then, and count as
normal; no test image takes part. Pasting pieces is from Li et al. 2021 (CutPaste) and Zavrtanik et al. 2021
(DRAEM), who train on what is pasted; here only what is left in peace is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from moleflow_lib.storage.keys import digest

__all__ = ["copy_id", "copy_owners", "damaged_copy"]

_VERSION = 1  # raise it when the same photo gives other copies
_MOST = 3  # pieces pasted into a copy
_VISIBLE = 8.0  # grey levels, mean over the colours: what changes less is no damage
_LONG = (0.09, 0.40)  # length of a bar, share of the image's side
_WIDE = (0.01, 0.25)  # its width, drawn on a logarithmic scale
_RADIUS = (0.05, 0.18)  # of the disc that holds a blob


def copy_owners(contents: Sequence[str], copies: int) -> list[tuple[int, int]]:
    """Which photo each copy is of, and its number among that photo's copies, from 1.

    All photos have equally many, give or take one. Who has one more follows from the photos' content, so that
    a photo more leaves the others' copies as they are, but for few.

    Args:
        contents: the SHA-256 of each photo.
        copies: how many in all.

    >>> copy_owners(["0b", "0a"], 3)
    [(1, 1), (0, 1), (1, 2)]
    """
    order = sorted(range(len(contents)), key=contents.__getitem__)
    return [(order[index % len(order)], 1 + index // len(order)) for index in range(copies)]


def copy_id(sha256: str, number: int) -> str:
    """What stands for a photo's copy where its SHA-256 stands for a photo."""
    return digest("damaged copy", _VERSION, sha256, number)


def damaged_copy(photo: np.ndarray, sha256: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Paste one to three pieces of a photo elsewhere into it.

    A piece is turned, moved, its colours swapped, its contrast and brightness changed; a grey photo stays
    grey.

    Args:
        photo: (S, S, 3) uint8.
        sha256: of the photo's file; decides everything that is drawn, together with the number.
        number: of the copy, from 1.

    Returns:
        The copy (S, S, 3) uint8, and its pixels (S, S) bool that the damage touches.

    >>> grey = np.full((32, 32, 3), 90, dtype=np.uint8)
    >>> copy, touched = damaged_copy(grey, "0a", 1)
    >>> bool((copy == grey).all(axis=2)[~touched].mean() > 0.9), bool(touched.any())
    (True, True)
    """
    random = np.random.default_rng([int(sha256, 16), number])
    before = photo.astype(np.float32)
    after = before
    for _ in range(random.integers(1, _MOST + 1)):
        shape = (_bar if random.random() < 0.5 else _blob)(len(photo), random)
        soft = gaussian_filter(shape.astype(np.float32), random.uniform(0.5, 1.5)) * random.uniform(0.4, 1.0)
        after = after + soft[..., None] * (_piece(before, random) - after)
    after = after.clip(0, 255).round()
    change = gaussian_filter(np.abs(after - before).mean(axis=2), 1.5)
    return after.astype(np.uint8), change > _VISIBLE


def _piece(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The photo (S, S, 3) turned, moved and changed, to cut a piece from."""
    turned = np.rot90(photo[:, :: random.choice([-1, 1])], int(random.integers(4)))
    moved = np.roll(turned, random.integers(0, len(photo), 2), axis=(0, 1))
    swapped = moved[..., random.permutation(3)] if random.random() < 0.5 else moved
    mean = swapped.mean(axis=(0, 1))
    return (swapped - mean) * random.uniform(0.5, 1.5) + mean + random.uniform(-60, 60)


def _bar(side: int, random: np.random.Generator) -> np.ndarray:
    """A rectangle (S, S) bool, such as a scratch."""
    along, across = _coordinates(side, random)
    length = side * random.uniform(*_LONG)
    width = side * np.exp(random.uniform(*np.log(_WIDE)))
    return (np.abs(along) < length / 2) & (np.abs(across) < max(width, 1.5) / 2)


def _blob(side: int, random: np.random.Generator) -> np.ndarray:
    """A ragged spot (S, S) bool, at times of several parts."""
    along, across = _coordinates(side, random)
    coarse = random.standard_normal([random.integers(4, 10)] * 2).astype(np.float32)
    noise = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    radius = side * random.uniform(*_RADIUS)
    return noise > 1.5 * (along**2 + across**2) / radius**2 - 0.75


def _coordinates(side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates (S, S) along and across a drawn direction, from a drawn centre."""
    x, y = random.uniform(0.1 * side, 0.9 * side, 2)
    angle = random.uniform(0, np.pi)
    rows, columns = np.mgrid[:side, :side]
    dx = columns - x
    dy = rows - y
    return dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
