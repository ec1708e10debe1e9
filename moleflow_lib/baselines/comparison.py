"""The method beside plainer ones: all of them learned and evaluated, over one seed or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moleflow_lib.baselines.trial import Costs, Trial, try_baseline, try_method
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, mean_defined

__all__ = ["METHOD", "Comparison", "compare"]

METHOD = "moleflow"  # the method's own name among the baselines


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every method under every seed."""

    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: Mapping[str, tuple[Trial, ...]]  # name → one trial a seed; the method itself first

    def final(self, name: str, metric: str, way: str) -> list[float | None]:
        """A metric of every task after the last one, the mean over seeds."""
        rows = [trial.result.final(metric, way) for trial in self.trials[name]]
        return [mean_defined(column) for column in zip(*rows, strict=True)]

    def summary(self, name: str) -> dict[str, dict[str, dict[str, object]]]:
        """Metric → way → `acc`, `fm_max`, `fm_first`, `bwt`, the means over seeds."""
        summaries = [trial.result.summary() for trial in self.trials[name]]
        return {
            metric: {way: {key: mean_defined([s[metric][way][key] for s in summaries]) for key in summaries[0][metric][way]}
                     for way in ("oracle", "routed")}
            for metric in METRICS
        }

    def costs(self, name: str) -> dict[str, float]:
        """Each of `Costs`, the mean over seeds; counts are the same for all."""
        rows = [trial.costs for trial in self.trials[name]]
        fields = Costs.__dataclass_fields__
        means = {field: sum(getattr(row, field) for row in rows) / len(rows) for field in fields}
        return {field: round(value) if "seconds" not in field else value for field, value in means.items()}


def compare(experiment: Experiment) -> Comparison:
    """Learn and evaluate the method and the baselines that the configuration names.

    Args:
        experiment: the method under the configuration's own seed; other seeds get experiments of their own.
    """
    config = experiment.config
    seeds = config.comparison_seeds or (config.seed,)
    trials: dict[str, list[Trial]] = {name: [] for name in (METHOD, *config.baselines)}
    for seed in seeds:
        run = experiment if seed == config.seed else Experiment(config.with_(seed=seed))
        for name, done in trials.items():
            done.append(try_method(run) if name == METHOD else try_baseline(run, name))
    names = tuple(task.name for task in experiment.tasks)
    return Comparison(classes=names, seeds=seeds, trials={name: tuple(done) for name, done in trials.items()})
