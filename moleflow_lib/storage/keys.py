"""Names and hashes that stored results are kept under."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

from moleflow_lib.storage.disk import reading

__all__ = ["digest", "file_sha256", "file_stem", "sha256_of"]


def digest(*parts: object) -> str:
    """SHA-256 of JSON-able parts, the key under which artifacts are stored (64 hex digits)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_stem(name: str, longest: int = 120) -> str:
    """A name as the stem of a file of ours: itself if it fits, else its start and a hash of it all.

    Args:
        name: a product or task, e.g. thirty products joined by `+`.
        longest: bytes of the stem; what is added to it must fit into 255 as well.

    >>> file_stem("bolt+nut"), len(os.fsencode(file_stem("bolt+" * 99)))
    ('bolt+nut', 120)
    """
    data = os.fsencode(name)
    if len(data) <= longest:
        return name
    kept = data[: longest - 13].decode("utf-8", "ignore")
    return f"{kept}~{hashlib.sha256(data).hexdigest()[:12]}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes (64 hex digits).

    Raises:
        DiskError: it cannot be read.
    """
    with reading(path), open(path, "rb") as file:
        return sha256_of(file)


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of what is left to read of an open file (64 hex digits)."""
    total = hashlib.sha256()
    while chunk := file.read(1 << 20):
        total.update(chunk)
    return total.hexdigest()
