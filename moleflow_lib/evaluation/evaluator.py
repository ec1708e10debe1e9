"""What the detector finds on every task, after every task, with the task given and with it chosen.

`oracle`: each image is scored with the parts of the task it belongs to. `routed`: with those of the
task the router picks among the ones known at that moment. Only `routed` is what a factory would see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch

from moleflow_lib.config import ExperimentConfig, ScoreOptions
from moleflow_lib.datasets import Task, load_mask
from moleflow_lib.features.store import Features
from moleflow_lib.metrics import (
    METRICS,
    ROUNDS,
    Replicates,
    average,
    continual_summary,
    image_metrics,
    mean_defined,
    pixel_metrics,
    replicate_metrics,
    routing_summary,
)
from moleflow_lib.routing.router import PrototypeRouter
from moleflow_lib.scoring.aggregation import pixel_maps

__all__ = ["ContinualResult", "MapSource", "Scorer", "TaskEvaluator", "evaluate_continual", "evaluate_states"]

_IMAGES_AT_ONCE = 16
_MASKS_KEPT = 4096  # 6 KiB each at 224 pixels; beyond that masks are read again


class Scorer(Protocol):
    """All that an evaluation asks of a detector, whatever it is made of."""

    config: ExperimentConfig

    def patch_scores(self, patches: torch.Tensor, task: int, /) -> torch.Tensor:
        """Features (N, H, W, D) to scores (N, H, W) under one task's parts, on the CPU; higher = more anomalous."""

    def image_scores(self, patch_scores: torch.Tensor, image_means: torch.Tensor, task: int, /) -> torch.Tensor:
        """Patch scores (N, H, W) and mean features (N, D) of images to one score each (N,); higher = more anomalous."""


@dataclass(frozen=True, kw_only=True)
class ContinualResult:
    """The R matrices of a sequence and all that is read off them."""

    classes: tuple[str, ...]  # task names in order
    matrices: dict[str, dict[str, list[list[float | None]]]]  # metric → oracle | routed → R[i][j]
    routing: dict[str, object] | None  # after the last task, see `routing_summary`; None where nothing is routed
    routing_over_time: list[float]  # accuracy over the tasks known so far, after each task

    def summary(
        self, separate: Mapping[str, Sequence[float | None]] | None = None
    ) -> dict[str, dict[str, dict[str, float | None]]]:
        """Metric → oracle | routed → `acc`, `fm_max`, `fm_first`, `bwt`, `gap_to_separate`.

        Args:
            separate: metric → one score a task, of models trained on each task alone; without it the
                gap is None.
        """
        alone = separate or {}
        return {
            metric: {way: continual_summary(matrix, alone.get(metric)) for way, matrix in ways.items()}
            for metric, ways in self.matrices.items()
        }

    def final(self, metric: str, way: str = "routed") -> list[float | None]:
        """A metric of every task after the last one was learned."""
        return self.matrices[metric][way][-1]

    def classes_with_masks(self) -> list[str]:
        """Tasks whose pixel metrics are defined."""
        return [name for name, value in zip(self.classes, self.final("pixel_auroc", "oracle"), strict=True) if value is not None]


class MapSource:
    """Pixel maps and masks of scored images, made block by block each time it is iterated.

    Args:
        patch_scores: (N, H, W).
        masks: reads the mask (S, S) of image n.
        options: evaluation size and smoothing.
    """

    def __init__(self, patch_scores: torch.Tensor, masks: Callable[[int], np.ndarray], options: ScoreOptions) -> None:
        self._scores = patch_scores
        self._mask = masks
        self._options = options

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        options = self._options
        for start in range(0, len(self._scores), _IMAGES_AT_ONCE):
            block = self._scores[start : start + _IMAGES_AT_ONCE]
            maps = pixel_maps(block, options.eval_size, options.smoothing_sigma).numpy()
            yield maps, np.stack([self._mask(start + n) for n in range(len(block))])


