"""Notebook 03: images without labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, learned_detector
from moleflow_lib.inference.verdicts import verdicts_on_tests

__all__ = ["unlabelled_rows"]


def unlabelled_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """Scores of the unlabelled images, most anomalous first, as `LearnedDetector.score` gives them.

    Returns:
        `task` (the folder it lies in), `image`, `chosen` task, `accepted`: whether it lies as near to that
        task as `router_accept` of the task's own held-out training images do (all of them, if they are fewer
        than 19 at 0.95; None if none could be held out), else it shows another product or a strong defect;
        `score` (in `image_score_unit`), and `rank`, the share of the chosen task's training images that score
        lower. Each of those is measured by what never saw it, unless `calibration_folds` is 0: then by the
        flow that was trained on it, a guide and not a probability.
    """
    asked = [evaluator for evaluator in experiment.evaluators if (evaluator.labels == -1).any()]
    if not asked:
        return []
    learned = learned_detector(experiment)
    rows = [row for evaluator in asked for row in _rows(evaluator, learned)]
    return sorted(rows, key=lambda row: -row["score"])


def _rows(evaluator: TaskEvaluator, learned: LearnedDetector) -> list[dict[str, Any]]:
    verdicts = verdicts_on_tests(evaluator, learned)
    rows = []
    for index in np.flatnonzero(evaluator.labels == -1).tolist():
        verdict = verdicts[index]
        image = evaluator.task.test[index].image.name
        kept = {name: verdict[name] for name in ("accepted", "score", "rank")}
        rows.append({"task": evaluator.task.name, "image": image, "chosen": verdict["task"], **kept})
    return rows
