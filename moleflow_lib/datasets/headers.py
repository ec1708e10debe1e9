"""What the header of an image says, before a pixel is decoded: size as shown, colours, pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from moleflow_lib.datasets.image_files import ImageFault

__all__ = ["Header", "as_shown", "header_of"]

_ORIENTATION = 0x0112  # EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIPS = ((273, 279), (324, 325))  # TIFF tags: where the pieces of an image begin, and their bytes
_ON_SIDE = (5, 6, 7, 8)
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_LOSSY_TIFF = ("jpeg", "tiff_jpeg", "webp")
_ONE_PICTURE = ("MPO",)  # camera files with a preview beside the photo; viewers show the photo
_DEPTH_TODO = "convert it to 8 bits a channel"


@dataclass(frozen=True, kw_only=True)
class Header:
    """One image file, as far as its header tells."""

    size: tuple[int, int]  # width, height in pixels as every viewer shows it
    stored: tuple[int, int]  # the same before the photo is turned
    mode: str  # Pillow's colour mode
    turned: int  # EXIF orientation, 1 … 8; 1 is upright
    frames: int  # pages or pictures of an animation
    deep: bool  # more than 8 bits a channel
    alpha: bool  # has a channel or colour of transparency
    lossy: bool  # compressed so that values are not kept
    odd_palette: bool  # a palette in which 0 may not be black, or not alone
    profile: bytes  # ICC colour profile, or b""
    data_end: int = 0  # TIFF: the byte after its last pixel; 0 elsewhere

    def require_single(self, path: Path) -> None:
        """Refuse animations and files of several pages, of which only the first would count.

        Raises:
            ImageFault: more than one picture.
        """
        if self.frames > 1:
            what = f"holds {self.frames} pages or frames, of which one would be read"
            raise ImageFault(path, "frames", what, "save the one that is meant as a file of its own")

    def require_8_bit(self, path: Path) -> None:
        """Refuse values that would be clipped.

        Raises:
            ImageFault: more than 8 bits a channel.
        """
        if self.deep:
            raise ImageFault(path, "depth", f"has more than 8 bits a channel (mode {self.mode})", _DEPTH_TODO)


def header_of(image: Image.Image) -> Header:
    """Read the header of an opened image; its pixels stay undecoded."""
    turned = _orientation(image)
    shown = image.size
    stored = image.size
    if turned in _ON_SIDE and image.format == "TIFF":  # Pillow turns these itself
        stored = (shown[1], shown[0])
    elif turned in _ON_SIDE:
        shown = (stored[1], stored[0])
    return Header(
        size=shown,
        stored=stored,
        mode=image.mode,
        turned=turned,
        frames=1 if image.format in _ONE_PICTURE else getattr(image, "n_frames", 1),
        deep=_is_deep(image),
        alpha=image.mode in _ALPHA_MODES or "transparency" in image.info,
        lossy=_is_lossy(image),
        odd_palette=_is_odd(image),
        profile=image.info.get("icc_profile") or b"",
        data_end=_data_end(image),
    )


def as_shown(image: Image.Image, header: Header) -> Image.Image:
    """The decoded image, turned as viewers turn it.

    >>> upright = Image.new("L", (4, 2))
    >>> as_shown(upright, header_of(upright)).size
    (4, 2)
    """
    turn = _TURNS.get(header.turned)
    return image if turn is None or image.format == "TIFF" else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; whatever is damaged or means nothing is upright, as in every viewer.

    Text that only looks like EXIF (in a PNG) and XMP are left out: viewers do not agree on them.
    """
    try:
        if isinstance(image, TiffImageFile) and image.format == "TIFF":
            value = image.tag_v2.get(_ORIENTATION, 1)
        else:
            block = image.info.get("exif")
            exif = Image.Exif()
            exif.load(block if isinstance(block, bytes) else b"")
            value = exif.get(_ORIENTATION, 1)
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, KeyError, …
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _is_deep(image: Image.Image) -> bool:
    stored = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode[0] in "IF" or any(";16" in mode for mode in stored)


def _is_odd(image: Image.Image) -> bool:
    """Whether a palette must be held against the pixels; one that has black at 0 alone need not."""
    palette = image.palette
    if image.mode != "P" or palette is None or palette.rawmode != "RGB":
        return image.mode in ("P", "PA")
    colours = [bytes(palette.palette[at : at + 3]) for at in range(0, len(palette.palette), 3)]
    return any((colour == bytes(3)) != (index == 0) for index, colour in enumerate(colours))


def _is_lossy(image: Image.Image) -> bool:
    if image.format == "TIFF":
        return image.info.get("compression") in _LOSSY_TIFF
    if isinstance(image, WebPImageFile):
        file = cast("IO[bytes]", image.fp)  # open while the pixels are undecoded
        file.seek(0)
        return b"VP8 " in file.read()
    return image.format in ("JPEG", "MPO")


def _data_end(image: Image.Image) -> int:
    if not isinstance(image, TiffImageFile) or image.format != "TIFF":
        return 0
    pieces = [(image.tag_v2.get(start, ()), image.tag_v2.get(count, ())) for start, count in _STRIPS]
    return max(
        (sum(pair) for starts, counts in pieces for pair in zip(starts, counts, strict=False)), default=0
    )
