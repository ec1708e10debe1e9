"""Jobs of one CPU thread each, side by side in worker processes on this machine's cores or GPUs."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from joblib.externals.loky import ProcessPoolExecutor, as_completed
from threadpoolctl import threadpool_limits

from moleflow_lib.config import BASELINES, PATHS, ExperimentConfig
from moleflow_lib.errors import RunError
from moleflow_lib.features.backbone_table import BACKBONES
from moleflow_lib.metrics import METRICS
from moleflow_lib.runtime import quiet, resolve_device, threads
from moleflow_lib.stopping import leave_with_parent

__all__ = ["Carry", "gpu_of", "known_here_alone", "one_thread", "placed", "side_by_side"]

Work = TypeVar("Work")
Outcome = TypeVar("Outcome")
_ONE_AT_A_TIME = threading.Lock()  # a job seeds the process's global generators


class Carry(Protocol):
    """Starts jobs and gives what a function makes of each, as they end; what it raises is raised here."""

    def __call__(self, act: Callable[[Work], Outcome], jobs: Sequence[Work], /) -> Iterator[Outcome]: ...


@contextmanager
def side_by_side(workers: int, gpus: Sequence[str] = ()) -> Iterator[Carry]:
    """Worker processes for jobs that can be pickled, and functions that other processes know by their name.
    No job goes on once the block is left, however that is, or once this process has ended.

    Args:
        workers: processes; 0: this one does a job when its outcome is asked for.
        gpus: shared out among the workers.

    Yields:
        What carries jobs out. It raises RunError where a worker dies.
    """
    if not workers:
        yield lambda act, jobs: (_done(act, job) for job in jobs)
        return
    executor = ProcessPoolExecutor(workers)

    def carry(act: Callable[[Work], Outcome], jobs: Sequence[Work], /) -> Iterator[Outcome]:
        with _told():
            return _outcomes([executor.submit(_done, act, job, gpus, os.getpid()) for job in jobs])

    try:
        yield carry
    finally:
        executor.shutdown(kill_workers=True)


def _outcomes(futures: Sequence[Future[Outcome]]) -> Iterator[Outcome]:
    with _told():
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process died before it was finished; run again, with fewer ablation_jobs if memory "
            f"was short ({error})"
        ) from error


@contextmanager
def one_thread(gpus: Sequence[str] = ()) -> Iterator[None]:
    """Hold this process to one CPU thread, one job at a time and no progress bars inside the block, and a
    worker to its own GPU: numbers depend neither on the machine's cores nor on what runs beside.
    """
    process = multiprocessing.current_process().name
    with _ONE_AT_A_TIME, quiet():
        if gpus and process != "MainProcess":
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(process, gpus)
        with threads(1), threadpool_limits(1):
            yield


def gpu_of(process: str, gpus: Sequence[str]) -> str:
    """The GPU of a worker process, round-robin by the number its name ends in.

    >>> [gpu_of(f"LokyProcess-{number}", ["4", "6"]) for number in (1, 2, 3)]
    ['4', '6', '4']
    """
    number = process.rpartition("-")[2]
    return gpus[(int(number) - 1) % len(gpus)] if number.isdigit() else gpus[0]


def known_here_alone(backbones: Collection[str], baselines: Collection[str] = ()) -> list[str]:
    """What was registered in this process, so that workers do not know it: metrics, and of the names given
    backbones and baselines.
    """
    return [
        *(f"metric {name}" for name in METRICS.added),
        *(f"backbone {name}" for name in BACKBONES.added if name in backbones),
        *(f"baseline {name}" for name in BASELINES.added if name in baselines),
    ]


def placed(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration with absolute paths and the device named, so that it means the same elsewhere."""
    paths = {name: str(Path(str(value)).resolve()) for name in PATHS if (value := config[name])}
    return config.with_(**paths, device=str(resolve_device(config.run.device)), scheduler="", ablation_jobs=0)


def _done(act: Callable[[Work], Outcome], job: Work, gpus: Sequence[str] = (), parent: int = 0) -> Outcome:
    leave_with_parent(parent)
    with one_thread(gpus):
        return act(job)
