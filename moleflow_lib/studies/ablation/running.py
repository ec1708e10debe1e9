"""Carrying out a grid: finished runs are read back, the rest go side by side, and one failure stops no other
run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import joblib
import torch

from moleflow_lib.errors import ConfigError, RunError, problem_list
from moleflow_lib.experiment import Experiment
from moleflow_lib.runtime import progress
from moleflow_lib.storage.disk import write_json
from moleflow_lib.storage.keys import digest
from moleflow_lib.studies.ablation.cluster import Cluster
from moleflow_lib.studies.ablation.grid import AblationRun, waves
from moleflow_lib.studies.ablation.jobs import Job, attempt
from moleflow_lib.studies.ablation.measuring import DECIDING, input_keys, kept, run_key
from moleflow_lib.studies.workers import Carry, known_here_alone, placed, side_by_side

__all__ = ["run_ablation"]


def run_ablation(
    runs: Sequence[AblationRun], folder: Path, *, jobs: int = 0, scheduler: str = ""
) -> list[dict[str, object]]:
    """Carry out runs, or read back those that were finished before.

    Runs are independent. Each keeps its result under a key of its configuration and inputs, written
    whole or not at all, by the process that made it. Features are extracted here, before the runs are
    shared out; runs that need the same trained task go in different waves (`waves`). A run takes one CPU
    thread wherever it is, so results are the same bit by bit, one after another, side by side or on a
    cluster.

    Args:
        runs: from `planned_runs`.
        folder: where each finished run keeps its result; with a cluster, workers must see it, the
            run's `out_dir`, its `store_dir` and the dataset under the same paths.
        jobs: runs side by side here; 0 means one a core, or one a GPU.
        scheduler: address of a Dask scheduler, tcp://host:port, whose workers carry the runs instead.

    Returns:
        One row a run, in the order given: `variation`, `changes` (the options set), and what `measure`
            returns.

    Raises:
        RunError: some runs failed, each listed with its key; all others were finished and are kept.
        ArtifactError: a kept result is damaged.
        ConfigError: the scheduler does not answer, or Dask is missing; a metric or the backbone was
            registered in this process alone, so that workers do not know it.
    """
    _require_known_elsewhere(runs)
    planned = _planned_jobs(runs, folder)
    finished = {job.key for job in planned if job.path.is_file() and kept(job.path, job.key, job.run)}
    pending = [job for job in planned if job.key not in finished]
    failures = _fan_out(pending, len(planned), jobs, scheduler) if pending else {}
    lost = [job for job in planned if not job.path.is_file()]
    if lost:
        left = f"its result was not left in {folder}, which all workers must share"
        raise RunError(
            problem_list(
                f"{len(lost)} of {len(planned)} ablation runs failed; the others are kept and will not run "
                "again:",
                [f"{job.run.name} (key {job.key[:24]}): {failures.get(job.key, left)}" for job in lost],
            )
        )
    return [kept(job.path, job.key, job.run) for job in planned]


def _require_known_elsewhere(runs: Sequence[AblationRun]) -> None:
    """Runs are carried out by other processes, which know what stands in the library's tables."""
    alone = known_here_alone({run.config.features.backbone for run in runs})
    if alone:
        raise ConfigError(
            f"expected names that worker processes know, found {', '.join(alone)}, registered in this "
            "process; write the entry into the library's table (docs/extending.md)"
        )


def _planned_jobs(runs: Sequence[AblationRun], folder: Path) -> list[Job]:
    """Runs with their keys; extracts what features are missing and leaves the grid's file."""
    runs = [replace(run, config=placed(run.config)) for run in runs]
    inputs: dict[str, dict[str, object]] = {}
    for run in runs:  # variations and seeds share their inputs
        data = digest(run.config.group("data", "features"))
        inputs[data] = inputs.get(data) or input_keys(Experiment(run.config))
    keyed = [(run_key(run, inputs[digest(run.config.group("data", "features"))]), run) for run in runs]
    grid = [
        {"key": key, "variation": run.variation, "seed": run.seed, "config": run.config.group(*DECIDING)}
        for key, run in keyed
    ]
    folder = folder.resolve()
    plan = folder / "plans" / f"{digest(grid)[:24]}.json"
    if not plan.is_file():  # a finished run is read from a disk that cannot be written
        write_json(plan, {"runs": grid})
    return [Job(run=run, key=key, path=folder / f"{key[:24]}.json", plan=plan) for key, run in keyed]


def _fan_out(pending: Sequence[Job], total: int, jobs: int, scheduler: str) -> dict[str, str]:
    """Carry out what is not finished, wave by wave; key → what went wrong, for the runs that failed."""
    failures: dict[str, str] = {}
    by_name = {job.run.name: job for job in pending}
    planned = [[by_name[run.name] for run in wave] for wave in waves([job.run for job in pending])]
    with (
        _carrier(planned, jobs, scheduler) as outcomes,
        progress(None, "ablation runs", total=total, initial=total - len(pending)) as bar,
    ):
        for wave in planned:
            for key, problem in outcomes(wave):
                failures |= {key: problem} if problem else {}
                bar.update()
    return failures


@contextmanager
def _carrier(
    planned: Sequence[Sequence[Job]], jobs: int, scheduler: str
) -> Iterator[Callable[[Sequence[Job]], Iterator[tuple[str, str]]]]:
    """What gives the outcomes of a wave as they come: a cluster, or this machine's cores or GPUs."""
    if scheduler:
        with closing(Cluster(scheduler)) as cluster:
            yield cluster.outcomes
        return
    gpus = _gpus(planned[0][0].run.config.run.device)
    workers = min(jobs or len(gpus) or joblib.cpu_count(), max(map(len, planned)))
    with side_by_side(workers if workers > 1 else 0, gpus) as carry:
        yield lambda wave: _local(wave, carry)


def _local(wave: Sequence[Job], carry: Carry) -> Iterator[tuple[str, str]]:
    missing = {job.key for job in wave}
    try:
        for key, problem in carry(attempt, wave):
            missing.discard(key)
            yield key, problem
    except RunError as died:
        yield from ((key, str(died)) for key in sorted(missing))


def _gpus(device: str) -> list[str]:
    """The GPUs to share out: those torch sees if runs go to `cuda`, none if to the CPU or to one GPU by
    number.
    """
    if device != "cuda":
        return []
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named or [str(index) for index in range(torch.cuda.device_count())]
