"""Pixels: images and masks read strictly, and brought to a square by one explicit policy.

Three policies, the same geometry for an image and its mask:

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

from moleflow_lib.errors import ConfigError, DataError
from moleflow_lib.records import Record

__all__ = [
    "IMAGE_SUFFIXES",
    "RESIZE_POLICIES",
    "DefectCut",
    "ImageFault",
    "cut_defects",
    "fit_square",
    "image_size",
    "load_image",
    "load_mask",
    "read_image",
    "read_mask",
    "require_same_size",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
RESIZE_POLICIES = ("resize", "crop", "pad")
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


class ImageFault(DataError):
    """One file cannot be used as an image or mask: what it is, and what to do."""

    def __init__(self, path: Path, kind: str, what: str, todo: str) -> None:
        super().__init__(f"{path} {what}; {todo}")
        self.kind, self.what, self.todo = kind, what, todo


@dataclass(frozen=True, kw_only=True)
class DefectCut:
    """A defect that a resize policy harms."""

    record: Record
    lost: float  # share of its defect pixels outside the kept window, 0 … 1
    gone: bool  # whether no defect pixel is left in the mask at the network's size


def load_image(path: Path, size: int, resize: str = "resize", interpolation: str = "bicubic") -> np.ndarray:
    """Read an image as RGB at the network's input size.

    Args:
        path: 8-bit image file; grey becomes three equal channels, a palette its colours.
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
    """Read a defect mask at the evaluation size: `> 0` is defect, resized by nearest neighbour.

    Returns:
        (size, size) bool.

    Raises:
        DataError: the file cannot be read as an image.
        ConfigError: the policy is unknown.
    """
    mask = Image.fromarray(read_mask(path).astype(np.uint8))
    return np.asarray(fit_square(mask, size, resize, _FILTERS["nearest"], edge=False)) > 0


def read_image(path: Path) -> Image.Image:
    """Decode a whole image to RGB at its own size, refusing what would be read wrongly.

    Raises:
        DataError: unreadable, truncated, 16-bit (its values would be clipped), or transparent
            (its hidden colours would show).
    """
    image = _decode(path, allow_deep=False)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            raise ImageFault(
                path, "transparent", "has transparent pixels, which have no colour", "save it without transparency"
            )
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageFault(path, "mode", f"has the colour mode {image.mode}", "save it as 8-bit RGB") from error


def read_mask(path: Path) -> np.ndarray:
    """Decode a whole mask at its own size; any value above zero is defect, class indices included.

    Returns:
        (height, width) bool. Alpha channels are ignored; palette masks are read by index.

    Raises:
        DataError: unreadable or truncated.
    """
    image = _decode(path, allow_deep=True)
    values = np.asarray(image)
    colours = values.reshape(*values.shape[:2], -1)
    colours = colours[..., :-1] if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") else colours
    return (colours > 0).any(axis=-1)


def image_size(path: Path, *, mask: bool = False) -> tuple[int, int]:
    """Width and height from the header alone; pixels are not decoded.

    Raises:
        DataError: no readable header, or a 16-bit image where `mask` is false.
    """
    with _opened(path) as image:
        if not mask:
            _refuse_deep(path, image)
        return image.size


def require_same_size(mask: Path, mask_size: tuple[int, int], size: tuple[int, int]) -> None:
    """Check that a mask has the size of its image.

    Raises:
        DataError: it has another one; both are (width, height) in pixels.
    """
    if mask_size != size:
        what = "is {}x{}, its image is {}x{}".format(*mask_size, *size)
        raise ImageFault(mask, "mask-size", what, "save the mask at the image's own size")


def fit_square(
    image: Image.Image, size: int, resize: str, resampling: Image.Resampling, *, edge: bool = True
) -> Image.Image:
    """Bring an image to `size` x `size` under the named policy.

    Args:
        edge: whether padding repeats the edge (images) or is zero (masks).

    Raises:
        ConfigError: the policy is unknown.
    """
    if resize not in RESIZE_POLICIES:
        raise ConfigError(f"resize: expected one of {', '.join(RESIZE_POLICIES)}, got {resize!r}")
    if resize != "pad":
        return image.resize((size, size), resampling, box=_kept_box(*image.size, resize))
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    pixels = np.asarray(image.resize((width, height), resampling))
    top, left = (size - height) // 2, (size - width) // 2
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
        gone = not load_mask(record.mask, size, resize).any()
        if lost > 0 or gone:
            cuts.append(DefectCut(record=record, lost=lost, gone=gone))
    return tuple(cuts)


def _kept_box(width: int, height: int, resize: str) -> tuple[float, float, float, float]:
    """The window of the original that the output shows: left, top, right, bottom in pixels."""
    if resize != "crop":
        return (0, 0, width, height)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def _share_outside(mask: np.ndarray, resize: str) -> float:
    left, top, right, bottom = _kept_box(mask.shape[1], mask.shape[0], resize)
    kept = mask[int(np.ceil(top)) : int(bottom), int(np.ceil(left)) : int(right)]
    return 1.0 - float(kept.sum() / mask.sum())


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, …
        raise _unreadable(path, error) from error


def _decode(path: Path, *, allow_deep: bool) -> Image.Image:
    with _opened(path) as image:
        if not allow_deep:
            _refuse_deep(path, image)
        try:
            image.load()
        except Exception as error:  # as above
            raise _unreadable(path, error) from error
        return image.copy()


def _unreadable(path: Path, error: Exception) -> ImageFault:
    if path.is_symlink() and not path.exists():
        return ImageFault(path, "broken-link", "is a link to a file that is not there", "restore it or remove the link")
    if path.is_file() and path.stat().st_size == 0:
        return ImageFault(path, "empty-file", "is an empty file", "fetch it again or remove it")
    if "truncated" in str(error):
        return ImageFault(path, "truncated", f"is cut off ({error})", "fetch it again or remove it")
    return ImageFault(path, "unreadable", f"is not a readable image ({error})", "fetch it again or remove it")


def _refuse_deep(path: Path, image: Image.Image) -> None:
    stored = [str(tile[3]) for tile in getattr(image, "tile", ())]
    if image.mode[0] in "IF" or any(";16" in mode for mode in stored):
        raise ImageFault(
            path, "depth", f"has more than 8 bits a channel (mode {image.mode})", "convert it to 8 bits a channel"
        )
