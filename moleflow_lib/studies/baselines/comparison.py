"""The method beside its baselines: all of them learned and evaluated, over one seed or several, with
intervals.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain

import joblib
import numpy as np
import torch

from moleflow_lib.config import BASELINES, ExperimentConfig
from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, average, interval, mean_defined, over_seeds
from moleflow_lib.runtime import progress, resolve_device
from moleflow_lib.studies.baselines.run import METHOD, MethodRun, run_method, timed
from moleflow_lib.studies.workers import Carry, known_here_alone, one_thread, placed, side_by_side

__all__ = ["METHOD", "Comparison", "Estimate", "compare"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval over test images and seeds; None where undefined.

    >>> Estimate(value=0.5, interval=(0.4, 0.6)).decided()
    True
    """

    value: float | None
    interval: tuple[float, float] | None

    def decided(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every method under every seed; numbers are means over seeds."""

    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: Mapping[str, Sequence[MethodRun]]  # name → one run a seed; the method itself first
    control: ContinualResult | None = None  # the method on the control backbone, if that was asked for

    @property
    def others(self) -> list[str]:
        """The baselines."""
        return [name for name in self.runs if name != METHOD]

    def best(self, metric: str) -> str | None:
        """The rival whose mean over tasks is the highest, routed; None where it is undefined for all.

        Variations of the method (`BaselineEntry.relative`) are no rivals, unless they are all there is.
        """
        rivals = [name for name in self.others if not BASELINES[name].relative] or self.others
        values = ((name, self.mean(name, metric).value) for name in rivals)
        known = {name: value for name, value in values if value is not None}
        return max(known, key=known.__getitem__, default=None)

    def patch_scores(self, name: str) -> tuple[torch.Tensor, ...]:
        """Routed scores (N, H, W) of each task's test images by a baseline, under the experiment's own seed;
        empty where that seed is not among those compared.
        """
        return next((run.patch_scores for run in self.runs[name] if run.patch_scores), ())

    def final(self, name: str, metric: str, way: str = "routed") -> list[float | None]:
        """A metric of every task after the last one."""
        rows = [run.result.final(metric, way) for run in self.runs[name]]
        return [mean_defined(column) for column in zip(*rows, strict=True)]

    def alone(self) -> dict[str, list[float | None]] | None:
        """Metric → what a separate model scores on each task, oracle; None if that was not learned."""
        return (
            {metric: self.final("separate", metric, "oracle") for metric in METRICS}
            if "separate" in self.runs
            else None
        )

    def summary(self, name: str) -> dict[str, dict[str, dict[str, float | None]]]:
        """Metric → way → what `continual_summary` gives."""
        rows = [run.result.summary(self.alone()) for run in self.runs[name]]
        return {
            metric: {
                way: {key: mean_defined([row[metric][way][key] for row in rows]) for key in values}
                for way, values in ways.items()
            }
            for metric, ways in rows[0].items()
        }

    def mean(self, name: str, metric: str, way: str = "routed") -> Estimate:
        """A metric's mean over tasks."""
        return Estimate(
            value=mean_defined(self.final(name, metric, way)),
            interval=interval(self._pooled(name, metric, way)),
        )

    def difference(self, name: str, metric: str, way: str = "routed", task: int | None = None) -> Estimate:
        """The method minus a baseline on the same drawn images: one task's metric, or the mean over tasks."""
        chosen = slice(None) if task is None else slice(task, task + 1)
        own, other = (mean_defined(self.final(who, metric, way)[chosen]) for who in (METHOD, name))
        drawn, theirs = (self._pooled(who, metric, way, chosen) for who in (METHOD, name))
        if own is None or other is None or drawn is None or theirs is None:
            return Estimate(value=None, interval=None)
        return Estimate(value=own - other, interval=interval(drawn - theirs))

    def costs(self, name: str) -> dict[str, float]:
        """Each of `Costs`, the mean over seeds."""
        rows = [asdict(run.costs) for run in self.runs[name]]
        return {key: type(value)(np.mean([row[key] for row in rows])) for key, value in rows[0].items()}

    def _pooled(self, name: str, metric: str, way: str, chosen: slice = slice(None)) -> np.ndarray | None:
        """(rounds,) replicates of a mean over tasks and seeds; None where it is undefined."""
        seeds = [average(run.replicates[metric][way][chosen]) for run in self.runs[name]]
        known = [values for values in seeds if values is not None]
        return over_seeds(known) if known else None


def compare(experiment: Experiment, *, control: bool = False) -> Comparison:
    """Learn and evaluate the method and the baselines that the configuration names, side by side.

    Each baseline takes one CPU thread wherever it runs, so its results are the same bit by bit on any number
    of cores.
    `adapter_only` is left out where there is no invertible adapter (`dia_blocks` 0). What scoring costs is
    measured last, with nothing beside it.

    Args:
        experiment: the method under the configuration's own seed; other seeds get experiments of their own.
        control: whether to learn and evaluate `Experiment.control` too, if the configuration names one.

    Raises:
        MoLEFlowError: one of them failed; what was learned by then is kept.
    """
    config = experiment.config
    seeds = config.study.comparison_seeds or (config.train.seed,)
    possible = [name for name in config.study.baselines if name != "adapter_only" or config.flow.dia_blocks]
    names = (METHOD, *possible)
    experiment.learn()
    runs, controlled = _all_runs(experiment, names, seeds, experiment.control() if control else None)
    base = experiment if config.train.seed in seeds else Experiment(config.with_(seed=seeds[0]))
    with one_thread():
        of_seeds = {name: [runs[name, seed] for seed in seeds] for name in names}
        done = {name: timed(some, base, name) for name, some in of_seeds.items()}
    classes = tuple(task.name for task in experiment.tasks)
    return Comparison(classes=classes, seeds=seeds, runs=done, control=controlled)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One method under one seed, for another process or this one."""

    name: str
    config: ExperimentConfig
    call: str  # of `compare`: what a worker opened for an earlier call may be out of date
    own: bool  # whether the seed is the experiment's own, so that patch scores are kept
    opened: Experiment | None  # what the configuration opens, if that is open in the same process


def _all_runs(
    experiment: Experiment, names: Sequence[str], seeds: Sequence[int], control: Experiment | None
) -> tuple[dict[tuple[str, int], MethodRun], ContinualResult | None]:
    """(name, seed) → run, and the control, which is evaluated here while workers are at the first runs.

    Under each other seed the method itself comes first, since baselines take its router.
    """
    own = experiment.config.train.seed
    others = [seed for seed in seeds if seed != own]
    done = {(METHOD, own): _own_run(experiment)} if own in seeds else {}
    first = [(METHOD, seed) for seed in others] + [(name, own) for name in names[1:] if own in seeds]
    second = [(name, seed) for seed in others for name in names[1:]]
    total = len(names) * len(seeds) + bool(control)
    workers = _workers(experiment.config, len(first), bool(control))
    with (
        progress(None, "methods compared", total=total, initial=len(done)) as bar,
        side_by_side(workers) as carry,
    ):
        outcomes = carry(_run, _jobs(experiment, first, workers))
        result = _controlled(control) if control else None
        bar.update(bool(control))
        for key, run in chain(outcomes, _later(carry, _jobs(experiment, second, workers))):
            done[key] = run
            bar.update()
    return done, result


def _later(carry: Carry, jobs: Sequence[_Job]) -> Iterator[tuple[tuple[str, int], MethodRun]]:
    """Outcomes of jobs that start when the first one is asked for."""
    yield from carry(_run, jobs)


def _workers(config: ExperimentConfig, jobs: int, beside: bool) -> int:
    """How many processes take so many jobs, one a core, this one among them if it works beside them; 0 where
    others cannot or should not take them.
    """
    backbones = {config.features.backbone, config.study.control_backbone}
    alone = known_here_alone(backbones, config.study.baselines)
    if alone or resolve_device(config.run.device).type != "cpu":
        return 0
    most = min(config.run.ablation_jobs or joblib.cpu_count(), jobs + beside)
    return most - beside if most > 1 else 0


def _jobs(experiment: Experiment, wave: Sequence[tuple[str, int]], workers: int) -> list[_Job]:
    config = placed(experiment.config)
    own = experiment.config.train.seed
    call = uuid.uuid4().hex
    opened = {} if workers else {own: experiment}
    return [
        _Job(name=name, config=config.with_(seed=seed), call=call, own=seed == own, opened=opened.get(seed))
        for name, seed in wave
    ]


def _run(job: _Job) -> tuple[tuple[str, int], MethodRun]:
    run = run_method(job.opened or _experiment(job.config, job.call), job.name)
    kept = run.patch_scores if job.own else ()
    return (job.name, job.config.train.seed), replace(run, patch_scores=kept)


@lru_cache(maxsize=1)
def _experiment(config: ExperimentConfig, call: str) -> Experiment:
    """What a worker's jobs of one call share."""
    return Experiment(config)


def _own_run(experiment: Experiment) -> MethodRun:
    with one_thread():
        return replace(run_method(experiment), patch_scores=())


def _controlled(control: Experiment) -> ContinualResult:
    for task in control.tasks:
        for split in ("train", "test"):
            control.features(task, split)  # on all cores: the same bits
    with one_thread():
        return control.evaluate()
