"""Hashes of files, noted so that the notebooks of a run read each image once for its hash."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from moleflow_lib.errors import ArtifactError, DiskError
from moleflow_lib.storage.disk import read_json, reading, write_json
from moleflow_lib.storage.keys import digest, file_sha256

__all__ = ["noted_sha256"]

_SETTLED = 2_000_000_000  # nanoseconds after which any disk gives a changed file another time


def noted_sha256(paths: Sequence[Path], note: Path, *, keep: bool = True) -> list[str]:
    """SHA-256 of each file (64 hex digits), taken from a note where the file is as it was noted.

    That is: size, inode and the times of content and state are the same, as git's index has it; a file that
    had changed less than two seconds before it was hashed is not noted. This is a note alone: a damaged one
    is written anew, and a disk that cannot be written keeps none.

    Args:
        paths: the files.
        note: where the note is.
        keep: whether it is written; a mere question leaves the disk as it is.

    Raises:
        DiskError: a file cannot be read.
    """
    known = _noted(note)
    found = {}
    hashes = []
    for path in paths:
        now = time.time_ns()
        with reading(path):
            seen = path.stat()
        state = [seen.st_size, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns]
        name = str(path.absolute())
        sha256, noted = known.get(name, ("", []))
        entry = (sha256 if noted == state else file_sha256(path), state)
        if now - seen.st_ctime_ns >= _SETTLED:
            found[name] = entry
        hashes.append(entry[0])
    if keep and found != known:
        with suppress(DiskError):
            write_json(note, {"files": found, "files_sha256": digest(found)})
    return hashes


def _noted(note: Path) -> dict[str, tuple[str, list[int]]]:
    """File → its hash and its state; nothing if the note is not there or damaged."""
    try:
        stored = read_json(note)
    except ArtifactError:
        return {}
    whole = stored.get("files_sha256") == digest(stored.get("files"))
    return {name: (sha256, state) for name, (sha256, state) in stored["files"].items()} if whole else {}
