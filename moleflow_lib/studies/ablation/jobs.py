"""One run as a job for another process. Failures are isolated: reported, not raised."""

from __future__ import annotations

import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from moleflow_lib.errors import ArtifactError, MoLEFlowError
from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.ablation.grid import AblationRun
from moleflow_lib.studies.ablation.measuring import input_keys, keep, measure, run_key
from moleflow_lib.studies.workers import one_thread

__all__ = ["Job", "attempt", "carry_out"]


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


def carry_out(job: Job) -> tuple[str, str]:
    """`attempt` on one CPU thread, for a worker of a cluster: its numbers depend neither on the machine's
    cores nor on what runs beside it.
    """
    with one_thread():
        return attempt(job)


def attempt(job: Job) -> tuple[str, str]:
    """Do one run and keep its result; a run kept already is not done again.

    Returns:
        The key, and what went wrong, empty if nothing: no error is raised, so one run's failure
        leaves the others alone.
    """
    try:
        if not job.path.is_file():
            keep(job.path, job.key, _measured(job))
        return job.key, ""
    except MoLEFlowError as error:
        return job.key, f"{type(error).__name__}: {error}"
    except Exception as error:  # a run's failure is reported, not raised
        traceback.print_exc(file=sys.stderr)
        return job.key, f"{type(error).__name__}: {error}"


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
