"""One run as a job for another process. Failures are isolated: reported, not raised."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from moleflow_lib.errors import ArtifactError, MoLEFlowError
from moleflow_lib.experiment import Experiment
from moleflow_lib.runtime import quiet, threads
from moleflow_lib.stopping import leave_with_parent
from moleflow_lib.studies.ablation.grid import AblationRun
from moleflow_lib.studies.ablation.measuring import input_keys, keep, measure, run_key

__all__ = ["Job", "carry_out", "gpu_of"]

_ONE_AT_A_TIME = threading.Lock()  # a run seeds the process's global generators


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run, the key of its result, and where both sides look for files.

    Attributes:
        run: paths absolute, device resolved.
        key: from `run_key`, computed where the grid was expanded.
        path: the result's file.
        plan: the grid's file; a process that does not see it does not share the file system.
    """

    run: AblationRun
    key: str
    path: Path
    plan: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name


def carry_out(job: Job, gpus: Sequence[str] = (), parent: int = 0) -> tuple[str, str]:
    """Do one run and keep its result; a run kept already is not done again.

    A run takes one CPU thread wherever it is, so that its numbers do not depend on the machine's
    cores or on what runs beside it.

    Args:
        job: the run.
        gpus: GPUs shared out among the processes of this machine, by the processes' numbers.
        parent: number of the process that this one must not outlive; 0: none.

    Returns:
        The key, and what went wrong, empty if nothing: no error is raised, so one run's failure
        leaves the others alone.
    """
    leave_with_parent(parent)
    try:
        with _ONE_AT_A_TIME, quiet(), _own_share(gpus):
            if not job.path.is_file():
                keep(job.path, job.key, _measured(job))
        return job.key, ""
    except MoLEFlowError as error:
        return job.key, f"{type(error).__name__}: {error}"
    except Exception as error:  # a run's failure is reported, not raised
        traceback.print_exc(file=sys.stderr)
        return job.key, f"{type(error).__name__}: {error}"


def gpu_of(process: str, gpus: Sequence[str]) -> str:
    """The GPU of a worker process, round-robin by the number its name ends in.

    >>> [gpu_of(f"LokyProcess-{number}", ["4", "6"]) for number in (1, 2, 3)]
    ['4', '6', '4']
    """
    number = process.rpartition("-")[2]
    return gpus[(int(number) - 1) % len(gpus)] if number.isdigit() else gpus[0]


def _measured(job: Job) -> dict[str, object]:
    if not job.plan.is_file():
        raise ArtifactError(
            f"{socket.gethostname()} does not see {job.plan}; every worker must reach the run's folder "
            "(out_dir) and the dataset under the same paths, e.g. on a shared file system"
        )
    experiment = Experiment(job.run.config)
    if run_key(job.run, input_keys(experiment)) != job.key:
        raise ArtifactError(
            f"{socket.gethostname()} has other images, weights or another version of moleflow_lib than the "
            "machine that made the plan; give all workers the same ones"
        )
    return measure(job.run, experiment)


@contextmanager
def _own_share(gpus: Sequence[str]) -> Iterator[None]:
    """Hold this process to one thread and, if GPUs are shared out, to its own."""
    process = multiprocessing.current_process().name
    if gpus and process != "MainProcess":
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(process, gpus)
    with threads(1), threadpool_limits(1):
        yield
