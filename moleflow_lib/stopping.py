"""Being stopped: SIGTERM is treated like Ctrl-C, and a helper process does not outlive its parent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

__all__ = ["STOPPED", "Terminated", "exit_status", "leave_with_parent", "quit_at_once", "stop_like_ctrl_c"]

STOPPED = "moleflow_lib: stopped; the same command continues from what is finished"
_POLL = 0.5  # seconds between looks at the parent


class Terminated(KeyboardInterrupt):
    """SIGTERM came; everything that gives way to Ctrl-C gives way to it."""


def exit_status(stopped: KeyboardInterrupt) -> int:
    """What a shell expects of a process that a signal stopped: 128 and the signal's number.

    >>> exit_status(KeyboardInterrupt()), exit_status(Terminated())
    (130, 143)
    """
    return 128 + (signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT)


def quit_at_once() -> None:
    """Until `stop_like_ctrl_c`, Ctrl-C and SIGTERM end the process with a sentence: nothing has begun yet."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _quit)


def stop_like_ctrl_c() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as Python's default, and SIGTERM raises `Terminated`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)


def leave_with_parent(parent: int) -> None:
    """End this process soon after its parent has, whatever it is at; asked again, nothing more happens.

    Args:
        parent: number of the process that started this one. This process itself, or 0, asks for nothing.
    """
    name = f"leave-with-{parent}"
    if parent in (0, os.getpid()) or any(thread.name == name for thread in threading.enumerate()):
        return
    threading.Thread(target=_watch, args=(parent,), daemon=True, name=name).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    os._exit(1)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _quit(number: int, frame: FrameType | None) -> NoReturn:
    os.write(sys.stderr.fileno(), f"{STOPPED}\n".encode())
    os._exit(128 + number)
