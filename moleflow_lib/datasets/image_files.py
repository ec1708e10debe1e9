"""Opening a file as an image: a regular file, in a format this project names, of a size it allows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from moleflow_lib.datasets.names import shown
from moleflow_lib.errors import ConfigError, DataError

__all__ = ["FORMATS", "IMAGE_SUFFIXES", "PIXEL_OPTION", "ImageFault", "opened", "pixel_limit", "require_file"]

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")  # no other decoder of Pillow ever sees a file
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp"})
PIXEL_OPTION = "MOLEFLOW_MAX_PIXELS"  # environment variable
_PIXELS = 178_956_970  # where Pillow suspects a decompression bomb
_NAMED = "PNG, JPEG, BMP, TIFF or WebP"
_FOREIGN = (  # how files begin that are often met under an image's name
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"GIF8", "GIF"),
    (b"8BPS", "Photoshop"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)
_FETCH = "fetch it again or remove it"


class ImageFault(DataError):
    """One file cannot be used as an image or mask: what it is, and what to do."""

    def __init__(self, path: Path, kind: str, what: str, todo: str) -> None:
        super().__init__(f"{shown(str(path))} {what}; {todo}")
        self.path = path
        self.kind = kind
        self.what = what
        self.todo = todo

    def __reduce__(self) -> tuple[type[ImageFault], tuple[Path, str, str, str]]:
        """How it comes back from a worker process."""
        return ImageFault, (self.path, self.kind, self.what, self.todo)


def pixel_limit() -> int:
    """Most pixels an image may have: `MOLEFLOW_MAX_PIXELS`, or where Pillow suspects an attack.

    Raises:
        ConfigError: the variable is no whole number above zero.
    """
    text = os.environ.get(PIXEL_OPTION, "")
    if not text:
        return _PIXELS
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        told = f"{PIXEL_OPTION}: expected a whole number of pixels, got {text!r}"
        raise ConfigError(f"{told}; correct or unset it")
    return int(text)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open an image whose header can be read; whatever fails while it is open is a fault of the file.

    Raises:
        ImageFault: no regular file, another format, too many pixels, or damaged.
    """
    require_file(path)
    limit = pixel_limit()
    if Image.MAX_IMAGE_PIXELS is not None:
        # Pillow then warns where this project refuses.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, limit)
    try:
        # Not by path: Pillow would map the file, and turn mapped grey TIFFs wrongly.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > limit:
                raise _too_large(path, image.size, limit)
            yield image
    except (ImageFault, ConfigError):
        raise
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, …
        raise _unreadable(path, error, limit) from error


def require_file(path: Path) -> None:
    """Check that a path is a regular file with something in it; nothing is opened, so nothing hangs.

    Raises:
        ImageFault: absent, a folder, a pipe, a device, or empty.
    """
    try:
        found = path.stat()
    except OSError as error:
        if path.is_symlink():
            what = "is a link to a file that is not there"
            raise ImageFault(path, "broken-link", what, "restore it or remove the link") from error
        reason = error.strerror or str(error)
        what = f"cannot be reached ({reason})"
        raise ImageFault(path, "unreadable", what, "restore it or its permissions") from error
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            what = f"is a {name}, not a file"
            raise ImageFault(path, "not-a-file", what, "put the image there or remove it")
    if found.st_size == 0:
        raise ImageFault(path, "empty-file", "is an empty file", _FETCH)


def _unreadable(path: Path, error: Exception, limit: int) -> ImageFault:
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return _too_large(path, None, limit)
    if isinstance(error, PermissionError):
        return ImageFault(path, "unreadable", "may not be read (permission denied)", "allow it to be read")
    if foreign := _foreign_format(path):
        what = f"is {foreign}, whatever its name says"
        return ImageFault(path, "format", what, f"save it as {_NAMED}, or remove it")
    if "truncated" in str(error):
        return ImageFault(path, "truncated", f"is cut off ({error})", _FETCH)
    if isinstance(error, UnidentifiedImageError):  # its text names a Python object
        return ImageFault(path, "unreadable", "is not an image that can be read", _FETCH)
    reason = str(error).replace(str(path), path.name)
    return ImageFault(path, "unreadable", f"is not a readable image ({shown(reason)})", _FETCH)


def _too_large(path: Path, size: tuple[int, int] | None, limit: int) -> ImageFault:
    seen = "more pixels" if size is None else "{}x{} = {:,} pixels, more".format(*size, size[0] * size[1])
    todo = f"scale it down, cut it into pieces, or set {PIXEL_OPTION} to a larger number if you trust it"
    return ImageFault(path, "too-large", f"has {seen} than the limit of {limit:,}", todo)


def _foreign_format(path: Path) -> str:
    """The format of a file by its first bytes, if it is none of ours; "" where they tell nothing."""
    with path.open("rb") as file:
        start = file.read(64)
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a film or another container")
    return next((name for magic, name in _FOREIGN if start.lstrip().startswith(magic)), "")
