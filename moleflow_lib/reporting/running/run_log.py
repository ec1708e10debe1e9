"""What a run says while it goes: lines, and where a person looks on, one more that is kept up to date.

On a terminal the last line shows the notebook, the time and the stage that its kernel is at. Elsewhere, as in
the log of a batch system, there are only lines, each with its time, and no bar.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from moleflow_lib.errors import ArtifactError
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.stages import STAGE_LINES, STAGE_MARK
from moleflow_lib.storage.disk import read_json

__all__ = ["RunLog", "earlier_seconds", "is_progress"]

_BAR = re.compile(r"\d+%\|")  # a progress bar of tqdm
_REFRESH = 1.0  # seconds between looks at the clock


class RunLog(io.TextIOBase):
    """Standard error of a run, of its kernels as well.

    Args:
        expected: the notebooks in order, and the seconds that each is likely to take; None: not known.
        stream: where it goes.

    >>> log = RunLog({"01_a": 60.0, "02_b": 30.0}, io.StringIO())
    >>> log.begin("02_b"), log.left()
    ('notebook 2 of 2, 02_b', 30)
    """

    def __init__(self, expected: Mapping[str, float | None], stream: TextIO) -> None:
        self.expected, self.stream = dict(expected), stream
        self.live = stream.isatty()
        self.start = self.begun = time.monotonic()
        self.notebook = self.stage = self._rest = ""
        self._lock = threading.RLock()

    @contextmanager
    def listening(self) -> Iterator[RunLog]:
        """Take all that is written to standard error inside the block; kernels tell stages in lines."""
        before = os.environ.get(STAGE_LINES)
        os.environ[STAGE_LINES] = "1"
        ended = threading.Event()
        if self.live:
            threading.Thread(target=self._keep_up, args=(ended,), daemon=True).start()
        try:
            with redirect_stderr(self):  # type: ignore[type-var]
                yield self
        finally:
            ended.set()
            self.end()
            if before is None:
                os.environ.pop(STAGE_LINES)
            else:
                os.environ[STAGE_LINES] = before

    def begin(self, notebook: str) -> str:
        """Note that a notebook begins; how it is called: its number among all, and its name."""
        with self._lock:
            self.notebook, self.begun = notebook, time.monotonic()
            return self._name()

    def end(self) -> None:
        """Note that the notebook has ended, however it did."""
        with self._lock:
            self._clear()
            self.notebook = self.stage = ""
            if self._rest:
                self.write("\n")

    def left(self) -> int | None:
        """Seconds that this notebook and those after it are likely to take; None where that is not known."""
        names = list(self.expected)
        own, *later = [self.expected[name] for name in names[names.index(self.notebook) :]]
        known = [seconds for seconds in later if seconds is not None]
        if own is None or len(known) < len(later):
            return None
        return round(max(own - (time.monotonic() - self.begun), 0) + sum(known))

    def times(self) -> str:
        """How long the run has gone, and how long it is likely to go."""
        elapsed = f"{_span(time.monotonic() - self.start)} so far"
        left = self.left() if self.notebook else None
        return f"{elapsed}, about {_span(left)} left" if left else elapsed

    def write(self, text: str, /) -> int:
        """Take text in pieces as they come; what is a line goes out, progress bars do not."""
        with self._lock:
            *lines, self._rest = re.split(r"\r\n|\r|\n", self._rest + text)
            for line in lines:
                self._line(line)
        return len(text)

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self.live

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Of the stream beneath."""
        return self.stream.fileno()

    def _line(self, line: str) -> None:
        if not line.strip() or _BAR.search(line):
            return
        if self.live and line.startswith(STAGE_MARK):
            self.stage = line.removeprefix(STAGE_MARK)
            self._show()
            return
        time_utc = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ ")
        self._clear()
        print("" if self.live else time_utc, visible(line, keep="\t"), sep="", file=self.stream, flush=True)
        self._show()

    def _keep_up(self, ended: threading.Event) -> None:
        while not ended.wait(_REFRESH):
            with self._lock:
                if not ended.is_set():
                    self._show()

    def _show(self) -> None:
        """Draw the last line of a terminal anew."""
        if self.live and self.notebook:
            told = " · ".join(filter(None, (self._name(), self.times(), visible(self.stage))))
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\x1b[K{told[:width]}")
            self.stream.flush()

    def _clear(self) -> None:
        if self.live and self.notebook:
            self.stream.write("\r\x1b[K")
            self.stream.flush()

    def _name(self) -> str:
        names = list(self.expected)
        return f"notebook {names.index(self.notebook) + 1} of {len(names)}, {self.notebook}"


def earlier_seconds(executed: Path) -> float | None:
    """How long a notebook took when it was last executed to its end; None where that is not known.

    Args:
        executed: the file that papermill left.
    """
    if not executed.is_file():
        return None
    try:
        told = read_json(executed)["metadata"]["papermill"]
        return None if told["exception"] else float(told["duration"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None  # not papermill's, or cut off


def is_progress(line: str) -> bool:
    """Whether a line on standard error only tells how far something is."""
    return bool(_BAR.search(line)) or line.startswith(STAGE_MARK)


def _span(seconds: float) -> str:
    """A time span in words.

    >>> _span(9.6), _span(75), _span(3700)
    ('10 s', '1 min 15 s', '1 h 01 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
