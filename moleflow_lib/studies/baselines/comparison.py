"""The method beside its baselines: all of them learned and evaluated, over one seed or several, with
intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from moleflow_lib.config import BASELINES
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, average, interval, mean_defined, over_seeds
from moleflow_lib.studies.baselines.run import MethodRun, run_baseline, run_method

__all__ = ["METHOD", "Comparison", "Estimate", "compare"]

METHOD = "moleflow"  # the method's own name among the baselines


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


def compare(experiment: Experiment) -> Comparison:
    """Learn and evaluate the method and the baselines that the configuration names.

    `adapter_only` is left out where there is no invertible adapter (`dia_blocks` 0).

    Args:
        experiment: the method under the configuration's own seed; other seeds get experiments of their own.
    """
    config = experiment.config
    seeds = config.study.comparison_seeds or (config.train.seed,)
    possible = [name for name in config.study.baselines if name != "adapter_only" or config.flow.dia_blocks]
    runs: dict[str, list[MethodRun]] = {name: [] for name in (METHOD, *possible)}
    for seed in seeds:
        run = experiment if seed == config.train.seed else Experiment(config.with_(seed=seed))
        for name, done in runs.items():
            one = run_method(run) if name == METHOD else run_baseline(run, name)
            kept = one.patch_scores if run is experiment and name != METHOD else ()
            done.append(replace(one, patch_scores=kept))
    return Comparison(classes=tuple(task.name for task in experiment.tasks), seeds=seeds, runs=runs)
