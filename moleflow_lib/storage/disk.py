"""Files of ours: written whole or not at all, and what a disk refuses told with its path and a remedy.

A file is written under a temporary name that says which process writes it, flushed, and renamed. So a
killed writer leaves the old file as it was, and what it began can be told from what is being written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from moleflow_lib.errors import ArtifactError, DiskError

__all__ = [
    "UNFINISHED",
    "Room",
    "clean_up",
    "is_alive",
    "kernel_id",
    "make_folder",
    "new_file",
    "read_json",
    "reading",
    "room_kept",
    "write_bytes",
    "write_json",
    "writing",
]

UNFINISHED = ".writing-"  # how the name of a file begins that was not written to its end
_FORGOTTEN = 86_400.0  # seconds after which nobody on any machine still writes a temporary file
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free space there or choose another folder, then run again",
    errno.EDQUOT: "your quota is used up; free space there or choose another folder, then run again",
    errno.EROFS: "the disk is read-only; choose a folder that can be written",
    errno.EACCES: "permission denied; allow it or choose another folder",
    errno.EPERM: "not permitted; allow it or choose another folder",
    errno.EISDIR: "a folder lies where the file belongs; move it away or choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file lies where a folder is needed; move it away or choose another folder",
    errno.ENAMETOOLONG: "the name is too long for the disk; choose a shorter path",
}


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to be filled under a temporary name; flushed and renamed into place when the block ends well.

    Raises:
        DiskError: the disk is full or read-only, a folder lies there, …

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_file(Path(folder) / "a.csv") as file:
    ...         _ = file.write(b"x")
    ...         early = (Path(folder) / "a.csv").exists()
    ...     early, (Path(folder) / "a.csv").read_bytes()
    (False, b'x')
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{UNFINISHED}{_machine()}-{os.getpid()}-")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def write_bytes(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file, whole or piece by piece, under a temporary name, flush it, then rename it into place.

    Raises:
        DiskError: as `new_file`.
    """
    with new_file(path) as file:
        file.writelines([data] if isinstance(data, bytes) else data)


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically; not-a-number is refused, undefined values are null."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict:
    """Read a JSON file that holds an object.

    Raises:
        ArtifactError: the file is not valid JSON, or holds something else.
        DiskError: it cannot be read.
    """
    try:
        with reading(path):
            value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}); delete it and run again") from error
    if not isinstance(value, dict):
        told = f"{path} is damaged: expected a JSON object, found {type(value).__name__}"
        raise ArtifactError(f"{told}; delete it and run again")
    return value


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        DiskError: it cannot be made.
    """
    with writing(path, "made"):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Turn what the disk refuses inside the block into an error that names the path.

    Raises:
        DiskError: with the path, the reason and the remedy.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f"{path} cannot be {what}: {_reason(error)}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The same where a file is read.

    Raises:
        DiskError: with the path, the reason and the remedy.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DiskError(f"{path} cannot be read: it is not there; run again") from error
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {_reason(error)}") from error


def clean_up(folder: Path) -> None:
    """Remove temporary files that dead writers left in a folder and below; those being written stay.

    A writer is dead if its process is gone from this machine, or if its file is a day old.
    """
    for draft in folder.rglob(f"{UNFINISHED}*"):
        if _is_abandoned(draft):
            _forget(draft)


@dataclass
class Room:
    """Space that a file holds on a disk, for what must be said when the disk is full."""

    path: Path
    size: int  # bytes

    def take(self) -> None:
        """Hold the space.

        Raises:
            DiskError: there is not even that much.
        """
        write_bytes(self.path, os.urandom(self.size))  # zeros would be compressed away on some disks

    def give_back(self) -> None:
        """Remove the file, so that something else can be written in its place."""
        _forget(self.path)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Free the space inside the block and hold what is left of it afterwards, if it is enough."""
        self.give_back()
        yield
        with suppress(DiskError):
            self.take()


@contextmanager
def room_kept(folder: Path, size: int = 1 << 19) -> Iterator[Room]:
    """Keep some room in a folder inside the block.

    Args:
        folder: there already.
        size: bytes; an index page with its style and provenance takes a fifth of the default.

    Raises:
        DiskError: there is not even that much.
    """
    room = Room(folder / ".room", size)
    room.take()
    try:
        yield room
    finally:
        room.give_back()


def is_alive(process: int) -> bool:
    """Whether a process of this machine is there, whoever it belongs to.

    >>> is_alive(os.getpid())
    True
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def kernel_id() -> str:
    """What tells running machines apart: the kernel's boot, which containers share, or the host's name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _machine() -> str:
    """Where process numbers mean the same, in short: the kernel and, on Linux, the space of its numbers."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return hashlib.sha256(f"{kernel_id()}/{space}".encode()).hexdigest()[:8]


def _is_abandoned(draft: Path) -> bool:
    machine, _, rest = draft.name.removeprefix(UNFINISHED).partition("-")
    process = rest.partition("-")[0]
    if machine == _machine() and process.isdigit():
        return not is_alive(int(process))
    try:
        return time.time() - draft.stat().st_mtime > _FORGOTTEN
    except OSError:
        return False  # renamed meanwhile


def _forget(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # a read-only disk keeps it; the next start tries again


def _reason(error: OSError) -> str:
    told = _REMEDIES.get(error.errno or 0)
    return told or f"{error.strerror or error}; check the disk, then run again"
