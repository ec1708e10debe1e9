"""Files of a dataset folder that no record uses, and why: nothing is left out without a word."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES
from moleflow_lib.datasets.names import shown
from moleflow_lib.errors import counted

__all__ = ["Unused", "left_out", "reason_text", "unused_line"]

FORMAT = "format"  # an image in a format that is not read
PLACE = "place"  # an image where no image belongs
NESTED = "nested"  # an image in a folder inside a folder
DAMAGED = "damaged"  # a photo to be scored that cannot be read
OTHER = "other"  # no image
_LISTED = 4  # names of damaged photos that one line holds, after the first
_FOREIGN_IMAGES = frozenset(
    ".heic .heif .avif .gif .svg .jp2 .jxl .dng .nef .cr2 .cr3 .arw .raw .exr .hdr .dcm .npy .psd "
    ".pgm .ppm .pbm .pnm .tga .eps .ico .mp4 .mov .avi .apng .jpg_large".split()
)


@dataclass(frozen=True, kw_only=True)
class Unused:
    """One file that nothing uses."""

    path: Path
    why: str  # "format", "place", "nested", "damaged" or "other"

    @property
    def is_image(self) -> bool:
        """Whether somebody may have meant it to count."""
        return self.why != OTHER


def left_out(path: Path) -> tuple[Unused, ...]:
    """What a stray file, or every file below a stray folder, is.

    >>> [one.why for one in left_out(Path("test/good/photo.HEIC"))]
    ['format']
    """
    if not path.is_dir() or path.is_symlink():
        return (Unused(path=path, why=_why(path, PLACE)),)
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    return tuple(Unused(path=file, why=_why(file, NESTED)) for file in sorted(files))


def reason_text(path: Path, unused: tuple[Unused, ...]) -> tuple[str, str]:
    """What is said of a stray path, and what to do."""
    nothing = "nothing, it is ignored"
    images = sum(one.is_image for one in unused)
    if path.is_dir():
        held = f", with {counted(images, 'image')}" if images else ""
        return f"is a folder that belongs nowhere{held}", nothing
    if images and unused[0].why == FORMAT:
        what = f"is in a format that is not read ({path.suffix.lower()})"
        return what, "save it as PNG or JPEG if it should count; it is ignored"
    if images:
        todo = "move it into a folder of images if it should count; it is ignored"
        return "is an image where none belongs", todo
    return "is no image of the product", nothing


def unused_line(unused: Iterable[Unused]) -> str:
    """How many files are not used, in one line; "" where every image is.

    >>> unused_line([Unused(path=Path("a.heic"), why="format"), Unused(path=Path("b.txt"), why="other")])
    '1 image not used: 1 in a format that is not read (.heic); 1 other file ignored'
    """
    found = list(unused)
    images = [one for one in found if one.is_image]
    if not images:
        return ""
    counts = Counter(one.why for one in images)
    suffixes = ", ".join(sorted({one.path.suffix.lower() for one in images if one.why == FORMAT}))
    words = {
        FORMAT: f"in a format that is not read ({suffixes})",
        NESTED: "in folders inside folders",
        PLACE: "where none belongs",
        DAMAGED: f"that cannot be read ({_names(one for one in images if one.why == DAMAGED)})",
    }
    told = ", ".join(f"{counts[why]} {text}" for why, text in words.items() if counts[why])
    others = len(found) - len(images)
    rest = f"; {counted(others, 'other file')} ignored" if others else ""
    return f"{counted(len(images), 'image')} not used: {told}{rest}"


def _names(unused: Iterable[Unused]) -> str:
    """The first few names of files, as they are shown."""
    first, *more = [shown(one.path.name) for one in unused] or [""]
    return ", ".join([first, *more[:_LISTED]]) + (", …" if len(more) > _LISTED else "")


def _why(path: Path, place: str) -> str:
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return OTHER
    if suffix in _FOREIGN_IMAGES:
        return FORMAT
    return place if suffix in IMAGE_SUFFIXES else OTHER
