"""How a task's training images would score as new ones: k-fold, the task learned anew without each fold.

A flow knows the images it was trained on. On the demo's images (seed 0, 128 new normal ones, a likelihood as
score), thresholds at 5 % taken from seen images flag 19 % of them, at 20 % 45 %; with five folds it is 1.6 %
and 16 %. With the demo's own score and two folds it is 1.6 % at 5 %, and none at 1 %. Of 64 new normal
images of the base task of another draw (seed 4, leather), 9 are flagged at 5 % by seen images, 2 by five
folds, 1 by two; at 20 % 30, 12 and 7. Two folds err to the safe side, since a flow learned from half the
images finds new ones stranger. The price is k more trainings a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.runtime import derive_seed
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.prototype_distance import FEWEST_IMAGES
from moleflow_lib.scoring.task_scorer import TaskScorer
from moleflow_lib.storage.keys import digest
from moleflow_lib.training.trainer import MoLEContinualTrainer

__all__ = ["cross_fitted_scores", "fitting_folds"]


def cross_fitted_scores(
    detector: ContinualDetector,
    task: int,
    train: Features,
    identity: Mapping[str, object],
    folds: int,
    store: Path,
    seen: torch.Tensor,
) -> torch.Tensor:
    """Image score of each training image of a task, as the task learned without the image's fold sees it.

    Two flows differ in the level of their scores, so a held-out score is taken in standard deviations of the
    images that its own flow was trained on, and put where these lie under the task itself (engineering
    choice).

    Args:
        detector: what knows the task and those before it.
        task: which one.
        train: features of its N training images.
        identity: what decides the features (`FeatureStore.identity`).
        folds: into how many parts the images are divided, evenly and at random by seed and name.
        store: folder that keeps what each fold learned, so that an interrupted call continues.
        seen: (N,) their scores under the task itself, see `TaskScorer.training_scores`.

    Returns:
        (N,) float32 in the order of the images.

    Raises:
        ConfigError: there are too few images to give up a fold.
        TrainingError: the loss was not finite.
    """
    name = detector.tasks[task].name
    fold_of = _folds(
        len(train.patches), folds, derive_seed(detector.config.train.seed, "cross-fit", name), name
    )
    known = _before(detector, task)
    standard = torch.empty(len(train.patches))
    for fold in range(folds):
        trainer = MoLEContinualTrainer(known, identity, store / "folds" / "tasks")
        part = _part(train, fold_of != fold, digest(train.key, folds, fold))
        trainer.learn(name, part)
        held_out = train.patches[fold_of == fold]
        standard[fold_of == fold] = _standard_scores(trainer.detector.scorer(task), part.patches, held_out)
    mean, std = _spread(seen)
    return mean + std * standard


def _standard_scores(scorer: TaskScorer, seen: torch.Tensor, held_out: torch.Tensor) -> torch.Tensor:
    """Scores of held-out images (M, H, W, D) in standard deviations of those of seen ones (N, H, W, D)."""
    mean, std = _spread(scorer.training_scores(seen, range(len(seen)))[1])
    _, scores = scorer.scores(held_out, held_out.float().mean(dim=(1, 2)))
    return (scores - mean) / std


def _spread(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return scores.mean(), scores.std().clamp_min(1e-6)


def _before(detector: ContinualDetector, task: int) -> ContinualDetector:
    """The detector as it was when it was about to learn a task, with the number of steps that this took."""
    config = detector.config.with_(steps=detector.tasks[task].history.steps)
    if task == 0:
        return ContinualDetector.untrained(detector.dim, config)
    return ContinualDetector(detector.flow, config, detector.tasks[:task], detector.reference)


def _folds(images: int, folds: int, seed: int, name: str) -> torch.Tensor:
    """The fold (N,) of each image.

    Raises:
        ConfigError: fewer than two folds, or too few images are left without one.
    """
    if folds < 2 or _left(images, folds) < FEWEST_IMAGES:
        raise ConfigError(
            f"calibration_folds: expected at least 2, and {FEWEST_IMAGES} training images left without a "
            f"fold; got {folds} folds of the {images} images of {name}; 0 learns nothing anew"
        )
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed)) % folds


def fitting_folds(images: int, asked: int) -> int:
    """The fewest folds, but at least as many as asked for, that leave enough images to learn from.

    Args:
        images: training images of a task.
        asked: option `calibration_folds`; 0: none.

    Returns:
        0 if none are asked for, or if the task has too few images to give up a single one.

    >>> fitting_folds(80, 5), fitting_folds(6, 5), fitting_folds(4, 5), fitting_folds(80, 0)
    (5, 6, 0, 0)
    """
    if not asked:
        return 0
    wide_enough = (
        folds for folds in range(max(asked, 2), images + 1) if _left(images, folds) >= FEWEST_IMAGES
    )
    return next(wide_enough, 0)


def _left(images: int, folds: int) -> int:
    """Images left without the largest fold."""
    return images - -(-images // folds)


def _part(train: Features, kept: torch.Tensor, key: str) -> Features:
    """Some of a task's images (N) bool, and the copies of these."""
    images = kept.nonzero().flatten().tolist()
    place = {image: index for index, image in enumerate(images)}
    rows = [row for row, owner in enumerate(train.owners) if owner in place]
    lesson = train.lesson[rows]
    return replace(
        train,
        lesson=lesson,
        owners=tuple(place[train.owners[row]] for row in rows),
        records=tuple(train.records[image] for image in images),
        contents=tuple(train.contents[image] for image in images),
        key=key,
        bytes=lesson.nbytes,
    )
