"""Photos of every awkward kind are scored as training reads them, or refused with the same fault."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moleflow_lib.datasets import load_image
from moleflow_lib.errors import DataError
from moleflow_lib.inference import LearnedDetector

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
OTHER = Image.fromarray(PIXELS[::-1].copy())


def _picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(PIXELS).convert(mode)


def _glass(alpha: int) -> Image.Image:
    picture = _picture("RGBA")
    picture.putpixel((3, 3), (9, 9, 9, alpha))
    return picture


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _picture().save(path, exif=exif.tobytes())


def _deep_colours(path: Path) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS.astype(np.uint16) * 257)

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = part(b"IHDR", struct.pack(">IIBBBBB", 40, 20, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


KINDS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "grey": ("a.png", lambda path: _picture("L").save(path), ""),
    "palette": ("a.png", lambda path: _picture("P").save(path), ""),
    "turned": ("a.jpg", _turned, ""),
    "ink": ("a.jpg", lambda path: _picture("CMYK").save(path), ""),
    "opaque": ("a.png", lambda path: _glass(255).save(path), ""),
    "transparent": ("a.png", lambda path: _glass(254).save(path), "transparent pixels"),
    "clear palette": (
        "a.png",
        lambda path: _picture("P").save(path, transparency=_picture("P").getpixel((0, 0))),
        "transparent pixels",
    ),
    "deep grey": (
        "a.png",
        lambda path: Image.fromarray(PIXELS[..., 0] * np.uint16(257)).save(path),
        "8 bits",
    ),
    "deep colours": ("a.png", _deep_colours, "8 bits"),
    "floats": (
        "a.tiff",
        lambda path: Image.fromarray(PIXELS[..., 0].astype(np.float32)).save(path),
        "8 bits",
    ),
    "pages": ("a.tiff", lambda path: _picture().save(path, save_all=True, append_images=[OTHER]), "2 pages"),
    "animated": (
        "a.png",
        lambda path: _picture().save(path, save_all=True, append_images=[OTHER]),
        "2 pages or frames",
    ),
    "film": (
        "a.webp",
        lambda path: _picture().save(path, save_all=True, append_images=[OTHER]),
        "2 pages or frames",
    ),
    "Lab": ("a.tiff", lambda path: _picture().convert("LAB").save(path), "colour mode LAB"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["path", "picture"])
def test_what_training_reads_and_refuses(
    kind: str, given: str, loaded: LearnedDetector, tmp_path: Path
) -> None:
    name, make, fault = KINDS[kind]
    path = tmp_path / name
    make(path)
    with Image.open(path) as picture:
        found = loaded.score(path if given == "path" else picture)[0]
    if fault:
        assert fault in found.error and found.score is None
        with pytest.raises(DataError, match=fault):
            load_image(path, 56)
    else:
        as_trained = load_image(path, 56, loaded.config.data.resize, loaded.extractor.interpolation)
        assert found.error == "" and np.array_equal(found.pixels, as_trained)
