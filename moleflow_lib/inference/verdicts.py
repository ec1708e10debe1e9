"""What the detector decides about a task's test images, from features that are there already."""

from __future__ import annotations

from typing import Any

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.inference.learned_detector import LearnedDetector

__all__ = ["verdicts_on_tests"]


def verdicts_on_tests(
    evaluator: TaskEvaluator, learned: LearnedDetector, false_alarm_rate: float = 0.01
) -> list[dict[str, Any]]:
    """The fields of `ScoredImage` from `task` to `decision` of each test image, labelled or not.

    They are what `LearnedDetector.score` says of the same files.

    Args:
        evaluator: of the task.
        learned: the detector with its calibration.
        false_alarm_rate: share of normal images that may be flagged by their score.

    Returns:
        One mapping an image, in the order of the task's records; `task` is the one the router chose.
    """
    distances = learned.detector.router.distances(evaluator.image_means)
    chosen = distances.argmin(dim=1)
    scores = evaluator.image_scores(chosen).tolist()
    rows = zip(distances, chosen.tolist(), scores, strict=True)
    return [learned.verdict(gaps, task, score, false_alarm_rate) for gaps, task, score in rows]
