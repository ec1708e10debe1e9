"""Images and masks brought to the network's square by one explicit policy, the same for both.

* `resize` squeezes to a square; nothing is lost, the aspect ratio is;
* `crop` keeps the centred square of the short side; `cut_defects` says what that costs;
* `pad` scales the long side and fills up: images with their edge colour, masks with "normal".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from moleflow_lib.datasets.images import read_image, read_mask
from moleflow_lib.datasets.records import Record
from moleflow_lib.errors import ConfigError

__all__ = ["RESIZE_POLICIES", "DefectCut", "cut_defects", "fit_square", "load_image", "load_mask"]

RESIZE_POLICIES = ("resize", "crop", "pad")
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, kw_only=True)
class DefectCut:
    """A defect that a resize policy harms."""

    record: Record
    lost: float  # share of its defect pixels outside the kept window, 0 … 1
    gone: bool  # whether no defect pixel is left in the mask at the network's size


def load_image(path: Path, size: int, resize: str = "resize", interpolation: str = "bicubic") -> np.ndarray:
    """Read an image as RGB at the network's input size.

    Args:
        path: 8-bit image file; it is turned as its EXIF orientation says, grey becomes three equal
            channels, a palette its colours.
        size: side of the square output in pixels.
        resize: `resize`, `crop` or `pad`, see the module.
        interpolation: `bilinear`, `bicubic`, `lanczos` or `nearest`.

    Returns:
        (size, size, 3) uint8.

    Raises:
        DataError: the file cannot be read as an image, is 16-bit, or has transparent pixels.
        ConfigError: the policy or interpolation is unknown.
    """
    if interpolation not in _FILTERS:
        raise ConfigError(f"interpolation: expected one of {', '.join(_FILTERS)}, got {interpolation!r}")
    return np.asarray(fit_square(read_image(path), size, resize, _FILTERS[interpolation]))


def load_mask(path: Path, size: int, resize: str = "resize") -> np.ndarray:
    """Read a defect mask at the evaluation size, resized by nearest neighbour.

    Any value above zero is defect; in a lossy file, what is brighter than half (see `images`).

    Returns:
        (size, size) bool.

    Raises:
        DataError: the file cannot be read as a mask.
        ConfigError: the policy is unknown.
    """
    return _fit_mask(read_mask(path), size, resize)


def fit_square(
    image: Image.Image, size: int, resize: str, resampling: Image.Resampling, *, edge: bool = True
) -> Image.Image:
    """Bring an image to `size` x `size` under the named policy.

    Args:
        image: of any size.
        size: side of the square output in pixels.
        resize: `resize`, `crop` or `pad`.
        resampling: Pillow's filter.
        edge: whether padding repeats the edge (images) or is zero (masks).

    Raises:
        ConfigError: the policy is unknown.

    >>> fit_square(Image.new("L", (40, 20)), 10, "pad", Image.Resampling.BOX).size
    (10, 10)
    """
    if resize not in RESIZE_POLICIES:
        raise ConfigError(f"resize: expected one of {', '.join(RESIZE_POLICIES)}, got {resize!r}")
    if resize != "pad":
        return image.resize((size, size), resampling, box=_kept_box(*image.size, resize))
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = np.asarray(image.resize((width, height), resampling))
    top = (size - height) // 2
    left = (size - width) // 2
    around = [(top, size - height - top), (left, size - width - left)] + [(0, 0)] * (pixels.ndim - 2)
    return Image.fromarray(np.pad(pixels, around, mode="edge" if edge else "constant"))


def cut_defects(records: Iterable[Record], size: int, resize: str) -> tuple[DefectCut, ...]:
    """Find defects that lose pixels outside the kept window, or vanish at the network's size.

    Args:
        records: any records; those without a mask are passed over.
        size: side of the square mask in pixels.
        resize: `resize`, `crop` or `pad`.

    Raises:
        DataError: a mask cannot be read.
    """
    cuts = []
    for record in records:
        if record.mask is None or not (mask := read_mask(record.mask)).any():
            continue
        lost = _share_outside(mask, resize)
        gone = not _fit_mask(mask, size, resize).any()
        if lost > 0 or gone:
            cuts.append(DefectCut(record=record, lost=lost, gone=gone))
    return tuple(cuts)


def _fit_mask(mask: np.ndarray, size: int, resize: str) -> np.ndarray:
    image = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(fit_square(image, size, resize, _FILTERS["nearest"], edge=False)) > 0


def _kept_box(width: int, height: int, resize: str) -> tuple[float, float, float, float]:
    """The window of the original that the output shows: left, top, right, bottom in pixels."""
    if resize != "crop":
        return (0, 0, width, height)
    side = min(width, height)
    left = (width - side) / 2
    top = (height - side) / 2
    return (left, top, left + side, top + side)


def _share_outside(mask: np.ndarray, resize: str) -> float:
    left, top, right, bottom = _kept_box(mask.shape[1], mask.shape[0], resize)
    kept = mask[int(np.ceil(top)) : int(bottom), int(np.ceil(left)) : int(right)]
    return 1.0 - float(kept.sum() / mask.sum())
