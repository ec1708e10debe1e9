"""Image and mask files, read strictly: what would be read wrongly is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from moleflow_lib.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "ImageFault", "image_size", "read_image", "read_mask", "require_same_size"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


class ImageFault(DataError):
    """One file cannot be used as an image or mask: what it is, and what to do."""

    def __init__(self, path: Path, kind: str, what: str, todo: str) -> None:
        super().__init__(f"{path} {what}; {todo}")
        self.kind, self.what, self.todo = kind, what, todo


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