class TaskEvaluator:
    """Scores one task's test images under any task's parts, each image and part at most once.

    Args:
        task: the task.
        features: features of its test records, in their order.
        detector: what scores them, all tasks learned.

    Attributes:
        labels: (N,) 1 defective, 0 normal, -1 unlabelled: scored, and left out of every metric.
    """

    def __init__(self, task: Task, features: Features, detector: Scorer) -> None:
        self.task, self.features, self.detector, self.config = task, features, detector, detector.config
        self.labels = np.array([-1 if record.label is None else record.label for record in task.test], dtype=int)
        self.image_means = features.image_means()
        self._scores: dict[int, torch.Tensor] = {}
        self._metrics: dict[tuple[int, ...], dict[str, float | None]] = {}
        self._packed_mask = lru_cache(maxsize=_MASKS_KEPT)(self._read_mask)

    def patch_scores(self, tasks: torch.Tensor | int) -> torch.Tensor:
        """Patch scores (N, H, W) of its test images, each under the task named for it (N,)."""
        tasks = torch.as_tensor(tasks).expand(len(self.task.test))
        result = torch.empty(self.features.patches.shape[:-1])
        for task in tasks.unique().tolist():
            known = self._scores.setdefault(task, torch.full_like(result, float("nan")))
            wanted = tasks == task
            missing = wanted & known[:, 0, 0].isnan()
            if missing.any():
                known[missing] = self.detector.patch_scores(self.features.patches[missing], task)
            result[wanted] = known[wanted]
        return result

    def metrics(self, tasks: torch.Tensor | int) -> dict[str, float | None]:
        """Metrics of its test images under the tasks named; several products are averaged."""
        tasks = torch.as_tensor(tasks).expand(len(self.task.test))
        key = tuple(tasks.tolist())
        if key not in self._metrics:
            rows = [
                image_metrics(scores, labels) | ({} if maps is None else pixel_metrics(maps))
                for _, scores, labels, maps in self._products(tasks)
            ]
            self._metrics[key] = {metric: mean_defined([row.get(metric) for row in rows]) for metric in METRICS}
        return self._metrics[key]

    def replicates(self, tasks: torch.Tensor | int, rounds: int = ROUNDS) -> Replicates:
        """Metrics under the tasks named, on test images drawn anew; see `replicate_metrics` for what that covers.

        The images of a round depend on the product and the round alone, so replicates of two methods,
        routes or seeds are paired. Several products are averaged.

        Returns:
            Metric → (rounds,), or None where it is undefined.
        """
        tasks = torch.as_tensor(tasks).expand(len(self.task.test))
        rows = [
            replicate_metrics(scores, labels, name, maps, rounds) for name, scores, labels, maps in self._products(tasks)
        ]
        return {metric: average([row[metric] for row in rows]) for metric in METRICS}

    def image_scores(self, tasks: torch.Tensor | int) -> np.ndarray:
        """(N,) anomaly score of each test image under the tasks named; higher = more anomalous."""
        tasks = torch.as_tensor(tasks).expand(len(self.task.test))
        patch_scores, result = self.patch_scores(tasks), torch.empty(len(tasks))
        for task in tasks.unique().tolist():
            own = tasks == task
            result[own] = self.detector.image_scores(patch_scores[own], self.image_means[own], task)
        return result.numpy()

    def mask(self, image: int) -> np.ndarray:
        """(S, S) bool defect mask of a test image at the evaluation size; empty without a defect."""
        size, packed = self.config.score.eval_size, self._packed_mask(image)
        return np.unpackbits(packed, count=size * size).reshape(size, size).astype(bool)

    def masks(self) -> np.ndarray:
        """(N, S, S) bool defect masks of all test images."""
        return np.stack([self.mask(image) for image in range(len(self.task.test))])

    def maps(self, patch_scores: torch.Tensor) -> np.ndarray:
        """(N, S, S) pixel maps at the evaluation size."""
        return pixel_maps(patch_scores, self.config.score.eval_size, self.config.score.smoothing_sigma).numpy()

    def _products(self, tasks: torch.Tensor) -> Iterator[tuple[str, np.ndarray, np.ndarray, MapSource | None]]:
        """Name, image scores, labels, and maps (None without masks) of each product's labelled images."""
        everything, of_images = self.patch_scores(tasks), self.image_scores(tasks)
        for product in self.task.products:
            own = [n for n, r in enumerate(self.task.test) if r.product == product.name and r.label is not None]
            scores = everything[own]
            marked = any(self.task.test[n].mask is not None for n in own)
            maps = MapSource(scores, lambda n, own=own: self.mask(own[n]), self.config.score) if marked else None
            yield product.name, of_images[own], self.labels[own], maps

    def _read_mask(self, image: int) -> np.ndarray:
        """The mask of an image, eight pixels a byte."""
        path, size = self.task.test[image].mask, self.config.score.eval_size
        mask = np.zeros((size, size), dtype=bool) if path is None else load_mask(path, size, self.config.data.resize)
        return np.packbits(mask)


