"""One task's test images scored under any task's parts, and what that is worth in metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

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
    image_metrics,
    mean_defined,
    pixel_metrics,
    replicate_metrics,
)
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.grouping import per_task

__all__ = ["MapSource", "Scorer", "TaskEvaluator"]

_IMAGES_AT_ONCE = 16
_MASKS_KEPT = 4096  # 6 KiB each at 224 pixels; beyond that masks are read again


class Scorer(Protocol):
    """All that an evaluation asks of a detector, whatever it is made of."""

    config: ExperimentConfig

    def patch_scores(self, patches: torch.Tensor, task: int, /) -> torch.Tensor:
        """Features (N, H, W, D) to scores (N, H, W) under one task's parts, on the CPU; higher = more
        anomalous.
        """
        ...

    def scores(
        self, patches: torch.Tensor, image_means: torch.Tensor, task: int, /
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and one score an image (N,), from features and their means (N, D)."""
        ...


class MapSource:
    """Pixel maps and masks of scored images, made block by block each time it is iterated.

    Args:
        patch_scores: (N, H, W).
        masks: reads the mask (S, S) of image n.
        options: evaluation size and smoothing.
    """

    def __init__(
        self, patch_scores: torch.Tensor, masks: Callable[[int], np.ndarray], options: ScoreOptions
    ) -> None:
        self._scores = patch_scores
        self._mask = masks
        self._options = options

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        options = self._options
        for start in range(0, len(self._scores), _IMAGES_AT_ONCE):
            block = self._scores[start : start + _IMAGES_AT_ONCE]
            maps = pixel_maps(block, options.eval_size, options.smoothing_sigma).numpy()
            yield maps, np.stack([self._mask(start + n) for n in range(len(block))])


Detecting = TypeVar("Detecting", bound=Scorer)


class TaskEvaluator(Generic[Detecting]):
    """Scores one task's test images under any task's parts, each image and part at most once.

    Args:
        task: the task.
        features: features of its test records, in their order.
        detector: what scores them, all tasks learned.

    Attributes:
        labels: (N,) 1 defective, 0 normal, -1 unlabelled: scored, and left out of every metric.
    """

    def __init__(self, task: Task, features: Features, detector: Detecting) -> None:
        self.task = task
        self.features = features
        self.detector = detector
        self.config = detector.config
        self.labels = np.array(
            [-1 if record.label is None else record.label for record in task.test], dtype=int
        )
        self.image_means = features.image_means()
        self._scores: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._metrics: dict[tuple[int, ...], dict[str, float | None]] = {}
        self._replicates: dict[tuple[int, ...], Replicates] = {}
        self._packed_mask = lru_cache(maxsize=_MASKS_KEPT)(self._read_mask)

    def patch_scores(self, tasks: torch.Tensor | int) -> torch.Tensor:
        """Patch scores (N, H, W) of its test images, each under the task named for it (N,)."""
        return per_task(self._of_each(tasks), lambda rows, task: self._scored(rows, task)[0])

    def metrics(self, tasks: torch.Tensor | int) -> dict[str, float | None]:
        """Metrics of its test images under the tasks named; several products are averaged."""
        tasks = self._of_each(tasks)
        key = tuple(tasks.tolist())
        if key not in self._metrics:
            rows = [
                image_metrics(scores, labels) | ({} if maps is None else pixel_metrics(maps))
                for _, scores, labels, maps in self._products(tasks)
            ]
            self._metrics[key] = {
                metric: mean_defined([row.get(metric) for row in rows]) for metric in METRICS
            }
        return self._metrics[key]

    def replicates(self, tasks: torch.Tensor | int, rounds: int = ROUNDS) -> Replicates:
        """Metrics under the tasks named, on test images drawn anew; see `replicate_metrics` for what that
        covers.

        The images of a round depend on the product and the round alone, so replicates of two methods,
        routes or seeds are paired. Several products are averaged.

        Returns:
            Metric → (rounds,), or None where it is undefined.
        """
        tasks = self._of_each(tasks)
        key = (rounds, *tasks.tolist())
        if key not in self._replicates:
            rows = [
                replicate_metrics(scores, labels, name, maps, rounds)
                for name, scores, labels, maps in self._products(tasks)
            ]
            self._replicates[key] = {metric: average([row[metric] for row in rows]) for metric in METRICS}
        return self._replicates[key]

    def image_scores(self, tasks: torch.Tensor | int) -> np.ndarray:
        """(N,) anomaly score of each test image under the tasks named; higher = more anomalous."""
        return per_task(self._of_each(tasks), lambda rows, task: self._scored(rows, task)[1]).numpy()

    def mask(self, image: int) -> np.ndarray:
        """(S, S) bool defect mask of a test image at the evaluation size; empty without a defect."""
        size = self.config.score.eval_size
        return np.unpackbits(self._packed_mask(image), count=size * size).reshape(size, size).astype(bool)

    def masks(self) -> np.ndarray:
        """(N, S, S) bool defect masks of all test images."""
        return np.stack([self.mask(image) for image in range(len(self.task.test))])

    def maps(self, patch_scores: torch.Tensor) -> np.ndarray:
        """(N, S, S) pixel maps at the evaluation size."""
        return pixel_maps(
            patch_scores, self.config.score.eval_size, self.config.score.smoothing_sigma
        ).numpy()

    def _of_each(self, tasks: torch.Tensor | int) -> torch.Tensor:
        return torch.as_tensor(tasks).expand(len(self.task.test))

    def _scored(self, rows: torch.Tensor, task: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch and image scores of some images (n,) under one task's parts, each computed at most once."""
        patches = self.features.patches
        empty = torch.full(patches.shape[:-1], float("nan")), torch.full((len(patches),), float("nan"))
        of_patches, of_images = self._scores.setdefault(task, empty)
        missing = rows[of_images[rows].isnan()]
        if len(missing):
            of_patches[missing], of_images[missing] = self.detector.scores(
                patches[missing], self.image_means[missing], task
            )
        return of_patches[rows], of_images[rows]

    def _products(
        self, tasks: torch.Tensor
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, MapSource | None]]:
        """Name, image scores, labels, and maps (None without masks) of each product's labelled images."""
        everything = self.patch_scores(tasks)
        of_images = self.image_scores(tasks)
        for product in self.task.products:
            own = [
                n for n, r in enumerate(self.task.test) if r.product == product.name and r.label is not None
            ]
            scores = everything[own]
            marked = any(self.task.test[n].mask is not None for n in own)
            maps = (
                MapSource(scores, lambda n, own=own: self.mask(own[n]), self.config.score) if marked else None
            )
            yield product.name, of_images[own], self.labels[own], maps

    def _read_mask(self, image: int) -> np.ndarray:
        """The mask of an image, eight pixels a byte."""
        path = self.task.test[image].mask
        size = self.config.score.eval_size
        mask = (
            np.zeros((size, size), dtype=bool)
            if path is None
            else load_mask(path, size, self.config.data.resize)
        )
        return np.packbits(mask)
