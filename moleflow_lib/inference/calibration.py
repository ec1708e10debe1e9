"""What a task's own normal training images say about new ones: acceptance limits, ranks and thresholds.

No test image takes part. With folds (`cross_fit`) nothing that scores an image has seen it. Without them the
scores are cross-fitted as far as closed forms go: an image's own stored patches are left out, and its
distance is to a prototype made of others. The flow itself was trained on these images, so they score lower
than new normal ones, and more new ones are flagged than the rate says. `calibration_rows` says what a rate
turned out to be on normal test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig, ScoreOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.inference.cross_fit import cross_fitted_scores
from moleflow_lib.routing.held_out import held_out_distances
from moleflow_lib.routing.open_set import acceptance_limits
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.memory_bank import BANK_VERSION, calibration_subset
from moleflow_lib.scoring.task_scorer import SCORE_VERSION
from moleflow_lib.storage.artifacts import kept_artifact

__all__ = ["Calibration", "TaskCalibration", "kept_calibration"]


@dataclass(frozen=True, kw_only=True)
class TaskCalibration:
    """What is kept of a task's N normal training images besides its parts; none of it is an image.

    Attributes:
        image_means: (N, D) float32 mean patch feature of each, what the router sees.
        scores: (N,) float32 ascending, their image scores.
        map_range: (2,) float32, median and maximum over their pixel maps: a colour scale that no test image
            moves.
        folds: of how many parts each was left out in turn while everything was learned anew, see
            `cross_fitted_scores`; 0: the scores are by the flow that was trained on the images.
    """

    image_means: torch.Tensor
    scores: torch.Tensor
    map_range: torch.Tensor
    folds: int = 0

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        tensors = {"image_means": self.image_means, "scores": self.scores, "map_range": self.map_range}
        return {**tensors, "folds": torch.tensor(self.folds)}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> TaskCalibration:
        """The calibration that `state` was taken from."""
        return cls(**{**state, "folds": int(state["folds"])})


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration of all tasks in order, with the distance up to which each accepts an image.

    Attributes:
        tasks: one a task.
        limits: (T,) float64, see `acceptance_limits`; infinite where a task has too few images to hold one
            out.

    >>> scores = torch.arange(1.0, 100.0)
    >>> one = TaskCalibration(image_means=torch.zeros(2, 1), scores=scores, map_range=torch.zeros(2))
    >>> calibration = Calibration(tasks=(one,), limits=torch.tensor([2.0]))
    >>> calibration.threshold(0, 0.1), calibration.rank(0, 50.5), calibration.false_alarm_rate(0, 98.5)
    (90.0, 0.5050505050505051, 0.02)
    """

    tasks: tuple[TaskCalibration, ...]
    limits: torch.Tensor

    @classmethod
    def of(cls, tasks: Sequence[TaskCalibration], config: ExperimentConfig) -> Calibration:
        """Measure the limits under the router's covariance, each image by prototypes that never saw it."""
        kind = config.router.router_covariance
        train = [task.image_means for task in tasks]
        held_out = held_out_distances(train, kinds=(kind,), seed=config.train.seed)
        limits = acceptance_limits(held_out.own(kind), config.router.router_accept)
        return cls(tasks=tuple(tasks), limits=limits)

    def threshold(self, task: int, rate: float) -> float:
        """The score above which an image of a task counts as defective.

        The ⌈(n + 1)(1 − rate)⌉-th smallest of n calibration scores: a new normal image that scores like them
        exceeds it with probability at most `rate` (split conformal prediction, Vovk et al. 2005). Fewer than
        1/rate − 1 images cannot promise that; the largest score is taken, and the rate is `smallest_rate`.

        Raises:
            ConfigError: the rate is not between 0 and 1.
        """
        if not 0 < rate < 1:
            raise ConfigError(f"false_alarm_rate: expected a share between 0 and 1, e.g. 0.01, got {rate!r}")
        return float(acceptance_limits([self.tasks[task].scores], 1 - rate)[0])

    def smallest_rate(self, task: int) -> float:
        """The smallest false-alarm rate that a task's n calibration images can promise: 1 / (n + 1)."""
        return 1 / (len(self.tasks[task].scores) + 1)

    def too_few(self, names: Mapping[str, int], rate: float) -> str:
        """What must be said of tasks that have too few calibration images to promise a rate; empty without.

        Args:
            names: of the tasks in question → their positions.
            rate: the false-alarm rate asked for.

        >>> nothing = torch.zeros(4)
        >>> one = TaskCalibration(image_means=nothing[:, None], scores=nothing, map_range=nothing[:2])
        >>> both = Calibration(tasks=(one, one), limits=nothing[:2])
        >>> print(both.too_few({"bolt": 0, "nut": 1}, 0.01))
        tasks bolt, nut have too few training images to promise a false-alarm rate below 0.2
        (n = 4, least 1/(n + 1))
        """
        few = [name for name, task in names.items() if rate < self.smallest_rate(task)]
        if not few:
            return ""
        counts = sorted({len(self.tasks[names[name]].scores) for name in few})
        who = f"task {few[0]} has" if len(few) == 1 else f"tasks {', '.join(few)} have"
        least = f"{1 / (counts[0] + 1):.2g}" + (" each" if len(counts) > 1 else "")
        images = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
        return (
            f"{who} too few training images to promise a false-alarm rate below {least} "
            f"(n = {images}, least 1/(n + 1))"
        )

    def rank(self, task: int, score: float) -> float:
        """Share of a task's calibration images that score lower."""
        known = self.tasks[task].scores
        return int((known < score).sum()) / len(known)

    def false_alarm_rate(self, task: int, score: float) -> float:
        """The conformal p-value of a score: the smallest rate at which it would count as defective."""
        known = self.tasks[task].scores
        return (1 + int((known >= score).sum())) / (len(known) + 1)

    def accepts(self, task: int, distance: float) -> bool | None:
        """Whether an image at this distance lies within a task's limit; None where nothing sets the limit."""
        limit = float(self.limits[task])
        return distance <= limit if math.isfinite(limit) else None


