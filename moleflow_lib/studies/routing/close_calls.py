"""The test images that the router got wrong or nearly did: the failures to expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.studies.routing.variants import RoutingCase

__all__ = ["CloseCall", "close_call_rows", "close_calls"]


@dataclass(frozen=True, kw_only=True)
class CloseCall:
    """One test image with a small margin."""

    task: int  # true task
    image: int  # its place among the task's test images
    rival: int  # nearest other task; chosen where `wrong`
    margin: float  # distance to the rival / distance to the own task
    wrong: bool


def close_calls(case: RoutingCase, count: int = 8) -> list[CloseCall]:
    """The images with the smallest margins, wrong routes first; at most half of them of one task where others
    are there.

    Args:
        case: the router's view of the test images.
        count: at most this many; none with a single task.
    """
    if case.smallest_margin() is None:
        return []
    calls = [
        CloseCall(
            task=int(case.truth[i]),
            image=int(case.image[i]),
            rival=int(case.rival[i]),
            margin=float(case.margin[i]),
            wrong=bool(case.chosen[i] != case.truth[i]),
        )
        for i in np.argsort(case.margin, kind="stable")
    ]
    kept, spare = [], []
    for call in calls:
        full = sum(other.task == call.task for other in kept) >= count / 2
        (spare if full else kept).append(call)
        if len(kept) == count:
            break
    return sorted([*kept, *spare[: count - len(kept)]], key=lambda call: call.margin)


def close_call_rows(
    evaluators: Sequence[TaskEvaluator], calls: Sequence[CloseCall]
) -> list[dict[str, object]]:
    """The same as a table: `task`, `image`, `defect`, `nearest_other`, `margin`, `wrong`."""
    rows = []
    for call in calls:
        record = evaluators[call.task].task.test[call.image]
        rows.append(
            {
                "task": evaluators[call.task].task.name,
                "image": record.image.name,
                "defect": record.defect,
                "nearest_other": evaluators[call.rival].task.name,
                "margin": call.margin,
                "wrong": call.wrong,
            }
        )
    return rows
