"""Whether a file ends before its format says it does, told by its last bytes and its header.

A suspicion only: whoever has it decodes the file, so that odd but whole files are never refused.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["looks_cut"]

_TAIL = 64  # bytes at the end of a file in which the last marker of a format is looked for


def looks_cut(path: Path, data_end: int = 0) -> bool:
    """Whether an image may lack its end.

    Args:
        path: a file whose header could be read.
        data_end: the byte after its last pixel, where its header tells (TIFF); 0 where it does not.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
    ...     _ = file.write(b"\\x89PNG" + bytes(90)), file.flush()
    ...     looks_cut(Path(file.name))
    True
    """
    with path.open("rb") as file:
        start = file.read(16)
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL))
        tail = file.read()
    if start.startswith(b"\x89PNG"):
        return b"IEND\xae\x42\x60\x82" not in tail
    if start.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in tail
    if start.startswith(b"RIFF"):
        return int.from_bytes(start[4:8], "little") + 8 > length
    if start.startswith(b"BM"):
        return _short_bitmap(path, length)
    return data_end == 0 or data_end > length


def _short_bitmap(path: Path, length: int) -> bool:
    """Rows of a bitmap without compression, reckoned from its header; others are suspected."""
    with path.open("rb") as file:
        head = file.read(34)
    offset = int.from_bytes(head[10:14], "little")
    width = abs(int.from_bytes(head[18:22], "little", signed=True))
    height = abs(int.from_bytes(head[22:26], "little", signed=True))
    bits = int.from_bytes(head[28:30], "little")
    packed = int.from_bytes(head[30:34], "little") not in (0, 3)
    row = (width * bits + 31) // 32 * 4
    return packed or offset + row * height > length
