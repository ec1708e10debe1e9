"""What thresholds set on normal training images turn out to be worth on labelled test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.inference.learned_detector import LearnedDetector
from moleflow_lib.inference.verdicts import verdicts_on_tests
from moleflow_lib.metrics import wilson_interval

__all__ = ["calibration_rows"]


def calibration_rows(
    evaluators: Sequence[TaskEvaluator], learned: LearnedDetector, false_alarm_rate: float = 0.01
) -> list[dict[str, object]]:
    """False alarms on normal test images and defects caught, each image under the task that the router chose.

    An image counts as flagged where its score is above the threshold of that task, or where no task accepts
    it. No test image has set a threshold; the rate that was asked for may be missed since without folds the
    flow was trained on the images that did, and since a task of n images can promise no rate below
    1/(n + 1).

    Args:
        evaluators: one a task.
        learned: the same tasks with their calibration.
        false_alarm_rate: share of normal images that may be flagged by their score.

    Returns:
        One row a task and one for all: `task`, `folds` and `training images` of its calibration, `threshold`,
        `asked` and `promised` rate; `normal` and `defective` test images; `over threshold`, the share of
        normal ones whose score alone flags them, which is what a rate is asked of; `false alarms` and
        `caught`, all that is not called normal; each with its 95 % Wilson interval (`… low`, `… high`), None
        without images; `refused normal`, `refused defective`: those among them that no task accepts.
    """
    rows = []
    counted = np.zeros((2, 4), dtype=int)
    for index, evaluator in enumerate(evaluators):
        counts = _counts(evaluator, learned, false_alarm_rate)
        counted += counts
        smallest = learned.calibration.smallest_rate(index)
        rows.append(
            {
                "task": evaluator.task.name,
                "folds": learned.calibration.tasks[index].folds,
                "training images": len(learned.calibration.tasks[index].scores),
                "threshold": learned.calibration.threshold(index, false_alarm_rate),
                "asked": false_alarm_rate,
                "promised": max(false_alarm_rate, smallest),
                **_shares(counts),
            }
        )
    return [*rows, {"task": "all", "asked": false_alarm_rate, **_shares(counted)}] if len(rows) > 1 else rows


def _counts(evaluator: TaskEvaluator, learned: LearnedDetector, rate: float) -> np.ndarray:
    """Rows normal, defective; columns images, flagged, accepted by no task, above the threshold."""
    verdicts = verdicts_on_tests(evaluator, learned, rate)
    flagged = np.array([verdict["decision"] != "normal" for verdict in verdicts])
    refused = np.array([verdict["accepted"] is False for verdict in verdicts])
    above = np.array([verdict["score"] > verdict["threshold"] for verdict in verdicts])
    asked = [evaluator.labels == label for label in (0, 1)]
    return np.array([[own.sum(), *(what[own].sum() for what in (flagged, refused, above))] for own in asked])


def _shares(counts: np.ndarray) -> dict[str, object]:
    (normal, alarms, odd, above), (defective, caught, strange, _) = counts.tolist()
    return {
        "normal": normal,
        **_share("over threshold", above, normal),
        **_share("false alarms", alarms, normal),
        "refused normal": odd,
        "defective": defective,
        **_share("caught", caught, defective),
        "refused defective": strange,
    }


def _share(name: str, hits: int, total: int) -> dict[str, float | None]:
    low, high = wilson_interval(hits, total) or (None, None)
    return {name: hits / total if total else None, f"{name} low": low, f"{name} high": high}
