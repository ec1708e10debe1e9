"""Detection metrics of one product, and the continual summary of a sequence of tasks.

Scores: higher = more anomalous. An undefined metric is None, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["METRICS", "auroc_and_ap", "continual_summary", "detection_metrics", "mean_defined", "routing_summary"]

METRICS = ("image_auroc", "pixel_auroc", "pixel_ap")
Matrix = Sequence[Sequence[float | None]]


def detection_metrics(
    image_scores: np.ndarray,
    labels: np.ndarray,
    pixel_maps: np.ndarray | None = None,
    masks: np.ndarray | None = None,
) -> dict[str, float | None]:
    """Image and pixel metrics of one product's labelled images.

    Args:
        image_scores: (N,) one score an image.
        labels: (N,) 1 for defective, 0 for normal.
        pixel_maps: (N, H, W) scores at the evaluation size, normal images included.
        masks: (N, H, W) bool, True on defects; None where the product has no masks.

    Returns:
        Metric name to value in [0, 1], or None where only one kind of image or pixel exists.

    >>> detection_metrics(np.array([1.0, 3.0, 2.0]), np.array([0, 1, 0]))["image_auroc"]
    1.0
    """
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    if _both_kinds(labels):
        values["image_auroc"], _ = auroc_and_ap(image_scores, labels)
    if masks is not None and pixel_maps is not None and _both_kinds(masks):
        values["pixel_auroc"], values["pixel_ap"] = auroc_and_ap(pixel_maps.ravel(), masks.ravel())
    return values


def auroc_and_ap(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve and average precision, exact with ties, from one sort.

    Own code because a library call sorts the millions of pixels anew for each of the two.

    Args:
        scores: (N,).
        labels: (N,) true on positives; both kinds must be there.

    >>> auroc_and_ap(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    (0.75, 0.8333333333333333)
    """
    order = np.argsort(scores)[::-1]
    ranked, truth = scores[order], labels[order].astype(bool)
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    hits = np.cumsum(truth)[last_of_tie].astype(float)
    alarms = 1 + last_of_tie - hits
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    auroc = np.trapezoid(np.append(0, recall), np.append(0, alarms / alarms[-1]))
    return float(auroc), float(np.sum(np.diff(recall, prepend=0) * precision))


def continual_summary(matrix: Matrix) -> dict[str, float | None]:
    """Average metric and forgetting after the last task, from R[i][j] = task j after learning task i.

    ACC = mean_j R[T,j]. FM_max = mean over j<T of (max over l<T of R[l,j]) − R[T,j] (Chaudhry et
    al. 2018). BWT = mean over j<T of R[T,j] − R[j,j] (Lopez-Paz & Ranzato 2017). Tasks whose metric
    is undefined are left out, and the means run over the others.

    Args:
        matrix: T rows of T values, None above the diagonal and where undefined.

    >>> continual_summary([[0.9, None], [0.7, 0.8]])
    {'acc': 0.75, 'fm_max': 0.2, 'bwt': -0.2}
    """
    last = len(matrix) - 1
    final = matrix[last]
    earlier = [j for j in range(last) if final[j] is not None and matrix[j][j] is not None]
    drops = [max(matrix[i][j] for i in range(j, last)) - final[j] for j in earlier]
    moves = [final[j] - matrix[j][j] for j in earlier]
    return {
        "acc": mean_defined(final),
        "fm_max": mean_defined(drops),
        "bwt": mean_defined(moves),
    }


def routing_summary(truth: np.ndarray, predicted: np.ndarray, tasks: int, labels: np.ndarray) -> dict[str, object]:
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


def _both_kinds(labels: np.ndarray) -> bool:
    return bool(labels.any()) and not bool(labels.all())
