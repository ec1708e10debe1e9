"""One run a folder, one maker a file: locks that name their holder, and that a dead holder does not keep.

The system holds a lock on a file (`.lock` in a run's folder) for as long as the process lives, so nothing is
left of a killed one. Where another machine or a disk without such locks is involved, a holder shows that it
lives by touching the file; one that has not done so for two minutes is gone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from moleflow_lib.errors import BusyError
from moleflow_lib.storage.disk import is_alive, kernel_id, make_folder, writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["LOCK", "run_lock", "turn"]

LOCK = ".lock"
_BEAT = 20.0  # seconds between signs of life
_SILENCE = 120.0  # seconds without one, after which a holder on another machine is gone
_POLL = 0.2  # seconds between looks at a lock that another holds
_SOON = 0.2  # seconds in which a holder that has just taken the lock writes its name


@contextmanager
def run_lock(folder: Path, instead: str = "give another --out") -> Iterator[None]:
    """Hold a run's folder inside the block; processes started inside it are not asked.

    Args:
        folder: made if it is not there.
        instead: what one who must not wait can do, for the message.

    Raises:
        BusyError: another process holds it; says which, since when, and what to do.
        DiskError: the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name, run_lock(Path(name)):
    ...     (Path(name) / LOCK).is_file()
    True
    """
    with _held(folder / LOCK, instead):
        yield


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Hold a lock inside the block; waits for as long as another process, or thread, holds it.

    Args:
        path: of the lock's file; its folder is made if it is not there.

    Raises:
        DiskError: it cannot be written.
    """
    with ExitStack() as stack:
        waiting = False
        while True:
            try:
                stack.enter_context(_held(path))
                break
            except BusyError:
                if not waiting:
                    print(
                        f"[moleflow] {path} is held by another process; waiting", file=sys.stderr, flush=True
                    )
                waiting = True
                time.sleep(_POLL)
        yield


@contextmanager
def _held(path: Path, instead: str = "") -> Iterator[None]:
    make_folder(path.parent)
    with writing(path):
        file = _taken(path, instead)
    ended = threading.Event()
    threading.Thread(target=_show_life, args=(path, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _removed(path)
        file.close()


def _taken(path: Path, instead: str) -> TextIO:
    """The open lock file, ours as long as it is open."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            locked = _locked(file)
            holder = _holder(file, patient=not locked)  # whoever holds it for the system's sake has signed
            if locked is False or not _is_gone(path, holder, certain=bool(locked)):
                raise BusyError(_told(path, holder, instead))
            if _is_at(file, path):
                _sign(file)
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its holder removed it meanwhile


def _locked(file: TextIO) -> bool | None:
    """Whether the system gives us the lock; None where the disk knows none."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_gone(path: Path, holder: Mapping[str, object], certain: bool) -> bool:
    """Whether nobody holds the lock any more, by what the file says.

    Args:
        path: of the lock.
        holder: what it says; empty if nothing.
        certain: whether the system gave us the lock, which settles it for a holder on this machine.
    """
    process = holder.get("pid")
    if not isinstance(process, int):
        return True
    here = holder.get("kernel") == kernel_id()
    if here and (certain or not is_alive(process)):
        return True
    try:
        return time.time() - path.stat().st_mtime > _SILENCE
    except FileNotFoundError:  # its holder has just removed it
        return True


def _holder(file: TextIO, patient: bool) -> dict[str, object]:
    """What the lock says; empty if that is nothing that can be read, also after a moment where patient."""
    for wait in (_SOON, 0.0) if patient else (0.0,):
        file.seek(0)
        try:
            value = json.loads(file.read())
        except ValueError:
            time.sleep(wait)
            continue
        return value if isinstance(value, dict) else {}
    return {}


def _sign(file: TextIO) -> None:
    started = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = " ".join(map(os.path.basename, sys.argv[:1])) or "python"
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "command": command}
    file.seek(0)
    file.truncate()
    file.write(json.dumps({**facts, "kernel": kernel_id()}) + "\n")
    file.flush()


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether the open file still is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _told(path: Path, holder: Mapping[str, object], instead: str) -> str:
    process = holder.get("pid", "unknown")
    host = holder.get("host", "an unknown machine")
    since = f" since {holder['started']}" if "started" in holder else ""
    stop = f"stop it (kill {process})" if holder.get("kernel") == kernel_id() else f"stop it on {host}"
    sure = f"if it is gone, {path} is taken over after {_SILENCE / 60:.0f} minutes, or delete it"
    return (
        f"{path.parent} is in use: process {process} on {host} has been running there{since}. "
        f"Wait until it ends, {instead}, or {stop}; {sure}"
    )


def _show_life(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        _touched(path)


def _touched(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:
        return  # a disk that refuses it; the lock of the system still holds


def _removed(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # it names a process that is gone, and is taken over
