"""The learned detector as its user meets it: photos in; task, score, decision and map out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, FalseAlarmRateWarning
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.extractor import PatchExtractor
from moleflow_lib.inference.calibration import Calibration, kept_calibration
from moleflow_lib.inference.cross_fit import fitting_folds
from moleflow_lib.inference.images import Geometry, Images, NamedImage, ReadImage, named_images, read_batches
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = ["DECISIONS", "LearnedDetector", "ScoredImage", "learned_detector"]

DECISIONS = ("defective", "unknown", "normal")
_BATCH = 32  # as features are extracted for training, so that a GPU rounds alike
_ARRAYS = ("map", "pixels")


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """What the detector says about one image; with an `error` nothing else is set.

    Attributes:
        name: path within the folder that was given, path, file name, or its position.
        error: why it could not be scored; empty if it was.
        task: the task chosen by the router, or the one that was asked for.
        accepted: whether it lies as near to that task as `router_accept` of the task's own held-out training
            images, whatever its score; if not, it shows another product or a strong defect. None where the
            task has too few images to tell.
        margin: distance to the nearest other task over the distance to this one; near 1 = a close call.
        score: higher = more anomalous, in the configuration's `image_unit`.
        rank: share of the task's training images that score lower.
        smallest_rate: the smallest false-alarm rate at which it would count as defective.
        threshold: score above which it counts as defective at the rate that was asked for.
        decision: `defective` above the threshold, accepted or not; below it `unknown` if it is not accepted,
            else `normal`. A strong defect is `defective` and not accepted, and so is a picture of something
            else that scores as high.
        map: (S, S) float32 pixel map at `eval_size`, in the unit of patch scores.
        pixels: (S', S', 3) uint8, the image as the backbone saw it.
    """

    name: str
    error: str = ""
    task: str | None = None
    accepted: bool | None = None
    margin: float | None = None
    score: float | None = None
    rank: float | None = None
    smallest_rate: float | None = None
    threshold: float | None = None
    decision: str | None = None
    map: np.ndarray | None = None
    pixels: np.ndarray | None = None

    def row(self) -> dict[str, object]:
        """All but the arrays, as JSON values."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self) if spec.name not in _ARRAYS}


