"""Image and mask files as every viewer shows them; what would be read wrongly is refused.

The one reader of check, run, contact sheet and gallery. A photo is turned as its EXIF orientation
says, and so is a mask; a mask must have the size of its photo as shown. What is a defect is told by:

* numbers, in masks that keep them: any value above zero, class indices included;
* half of full brightness, in lossy masks (JPEG, lossy WebP), whose small values are noise;
* numbers and looks together, in masks with a palette or transparency: where they disagree, neither.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from moleflow_lib.datasets.headers import Header, as_shown, header_of
from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES, ImageFault, opened

__all__ = [
    "IMAGE_SUFFIXES",
    "READER_VERSION",
    "ImageFault",
    "grey_values",
    "image_size",
    "opaque_rgb",
    "read_header",
    "read_image",
    "read_mask",
    "read_picture",
    "require_same_size",
]

READER_VERSION = 2  # raise it when the same bytes give other pixels; stored features depend on it
_INK_MODES = ("CMYK", "YCbCr", "RGBX")  # where black is not zero, or a fourth value means nothing
_HALF = 127  # values above it are brighter than half
_BLACK_AND_WHITE = "save it as PNG: black where all is well, white where the defect is"
_NO_ALPHA = "save it without transparency"


def read_image(path: Path) -> Image.Image:
    """Decode a whole image to RGB at its own size, upright.

    Raises:
        ImageFault: unreadable, truncated, too large, of several pages, more than 8 bits a channel (its
            values would be clipped), transparent (its hidden colours would show), or in colours of
            ink or Lab (viewers do not agree on them).
    """
    image, _ = _decoded(path, mask=False)
    return opaque_rgb(image, path)


def read_picture(picture: Image.Image, name: str) -> Image.Image:
    """A Pillow image as `read_image` would give its file: RGB at its own size, upright.

    Args:
        picture: opened from a file, or made in memory; a 16-bit one must not have been loaded, since Pillow
            then has clipped it.
        name: for the message.

    Raises:
        ImageFault: as `read_image`.
    """
    header = header_of(picture)
    _refuse(Path(name), header, mask=False)
    picture.load()
    upright = as_shown(picture, header) if picture.format else ImageOps.exif_transpose(picture)
    return opaque_rgb(upright, Path(name))


def opaque_rgb(image: Image.Image, path: Path) -> Image.Image:
    """A decoded image as RGB.

    Args:
        image: upright, 8 bits a channel.
        path: its file or its name, for the message.

    Raises:
        ImageFault: transparent pixels, or colours that Pillow cannot turn into RGB.
    """
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise ImageFault(path, "transparent", "has transparent pixels, which have no colour", _NO_ALPHA)
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise _no_rgb(path, image.mode) from error


def read_mask(path: Path) -> np.ndarray:
    """Decode a whole mask at its own size, upright; the module says which values are defect.

    Returns:
        (height, width) bool.

    Raises:
        ImageFault: unreadable, truncated, of several pages, or marks that depend on who reads them.
    """
    image, header = _decoded(path, mask=True)
    if image.mode in _INK_MODES:
        image = image.convert("RGB")
    values = np.asarray(image)
    colours = values.reshape(*values.shape[:2], -1)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        alpha = colours[..., -1]
        colours = colours[..., :-1]
        _refuse_clear_marks(path, colours, alpha)
    if header.lossy:
        return _bright_half(path, colours)
    marked = np.asarray((colours > 0).any(axis=-1))
    if image.mode == "P":
        _refuse_other_looks(path, image, marked)
    return marked


def grey_values(path: Path) -> int:
    """How many values a mask has: two, or one more than its classes; many if its edges are soft.

    Raises:
        ImageFault: as `read_mask`.
    """
    image, _ = _decoded(path, mask=True)
    return len(np.unique(np.asarray(image.getchannel(0))))


def read_header(path: Path, *, mask: bool = False) -> Header:
    """What the header says; pixels are not decoded.

    Raises:
        ImageFault: no readable header, several pages, or for an image, `mask` being false: more than
            8 bits a channel, or colours of ink with a profile.
    """
    with opened(path) as image:
        header = header_of(image)
    _refuse(path, header, mask=mask)
    return header


def image_size(path: Path, *, mask: bool = False) -> tuple[int, int]:
    """Width and height as shown, from the header alone.

    Raises:
        ImageFault: as `read_header`.
    """
    return read_header(path, mask=mask).size


def require_same_size(
    mask: Path, mask_size: tuple[int, int], size: tuple[int, int], stored: tuple[int, int] | None = None
) -> None:
    """Check that a mask has the size of its image as shown.

    Args:
        mask: its file, for the message.
        mask_size: its width and height in pixels.
        size: those of the image as shown.
        stored: those of the image before it is turned, where they differ.

    Raises:
        ImageFault: it has another one.
    """
    if mask_size == size:
        return
    what = "is {}x{}, its image is {}x{}".format(*mask_size, *size)
    todo = "save the mask at the image's own size"
    if stored == mask_size:
        what = f"{what} as every viewer shows it, turned by its EXIF orientation"
        todo = "turn the mask like the photo, or save the photo upright without the tag"
    raise ImageFault(mask, "mask-size", what, todo)


def _decoded(path: Path, *, mask: bool) -> tuple[Image.Image, Header]:
    with opened(path) as image:
        header = header_of(image)
        _refuse(path, header, mask=mask)
        image.load()
        return as_shown(image, header).copy(), header


def _refuse(path: Path, header: Header, *, mask: bool) -> None:
    header.require_single(path)
    if header.mode in ("LAB", "HSV") or (header.mode == "CMYK" and header.profile):
        raise _no_rgb(path, header.mode)
    if not mask:
        header.require_8_bit(path)


def _no_rgb(path: Path, mode: str) -> ImageFault:
    what = f"has the colour mode {mode}, which viewers show in different ways"
    return ImageFault(path, "mode", what, "save it as 8-bit RGB")


def _bright_half(path: Path, colours: np.ndarray) -> np.ndarray:
    """A lossy mask cut at half; one that is faint everywhere cannot be told from noise."""
    marked = np.asarray((colours > _HALF).any(axis=-1))
    if not marked.any() and colours.any():
        what = f"is lossy and nowhere brighter than half (at most {colours.max()}): marks or noise?"
        raise ImageFault(path, "mask-faint", what, _BLACK_AND_WHITE)
    return marked


def _refuse_clear_marks(path: Path, colours: np.ndarray, alpha: np.ndarray) -> None:
    """Colours that a viewer does not show, or shows in part, mark nothing that can be relied on."""
    if ((colours > 0).any(axis=-1) & (alpha < np.iinfo(alpha.dtype).max)).any():
        raise ImageFault(path, "transparent", "marks pixels that are transparent", _BLACK_AND_WHITE)


def _refuse_other_looks(path: Path, image: Image.Image, marked: np.ndarray) -> None:
    """A palette that shows a marked pixel black, or an unmarked one in a colour."""
    looks = (np.asarray(image.convert("RGB")) > 0).any(axis=-1)
    if (looks != marked).any():
        what = (
            "has a palette whose looks contradict its numbers (0 is normal: it, and it alone, must be black)"
        )
        raise ImageFault(path, "mask-palette", what, _BLACK_AND_WHITE)