def kept_calibration(
    detector: ContinualDetector,
    task: int,
    train: Features,
    identity: Mapping[str, object],
    store: Path,
    folds: int = 0,
) -> TaskCalibration:
    """A task's calibration, from disk if it was measured before.

    Args:
        detector: what knows the task.
        task: which one.
        train: features of its training images.
        identity: what decides the features (`FeatureStore.identity`).
        store: folder that keeps `calibrations` and `folds`.
        folds: 0, or into how many parts the images are divided so that each is scored by what never saw it.

    Raises:
        ArtifactError: what is stored is damaged.
        ConfigError: there are too few images for the folds.
    """

    def make() -> tuple[Mapping[str, torch.Tensor], Mapping[str, object]]:
        """Score the training images, by flows that did not see them where there are folds."""
        images = len(train.patches)
        of_patches, scores = detector.scorer(task).training_scores(train.patches, range(images))
        map_range = _map_range(of_patches[calibration_subset(images)], detector.config.score)
        if folds:
            scores = cross_fitted_scores(detector, task, train, identity, folds, store, scores)
        own = TaskCalibration(
            image_means=train.image_means(), scores=scores.sort().values, map_range=map_range, folds=folds
        )
        return own.state(), {"kind": "calibration"}

    kept = detector.tasks[task]
    made_from = [SCORE_VERSION, BANK_VERSION, kept.key, detector.config.group("score"), folds]
    tensors, _ = kept_artifact(store / "calibrations", kept.name, made_from, make)
    return TaskCalibration.from_state(tensors)


def _map_range(patch_scores: torch.Tensor, options: ScoreOptions) -> torch.Tensor:
    """(2,) median and maximum over the pixel maps of patch scores (N, H, W)."""
    maps = pixel_maps(patch_scores, options.eval_size, options.smoothing_sigma)
    return torch.stack([maps.median(), maps.max()])
