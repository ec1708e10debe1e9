"""Writing files of ours: whole or not at all, and nothing left of writers that were killed."""

from __future__ import annotations

import os
from pathlib import Path

from moleflow_lib.datasets.names import file_stem
from moleflow_lib.errors import DataError
from moleflow_lib.storage.disk import is_alive

__all__ = ["clean_up", "write_whole"]

_SUFFIX = ".part"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it, and rename it there; its folder is made.

    Raises:
        DataError: the disk is full, the folder read-only or a file, …; says which path and why.
    """
    draft = path.with_name(f"{_start(path)}{os.getpid()}{_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_up(path)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        _forget(draft)
        reason = error.strerror or str(error)
        raise DataError(f"{path} cannot be written ({reason}); free the disk or give another path") from error
    except BaseException:
        _forget(draft)
        raise


def clean_up(path: Path) -> None:
    """Remove what killed writers of this file left beside it; those of living ones stay."""
    start = _start(path)
    for draft in path.parent.iterdir():
        process = draft.name.removeprefix(start).removesuffix(_SUFFIX)
        if draft.name == f"{start}{process}{_SUFFIX}" and process.isdigit() and not is_alive(int(process)):
            _forget(draft)


def _start(path: Path) -> str:
    return f".{file_stem(path.name)}."


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder may be what fails; the next start tries again