class LearnedDetector:
    """A learned sequence of tasks with its backbone; from `load_detector` or `learned_detector`.

    Args:
        detector: flow, tasks and router.
        extractor: the backbone it was learned with.
        calibration: of all its tasks.
    """

    def __init__(
        self, detector: ContinualDetector, extractor: PatchExtractor, calibration: Calibration
    ) -> None:
        self.detector = detector
        self.extractor = extractor
        self.calibration = calibration

    @property
    def config(self) -> ExperimentConfig:
        """The experiment it was learned in."""
        return self.detector.config

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it knows, in order of arrival."""
        return tuple(task.name for task in self.detector.tasks)

    def __repr__(self) -> str:
        return f"LearnedDetector({', '.join(self.tasks)}; {self.extractor.tag} on {self.detector.device})"

    def score(
        self,
        images: Images,
        *,
        task: str | None = None,
        false_alarm_rate: float = 0.01,
        batch_size: int = _BATCH,
    ) -> list[ScoredImage]:
        """Score images; see `score_stream`, which this is the list of."""
        return list(self._opened(images, task, false_alarm_rate, batch_size))

    def score_stream(
        self,
        images: Images,
        *,
        task: str | None = None,
        false_alarm_rate: float = 0.01,
        batch_size: int = _BATCH,
    ) -> Iterator[ScoredImage]:
        """Score images one batch after another; only two batches are ever in memory.

        Scores are bit-equal to those of `TaskEvaluator`, on a GPU where the images come in the same batches.

        Args:
            images: see `named_images`.
            task: score them all under this task; None: the router chooses.
            false_alarm_rate: share of normal images that may be called defective, see
                `Calibration.threshold`.
            batch_size: images a forward pass.

        Returns:
            One result an image, in the order given.

        Raises:
            ConfigError: unknown task, or a rate that is no share; at once.
            DataError: nothing lies at the path given, or no image in the folder; at once.

        Warns:
            FalseAlarmRateWarning: a task in question has too few calibration images to promise the rate, see
                `rate_warning`; once a call.
        """
        return self._opened(images, task, false_alarm_rate, batch_size)

    def rate_warning(self, false_alarm_rate: float, task: str | None = None) -> str:
        """Which tasks cannot promise a rate, of how many images n, and the least one; empty where all can.

        Args:
            false_alarm_rate: asked for.
            task: the only one in question; None: all.
        """
        names = self.tasks if task is None else (task,)
        return self.calibration.too_few({name: self.task_index(name) for name in names}, false_alarm_rate)

    def thresholds(self, false_alarm_rate: float) -> dict[str, float]:
        """Threshold of each task at a false-alarm rate, see `Calibration.threshold`."""
        return {
            name: self.calibration.threshold(index, false_alarm_rate) for index, name in enumerate(self.tasks)
        }

    def trained_thresholds(self) -> tuple[str, ...]:
        """Tasks whose thresholds rest on images that flow or whitening were fitted to: too low."""
        if not self.config.score.image_score_is_fitted:
            return ()
        calibrations = zip(self.tasks, self.calibration.tasks, strict=True)
        return tuple(name for name, calibration in calibrations if not calibration.folds)

    def task_index(self, name: str) -> int:
        """Position of a task in the sequence.

        Raises:
            ConfigError: it was never learned.
        """
        if name not in self.tasks:
            raise ConfigError(f"task: expected one of {', '.join(self.tasks)}, got {name!r}")
        return self.tasks.index(name)

    def verdict(self, distances: torch.Tensor, task: int, score: float, rate: float) -> dict[str, Any]:
        """What follows from an image's distances to all tasks (T,) and its score under one of them.

        Returns:
            The fields of `ScoredImage` from `task` to `decision`.
        """
        calibration = self.calibration
        accepted = calibration.accepts(task, float(distances[task]))
        threshold = calibration.threshold(task, rate)
        decision = "defective" if score > threshold else "unknown" if accepted is False else "normal"
        return {
            "task": self.tasks[task],
            "accepted": accepted,
            "margin": _margin(distances, task),
            "score": score,
            "rank": calibration.rank(task, score),
            "smallest_rate": calibration.false_alarm_rate(task, score),
            "threshold": threshold,
            "decision": decision,
        }

    def _opened(
        self, images: Images, task: str | None, rate: float, batch_size: int
    ) -> Iterator[ScoredImage]:
        """Check what was asked for at once; called by what the user calls, whose line a warning names."""
        forced = None if task is None else self.task_index(task)
        self.thresholds(rate)
        if told := self.rate_warning(rate, task):
            warnings.warn(told, FalseAlarmRateWarning, stacklevel=3)
        return self._stream(named_images(images), forced, rate, batch_size)

    def _stream(
        self, images: Iterable[NamedImage], forced: int | None, rate: float, batch_size: int
    ) -> Iterator[ScoredImage]:
        geometry = Geometry(
            size=self.extractor.image_size,
            resize=self.config.data.resize,
            interpolation=self.extractor.interpolation,
        )
        for batch in read_batches(images, geometry, batch_size):
            yield from self._scored(batch, forced, rate)

    def _scored(self, batch: list[ReadImage], forced: int | None, rate: float) -> list[ScoredImage]:
        """The images of a batch in their order, those that cannot be scored with the reason."""
        readable = [image for image in batch if image.pixels is not None]
        found = iter(self._judged(readable, forced, rate) if readable else ())
        return [ScoredImage(name=i.name, error=i.error) if i.pixels is None else next(found) for i in batch]

    @torch.inference_mode()
    def _judged(self, images: list[ReadImage], forced: int | None, rate: float) -> list[ScoredImage]:
        features = self.extractor(np.stack([image.pixels for image in images if image.pixels is not None]))
        patches = features.half().cpu()  # as they are stored
        means = patches.float().mean(dim=(1, 2))
        each = [self.detector.router.distances(mean[None]) for mean in means]  # alike in any batch
        distances = torch.cat(each)
        chosen = distances.argmin(dim=1) if forced is None else torch.full((len(images),), forced)
        patch_scores, image_scores = self.detector.scores(patches, means, chosen)
        options = self.config.score
        maps = pixel_maps(patch_scores, options.eval_size, options.smoothing_sigma).numpy()
        rows = zip(images, distances, chosen.tolist(), image_scores.tolist(), maps, strict=True)
        return [self._result(image, gaps, task, score, own, rate) for image, gaps, task, score, own in rows]

    def _result(
        self, image: ReadImage, distances: torch.Tensor, task: int, score: float, own: np.ndarray, rate: float
    ) -> ScoredImage:
        if not (math.isfinite(score) and np.isfinite(own).all()):
            return ScoredImage(
                name=image.name, error="its features or scores are not finite; check the image"
            )
        verdict = self.verdict(distances, task, score, rate)
        return ScoredImage(name=image.name, **verdict, map=own, pixels=image.pixels)


def learned_detector(experiment: Experiment, calibration_folds: int | None = None) -> LearnedDetector:
    """The detector of an experiment, all tasks learned, with its calibration.

    Args:
        experiment: what is measured on its training images is kept in its store.
        calibration_folds: 0: thresholds from images that the flow has seen, at no cost and too low; 2 or
            more: from images that nothing has seen, at the cost of as many further trainings, see
            `cross_fit`; None: as the option of this name says, more folds where a task is too small for
            that few, and 0 where it is too small for any, which `TaskCalibration.folds` says, or where
            neither flow nor whitening scores images.

    Raises:
        ConfigError: a task has too few images for the number of folds given.
    """
    experiment.learn()
    detector = experiment.detector
    identity = experiment.store.identity
    asked = experiment.config.study.calibration_folds * experiment.config.score.image_score_is_fitted
    tasks = []
    for task in experiment.tasks:
        train = experiment.features(task, "train")
        folds = fitting_folds(len(task.train), asked) if calibration_folds is None else calibration_folds
        tasks.append(kept_calibration(detector, task.index, train, identity, experiment.folder, folds))
    return LearnedDetector(detector, experiment.store.extractor, Calibration.of(tasks, experiment.config))


def _margin(distances: torch.Tensor, task: int) -> float | None:
    others = [float(distance) for index, distance in enumerate(distances) if index != task]
    return min(others) / max(float(distances[task]), 1e-12) if others else None