def evaluate_continual(evaluators: Sequence[TaskEvaluator], router: PrototypeRouter | None = None) -> ContinualResult:
    """Fill both R matrices and the routing table.

    Later training cannot change earlier parts, so oracle R[i][j] is R[j][j] for all i > j; that the
    parts are unchanged is verified by hash elsewhere (`Experiment.unchanged`), not assumed.

    Args:
        evaluators: one a task, in order.
        router: the router to test; the detector's own if None.
    """
    router = router or evaluators[0].detector.router
    count = len(evaluators)
    matrices = {m: {way: [[None] * count for _ in range(count)] for way in ("oracle", "routed")} for m in METRICS}
    over_time = []
    for i in range(count):
        chosen = [router.route(evaluators[j].image_means, known=i + 1) for j in range(i + 1)]
        for j in range(i + 1):
            oracle, routed = evaluators[j].metrics(j), evaluators[j].metrics(chosen[j])
            for metric in METRICS:
                matrices[metric]["oracle"][i][j] = oracle[metric]
                matrices[metric]["routed"][i][j] = routed[metric]
        over_time.append(_routing(evaluators[: i + 1], chosen))
    return ContinualResult(
        classes=tuple(evaluator.task.name for evaluator in evaluators), matrices=matrices,
        routing=over_time[-1], routing_over_time=[row["accuracy"] for row in over_time],
    )


def evaluate_states(evaluators: Sequence[TaskEvaluator], states: Sequence[int | None]) -> ContinualResult:
    """R matrices of a single model that knows no tasks: after task i, every image is scored with one state of it.

    Nothing is routed, so oracle and routed are the same.

    Args:
        evaluators: one a task, in order; their scorer takes the index of a state for that of a task.
        states: the state in force after each task; None where there is no model yet, and no row of R.
    """
    cells = {(i, j): evaluators[j].metrics(state) for i, state in enumerate(states) if state is not None for j in range(i + 1)}
    matrices, order = {}, range(len(evaluators))
    for metric in METRICS:
        matrix = [[cells[i, j][metric] if (i, j) in cells else None for j in order] for i in order]
        matrices[metric] = {"oracle": matrix, "routed": matrix}
    names = tuple(evaluator.task.name for evaluator in evaluators)
    return ContinualResult(classes=names, matrices=matrices, routing=None, routing_over_time=[])


def _routing(evaluators: Sequence[TaskEvaluator], chosen: Sequence[torch.Tensor]) -> dict[str, object]:
    truth = np.concatenate([np.full(len(c), j) for j, c in enumerate(chosen)])
    labels = np.concatenate([evaluator.labels for evaluator in evaluators])
    told = labels >= 0
    return routing_summary(truth[told], torch.cat(list(chosen)).numpy()[told], len(evaluators), labels[told])
