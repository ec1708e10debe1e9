"""The machine underneath: seeds, devices, and what a report must say about where it was made."""

from __future__ import annotations

import hashlib
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from tqdm.std import tqdm

from moleflow_lib.errors import ConfigError, counted
from moleflow_lib.stages import STAGE_LINES, STAGE_MARK

__all__ = [
    "DEVICE_KINDS",
    "busy_line",
    "derive_seed",
    "progress",
    "provenance",
    "quiet",
    "resolve_device",
    "seed_everything",
    "seeded",
    "threads",
    "work_seconds",
]

DEVICE_KINDS = ("cpu", "cuda")
_A_LINE_EVERY = 60.0  # seconds
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "FrEIA",
    "numpy",
    "scipy",
    "scikit-learn",
    "plotly",
    "papermill",
    "nbconvert",
)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch. FrEIA draws its permutations from NumPy's global generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every generator inside the block and give the callers' states back afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        seed_everything(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def derive_seed(seed: int, *names: object) -> int:
    """A seed for one purpose, independent of the order in which purposes come up.

    >>> derive_seed(0, "task", "bottle") == derive_seed(0, "task", "bottle")
    True
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device.

    `auto` means the GPU where there is one; the choice is recorded in every report. On a GPU, products and
    convolutions of float32 numbers stay float32: TF32, which torch lets convolutions use, is switched off.

    Raises:
        ConfigError: the device is unknown, of a kind that was never tried, or not there; there is no silent
            fall-back to the CPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}") from error
    if device.type not in DEVICE_KINDS or (device.type == "cpu" and device.index):
        raise ConfigError(f"device: expected auto, cpu, cuda or cuda:N, got {name!r}, which is not supported")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} was asked for, but torch sees no GPU here; use auto or cpu")
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ConfigError(
            f"device {name!r} was asked for, but torch sees {counted(count, 'GPU')}, cuda:0 being the first"
        )
    if device.type == "cuda":
        for backend in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):  # pyright: ignore
            backend.fp32_precision = "ieee"  # pyright: ignore
    return device


def busy_line() -> str:
    """What to say where the machine is busy before anything of ours runs; empty if it is not.

    With one thread a process (`OMP_NUM_THREADS=1`) there is nothing to say, nor where no load is told.
    """
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= cores or threads == 1:
        return ""
    return (
        f"this machine is busy already (load average {load:.1f} on {cores} core(s)), and this run takes "
        f"{threads} threads; processes with several threads each slow one another down far more than their "
        "number tells. OMP_NUM_THREADS=1 in front of the command gives it one"
    )


def progress(
    items: Iterable | None, what: str, *, total: int | None = None, initial: int = 0, unit: str = "it"
) -> tqdm:
    """A plain text progress bar on standard error, the same in a terminal, a notebook and papermill.

    Where the environment holds `STAGE_LINES`, as under the runner, it is lines instead: one at the start, one
    a minute, one at the end.
    """
    if os.environ.get(STAGE_LINES) and not _QUIET.get():
        return _StageLines(items, what, total, initial)
    return tqdm(
        items,
        desc=what,
        total=total,
        initial=initial,
        unit=unit,
        disable=_QUIET.get(),
        mininterval=0.5,
        dynamic_ncols=False,
        ncols=88,
        file=sys.stderr,
    )


class _StageLines(tqdm):
    """Progress without a bar, for logs."""

    finished = False

    def __init__(self, items: Iterable | None, what: str, total: int | None, initial: int) -> None:
        super().__init__(items, total=total, initial=initial, disable=True)
        self.what = what
        self.start = self.told = time.monotonic()
        self._tell("")

    def __iter__(self) -> Iterator:
        try:
            for item in self.iterable or ():
                yield item
                self.update()
        finally:
            self.close()

    def update(self, n: float | None = 1) -> None:
        self.n += n or 0
        if time.monotonic() - self.told >= _A_LINE_EVERY:
            self._tell(self._elapsed())

    def close(self) -> None:
        if not self.finished:
            self.finished = True
            self._tell(self._elapsed())

    def _elapsed(self) -> str:
        return f" after {time.monotonic() - self.start:.1f} s"

    def _tell(self, elapsed: str) -> None:
        self.told = time.monotonic()
        of = f" of {self.total}" if self.total else ""
        print(f"{STAGE_MARK}{self.what}: {self.n}{of}{elapsed}", file=sys.stderr, flush=True)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars inside the block: where many runs go side by side, one bar counts them all."""
    before = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside the block torch computes with so many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def work_seconds(device: torch.device) -> float:
    """A clock for what learning costs: CPU seconds of this process, which count all its threads and no
    neighbour's; with a GPU, whose work those leave out, seconds of the clock.
    """
    return time.process_time() if device.type == "cpu" else time.perf_counter()


def provenance(device: str = "auto") -> dict[str, object]:
    """Where and with what a result was made: versions, hardware, commit, time (UTC)."""
    target = resolve_device(device)
    gpu = torch.cuda.get_device_name(target) if target.type == "cuda" else "none"
    return {
        "time_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "device": str(target),
        "gpu": gpu,
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The repository's commit, marked when the tree was changed since; `unknown` outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" (changed)" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
