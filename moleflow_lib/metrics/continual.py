"""What is left after the last task: continual summary and routing summary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from moleflow_lib.errors import MetricError

__all__ = ["continual_summary", "mean_defined", "routing_summary"]

Matrix = Sequence[Sequence[float | None]]


def continual_summary(
    matrix: Matrix, separate: Sequence[float | None] | None = None
) -> dict[str, float | None]:
    """Average metric, forgetting in both senses, and the distance to separate models, from `R[i][j]`.

    `R[i][j]` = task j after learning task i. ACC = mean_j `R[T,j]`. FM_max = mean over j<T of (max over
    l<T of `R[l,j]`) − `R[T,j]` (Chaudhry et al. 2018). BWT = mean over j<T of `R[T,j] − R[j,j]` (Lopez-Paz
    & Ranzato 2017), and FM_first = −BWT. Gap to separate = mean over j of `separate[j] − R[T,j]`. Tasks
    whose metric is undefined are left out, and the means run over the others.

    Args:
        matrix: T rows of T values, None above the diagonal and where undefined.
        separate: (T,) the metric of one model a task, trained on that task alone.

    Returns:
        `acc`, `fm_max`, `fm_first`, `bwt`, `gap_to_separate`; None where undefined or not known.

    Raises:
        MetricError: not one separate score a task.

    >>> continual_summary([[0.9, None], [0.7, 0.8]], separate=[0.95, 0.85])
    {'acc': 0.75, 'fm_max': 0.2, 'fm_first': 0.2, 'bwt': -0.2, 'gap_to_separate': 0.15}
    """
    if separate is not None and len(separate) != len(matrix):
        raise MetricError(
            f"expected one separate score for each of {len(matrix)} tasks, found {len(separate)}; use None "
            "for gaps"
        )
    final = matrix[-1]
    bwt = mean_defined(_moves(matrix))
    return {
        "acc": mean_defined(final),
        "fm_max": mean_defined(_drops(matrix)),
        "fm_first": None if bwt is None else 0.0 - bwt,
        "bwt": bwt,
        "gap_to_separate": mean_defined(
            [
                alone - own
                for alone, own in zip(separate or [], final, strict=False)
                if alone is not None and own is not None
            ]
        ),
    }


def _ends(matrix: Matrix) -> dict[int, tuple[float, float]]:
    """Earlier task → its value after the last task and after its own, where both are defined."""
    last = len(matrix) - 1
    return {
        j: (end, start)
        for j in range(last)
        if (end := matrix[last][j]) is not None and (start := matrix[j][j]) is not None
    }


def _drops(matrix: Matrix) -> list[float]:
    """From the highest value of each earlier task, before the last one was learned, to its end."""
    last = len(matrix) - 1
    return [
        max(value for row in matrix[j:last] if (value := row[j]) is not None) - end
        for j, (end, _) in _ends(matrix).items()
    ]


def _moves(matrix: Matrix) -> list[float]:
    """From each earlier task's own value to its end."""
    return [end - start for end, start in _ends(matrix).values()]


def routing_summary(
    truth: np.ndarray, predicted: np.ndarray, tasks: int, labels: np.ndarray
) -> dict[str, object]:
    """How often the router picks the right task.

    Args:
        truth: (N,) true task of each image.
        predicted: (N,) chosen task.
        tasks: number of tasks T.
        labels: (N,) 1 for defective, 0 for normal images.

    Returns:
        `accuracy` over images, `accuracy_macro` over tasks, `accuracy_normal`, `accuracy_anomalous`,
        `confusion` (T×T counts, rows = true task).
    """
    confusion = np.zeros((tasks, tasks), dtype=int)
    np.add.at(confusion, (truth, predicted), 1)
    right = truth == predicted
    rows = confusion.sum(axis=1)
    macro = [confusion[t, t] / rows[t] if rows[t] else None for t in range(tasks)]
    return {
        "accuracy": mean_defined(right.tolist()),
        "accuracy_macro": mean_defined(macro),
        "accuracy_normal": mean_defined(right[labels == 0].tolist()),
        "accuracy_anomalous": mean_defined(right[labels == 1].tolist()),
        "confusion": confusion.tolist(),
    }


def mean_defined(values: Sequence[float | None]) -> float | None:
    """Mean over the values that are defined, rounded to 12 digits; None if there are none."""
    kept = [float(value) for value in values if value is not None]
    return round(float(np.mean(kept)), 12) if kept else None
