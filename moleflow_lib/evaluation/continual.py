"""What is detected on every task after every task, with the task given and with it chosen.

`oracle`: each image is scored with the parts of the task it belongs to. `routed`: with those of the
task the router picks among the ones known at that moment. Only `routed` is what a factory would see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.metrics import METRICS, continual_summary, routing_summary
from moleflow_lib.routing.router import PrototypeRouter

__all__ = ["ContinualResult", "evaluate_continual", "evaluate_states"]


@dataclass(frozen=True, kw_only=True)
class ContinualResult:
    """The R matrices of a sequence and all that is read off them."""

    classes: tuple[str, ...]  # task names in order
    matrices: dict[str, dict[str, list[list[float | None]]]]  # metric → oracle | routed → R[i][j]
    routing: dict[str, Any] | None  # after the last task, see `routing_summary`; None where nothing is routed
    routing_over_time: list[float]  # accuracy over the tasks known so far, after each task

    def summary(
        self, separate: Mapping[str, Sequence[float | None]] | None = None
    ) -> dict[str, dict[str, dict[str, float | None]]]:
        """Metric → oracle | routed → `acc`, `fm_max`, `fm_first`, `bwt`, `gap_to_separate`.

        Args:
            separate: metric → one score a task, of models trained on each task alone; without it the
                gap is None.
        """
        alone = separate or {}
        return {
            metric: {way: continual_summary(matrix, alone.get(metric)) for way, matrix in ways.items()}
            for metric, ways in self.matrices.items()
        }

    def final(self, metric: str, way: str = "routed") -> list[float | None]:
        """A metric of every task after the last one was learned."""
        return self.matrices[metric][way][-1]

    def classes_with_masks(self) -> list[str]:
        """Tasks whose pixel metrics are defined."""
        return [
            name
            for name, value in zip(self.classes, self.final("pixel_auroc", "oracle"), strict=True)
            if value is not None
        ]


def evaluate_continual(evaluators: Sequence[TaskEvaluator], router: PrototypeRouter) -> ContinualResult:
    """Fill both R matrices and the routing table.

    Later training cannot change earlier parts, so oracle `R[i][j]` is `R[j][j]` for all i > j; that the
    parts are unchanged is verified by hash elsewhere (`Experiment.unchanged`), not assumed.

    Args:
        evaluators: one a task, in order.
        router: chooses the task of each image.
    """
    count = len(evaluators)
    matrices: dict[str, dict[str, list[list[float | None]]]] = {
        m: {way: [[None] * count for _ in range(count)] for way in ("oracle", "routed")} for m in METRICS
    }
    over_time = []
    for i in range(count):
        chosen = [router.route(evaluators[j].image_means, known=i + 1) for j in range(i + 1)]
        for j in range(i + 1):
            oracle, routed = evaluators[j].metrics(j), evaluators[j].metrics(chosen[j])
            for metric in METRICS:
                matrices[metric]["oracle"][i][j] = oracle[metric]
                matrices[metric]["routed"][i][j] = routed[metric]
        over_time.append(_routing(evaluators[: i + 1], chosen))
    return ContinualResult(
        classes=tuple(evaluator.task.name for evaluator in evaluators),
        matrices=matrices,
        routing=over_time[-1],
        routing_over_time=[row["accuracy"] for row in over_time],
    )


def evaluate_states(evaluators: Sequence[TaskEvaluator], states: Sequence[int | None]) -> ContinualResult:
    """R matrices of a single model that knows no tasks: after task i, every image is scored with one state of
    it.

    Nothing is routed, so oracle and routed are the same.

    Args:
        evaluators: one a task, in order; their scorer takes the index of a state for that of a task.
        states: the state in force after each task; None where there is no model yet, and no row of R.
    """
    cells = {
        (i, j): evaluators[j].metrics(state)
        for i, state in enumerate(states)
        if state is not None
        for j in range(i + 1)
    }
    matrices, order = {}, range(len(evaluators))
    for metric in METRICS:
        matrix = [[cells[i, j][metric] if (i, j) in cells else None for j in order] for i in order]
        matrices[metric] = {"oracle": matrix, "routed": matrix}
    names = tuple(evaluator.task.name for evaluator in evaluators)
    return ContinualResult(classes=names, matrices=matrices, routing=None, routing_over_time=[])


def _routing(evaluators: Sequence[TaskEvaluator], chosen: Sequence[torch.Tensor]) -> dict[str, Any]:
    truth = np.concatenate([np.full(len(c), j) for j, c in enumerate(chosen)])
    labels = np.concatenate([evaluator.labels for evaluator in evaluators])
    labelled = labels >= 0
    predicted = torch.cat(list(chosen)).numpy()
    return routing_summary(truth[labelled], predicted[labelled], len(evaluators), labels[labelled])
