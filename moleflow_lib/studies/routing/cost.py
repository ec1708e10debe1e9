"""What a wrong route costs: the images that were misrouted, and whole tasks sent elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.metrics import METRICS, interval
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = ["misrouted_cost", "wrong_route_cost"]


def wrong_route_cost(evaluators: Sequence[TaskEvaluator]) -> list[dict[str, object]]:
    """What each metric would be if every image of a task went to each other task's parts.

    Returns:
        One row for each (task, sent to) pair. Routes that split a task can cost more still.
    """
    return [
        {"task": evaluator.task.name, "sent to": other.task.name, **evaluator.metrics(other.task.index)}
        for evaluator in evaluators
        for other in evaluators
    ]


def misrouted_cost(
    evaluators: Sequence[TaskEvaluator[ContinualDetector]], kind: str
) -> list[dict[str, object]]:
    """What the images that one router variant really sends elsewhere cost each task.

    Returns:
        One row a task: `task`, labelled `images`, `misrouted` of them, and each metric's `_lost`, oracle
            minus routed,
        with the ends of its 95 % interval over test images (`_lost_low`, `_lost_high`, paired bootstrap; None
        where nothing was misrouted, the loss is then exactly 0). Below zero: the wrong parts scored better.
        Undefined metrics are None.
    """
    router = evaluators[0].detector.router.variant(kind)
    rows = []
    for evaluator in evaluators:
        chosen = router.route(evaluator.image_means)
        labelled = torch.from_numpy(evaluator.labels >= 0)
        misrouted = int((chosen != evaluator.task.index)[labelled].sum())
        oracle, routed = evaluator.metrics(evaluator.task.index), evaluator.metrics(chosen)
        row: dict[str, object] = {
            "task": evaluator.task.name,
            "images": int(labelled.sum()),
            "misrouted": misrouted,
        }
        ends = _intervals(evaluator, chosen) if misrouted else {}
        for metric in METRICS:
            own, sent = oracle[metric], routed[metric]
            row[f"{metric}_lost"] = None if own is None or sent is None else own - sent
            row[f"{metric}_lost_low"], row[f"{metric}_lost_high"] = ends.get(metric) or (None, None)
        rows.append(row)
    return rows


def _intervals(evaluator: TaskEvaluator, chosen: torch.Tensor) -> dict[str, tuple[float, float] | None]:
    """Metric → interval of the loss, the same images drawn for both ways in each round."""
    oracle, routed = evaluator.replicates(evaluator.task.index), evaluator.replicates(chosen)
    return {
        metric: interval((own - sent).round(12))
        for metric in METRICS
        if (own := oracle[metric]) is not None and (sent := routed[metric]) is not None
    }
