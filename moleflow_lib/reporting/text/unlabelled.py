"""Notebook 03: images without labels."""

from __future__ import annotations

import numpy as np
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.routing.held_out import held_out_distances
from moleflow_lib.routing.open_set import acceptance_limits, accepted

__all__ = ["unlabelled_rows"]


def unlabelled_rows(experiment: Experiment) -> list[dict[str, object]]:
    """Scores of the unlabelled images, most anomalous first.

    Returns:
        `task` (the folder it lies in), `image`, `chosen` task, `accepted`: whether it lies as near to that task as
        `router_accept` of the task's own held-out training images do (all of them, if they are fewer than 19 at 0.95; None
        if none could be held out), else it shows another product or a strong defect;
        `score` (in `image_score_unit`), and `rank`, the share of the chosen task's training images (at most 64) that
        score lower. Each of those is measured without the stored patches and the prototype it had a part in, but by the
        flow that was trained on it: a guide, not a probability.
    """
    asked = [evaluator for evaluator in experiment.evaluators if (evaluator.labels == -1).any()]
    if not asked:
        return []
    detector, rows = experiment.detector, []
    limits, known = _limits(experiment), [None] * len(experiment.tasks)
    for evaluator in asked:
        distances = detector.router.distances(evaluator.image_means)
        chosen, near = distances.argmin(dim=1), accepted(distances, limits)
        scores = evaluator.image_scores(chosen)
        for index in np.flatnonzero(evaluator.labels == -1):
            task = experiment.tasks[int(chosen[index])]
            if known[task.index] is None:
                known[task.index] = experiment.training_image_scores(task).numpy()
            lower = known[task.index] < scores[index]
            rows.append({
                "task": evaluator.task.name, "image": evaluator.task.test[index].image.name, "chosen": task.name,
                "accepted": bool(near[index]) if limits[task.index].isfinite() else None,
                "score": float(scores[index]), "rank": float(lower.mean()),
            })
    return sorted(rows, key=lambda row: -row["score"])


def _limits(experiment: Experiment) -> torch.Tensor:
    """How far from each task (T,) an image may lie, under the router's own covariance."""
    config, kind = experiment.config, experiment.config.router.router_covariance
    train = [experiment.features(task, "train").image_means() for task in experiment.tasks]
    held_out = held_out_distances(train, config.router.router_ridge, kinds=(kind,), seed=config.train.seed)
    return acceptance_limits(held_out.own(kind), config.router.router_accept)
