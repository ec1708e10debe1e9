"""One method learned and evaluated under one seed: its R matrices and what it costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from moleflow_lib.config import BASELINES
from moleflow_lib.errors import TrainingError
from moleflow_lib.evaluation.continual import ContinualResult, evaluate_continual, evaluate_states
from moleflow_lib.evaluation.evaluator import Scorer, TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.store import Features
from moleflow_lib.metrics import METRICS
from moleflow_lib.studies.baselines.base import Baseline, Footprint
from moleflow_lib.studies.baselines.flows import joined

__all__ = ["METHOD", "Costs", "MethodRun", "run_method", "timed"]

METHOD = "moleflow"  # the method's own name among the baselines
_PROBED = 16  # training images whose scores must not change


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a method keeps and how long it takes; features are given, and seconds are those of the machine it
    ran on.
    """

    values_per_task: int  # the router's prototype included where a router chooses
    bytes_per_task: int
    shared_values: int
    learn_seconds: float  # all tasks, see `work_seconds`; of the first run, if read back
    score_seconds: float = 0.0  # an image, its own task's parts, in batches of 32; see `timed`


@dataclass(frozen=True, kw_only=True)
class MethodRun:
    """One method under one seed."""

    result: ContinualResult
    replicates: dict[
        str, dict[str, list[np.ndarray | None]]
    ]  # metric → oracle | routed → (rounds,) of each task, last row of R
    costs: Costs
    patch_scores: tuple[torch.Tensor, ...] = ()  # (N, H, W) of each task's test images, routed; if kept


@dataclass(frozen=True, kw_only=True)
class _Learned:
    """A method that has learned all tasks."""

    evaluators: Sequence[TaskEvaluator]
    footprint: Footprint
    seconds: float
    states: list[int | None] | None  # of a single model; None: parts for each task, behind the router


def run_method(experiment: Experiment, name: str = METHOD) -> MethodRun:
    """Learn a method on an experiment's features, or read it back, and evaluate it; a baseline with the
    experiment's router.

    Args:
        experiment: what the method itself has learned.
        name: `METHOD` or one of `BASELINES`.

    Raises:
        TrainingError: a loss was not finite, or something learned earlier changed its scores.
        ArtifactError: something stored is damaged.
    """
    return _evaluated(experiment, _learned(experiment, name))


def timed(runs: Sequence[MethodRun], experiment: Experiment, name: str) -> list[MethodRun]:
    """Runs of a method with the seconds that it takes to score an image, measured here and now on one of
    them, which is read back.

    Args:
        runs: of the method, under each seed.
        experiment: of one of the seeds.
        name: as in `run_method`.
    """
    learned = _learned(experiment, name)
    seconds = _score_seconds(learned.evaluators, _given(learned))
    return [replace(run, costs=replace(run.costs, score_seconds=seconds)) for run in runs]


def _learned(experiment: Experiment, name: str) -> _Learned:
    return _own(experiment) if name == METHOD else _baseline(experiment, name)


def _own(experiment: Experiment) -> _Learned:
    """The method itself, as its experiment has learned it."""
    seconds = sum(history.seconds for history in experiment.learn())
    shared, per_task, _ = experiment.detector.stored_values()  # known once it was learned
    stored = experiment.detector.value_counts()["stored_patches"]  # float16
    footprint = Footprint(per_task=per_task, bytes_per_task=4 * per_task - 2 * stored, shared=shared)
    return _Learned(evaluators=experiment.evaluators, footprint=footprint, seconds=seconds, states=None)


