"""What a wrong route costs: the images that were misrouted, and whole tasks sent elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from moleflow_lib.evaluation import TaskEvaluator
from moleflow_lib.metrics import METRICS

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


def misrouted_cost(evaluators: Sequence[TaskEvaluator], kind: str) -> list[dict[str, object]]:
    """What the images that one router variant really sends elsewhere cost each task.

    Returns:
        One row a task: `task`, `images`, `misrouted`, and each metric's `_lost`: told the task minus routed, None where
        undefined. Below zero: the wrong parts happened to score better.
    """
    router = evaluators[0].detector.router.variant(kind)
    rows = []
    for evaluator in evaluators:
        chosen = router.route(evaluator.image_means)
        told, routed = evaluator.metrics(evaluator.task.index), evaluator.metrics(chosen)
        row = {"task": evaluator.task.name, "images": len(chosen), "misrouted": int((chosen != evaluator.task.index).sum())}
        lost = {f"{m}_lost": None if told[m] is None or routed[m] is None else told[m] - routed[m] for m in METRICS}
        rows.append({**row, **lost})
    return rows