def _baseline(experiment: Experiment, name: str) -> _Learned:
    plan = BASELINES[name]
    config = experiment.config
    experiment.learn()
    count = len(experiment.tasks)
    # one model of all tasks gets the steps and the stored patches that they have together, and no one
    # prototype
    if plan.at_once:
        steps = config.train.steps * count
        config = config.with_(steps=steps, memory_size=config.score.memory_size * count, prototype_weight=0.0)
    baseline = plan.maker()(experiment.detector.dim, config, experiment.store.identity, experiment.folder)
    training_sets = [(task.name, experiment.features(task, "train")) for task in experiment.tasks]
    states: list[int | None] | None = None if plan.routed else list(range(len(training_sets)))
    if plan.at_once:
        states = [None] * (len(training_sets) - 1) + [0]
        training_sets = [("joint", joined([features for _, features in training_sets]))]
    seconds = _learn(baseline, training_sets, name)
    evaluators = [TaskEvaluator(own.task, own.features, baseline) for own in experiment.evaluators]
    return _Learned(evaluators=evaluators, footprint=baseline.footprint(), seconds=seconds, states=states)


def _learn(baseline: Baseline, training_sets: Sequence[tuple[str, Features]], what: str) -> float:
    """Learn all training_sets, then verify that none changed the scores of an earlier one by a bit; the
    seconds of learning.
    """
    seconds = 0.0
    probes = []
    for index, (name, train) in enumerate(training_sets):
        seconds += baseline.learn(name, train)
        probes.append(baseline.patch_scores(train.patches[:_PROBED], index))
    for index, ((name, train), probe) in enumerate(zip(training_sets, probes, strict=True)):
        if not torch.equal(baseline.patch_scores(train.patches[:_PROBED], index), probe):
            raise TrainingError(f"{what}: the scores of {name} changed after it was learned")
    return seconds


def _evaluated(experiment: Experiment, learned: _Learned) -> MethodRun:
    evaluators, footprint = learned.evaluators, learned.footprint
    router = experiment.detector.router
    prototype = experiment.detector.stored_values()[2]
    given = _given(learned)
    if learned.states is None:
        result = evaluate_continual(evaluators, router)
        routed = [router.route(evaluator.image_means) for evaluator in evaluators]
    else:
        result = evaluate_states(evaluators, learned.states)
        prototype = 0
        routed = given
        footprint = Footprint(per_task=0, bytes_per_task=0, shared=footprint.per_task + footprint.shared)
    costs = Costs(
        values_per_task=footprint.per_task + prototype,
        bytes_per_task=footprint.bytes_per_task + 4 * prototype,
        shared_values=footprint.shared,
        learn_seconds=learned.seconds,
    )
    ways = {"oracle": _replicates(evaluators, given), "routed": _replicates(evaluators, routed)}
    replicates = {
        metric: {way: [own[metric] for own in rows] for way, rows in ways.items()} for metric in METRICS
    }
    patch_scores = (evaluator.patch_scores(part) for evaluator, part in zip(evaluators, routed, strict=True))
    return MethodRun(result=result, replicates=replicates, costs=costs, patch_scores=tuple(patch_scores))


def _given(learned: _Learned) -> list[int]:
    """The parts that each task's images are scored under where the task is given, or the last state."""
    count = len(learned.evaluators)
    if learned.states is None:
        return list(range(count))
    return [next(state for state in reversed(learned.states) if state is not None)] * count


def _replicates(
    evaluators: Sequence[TaskEvaluator], parts: Sequence[torch.Tensor | int]
) -> list[dict[str, np.ndarray | None]]:
    return [evaluator.replicates(part) for evaluator, part in zip(evaluators, parts, strict=True)]


def _score_seconds(evaluators: Sequence[TaskEvaluator], parts: Sequence[int]) -> float:
    """Seconds of the clock to score one image, over at most 32 test images of each task."""
    images = 0
    seconds = 0.0
    for evaluator, part in zip(evaluators, parts, strict=True):
        batch = evaluator.features.patches[:32].clone()
        seconds += _timed(evaluator.detector, batch, evaluator.image_means[:32], part)
        images += len(batch)
    return seconds / images


def _timed(scorer: Scorer, patches: torch.Tensor, image_means: torch.Tensor, part: int) -> float:
    start = time.perf_counter()
    scorer.scores(patches, image_means, part)
    return time.perf_counter() - start
