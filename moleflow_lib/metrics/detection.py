"""Detection metrics of one product. Scores: higher = more anomalous. Undefined is None, never zero."""

from __future__ import annotations

import numpy as np

from moleflow_lib.metrics.curve import curve_values
from moleflow_lib.metrics.metric_table import METRICS, of_level
from moleflow_lib.metrics.streaming import PIXELS_AT_ONCE, Blocks, streamed_curve

__all__ = ["detection_metrics", "image_metrics", "pixel_metrics"]


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
        Each of METRICS in [0, 1], or None where only one kind of image or pixel exists.

    >>> detection_metrics(np.array([1.0, 3.0, 2.0]), np.array([0, 1, 0]))["image_auroc"]
    1.0
    """
    values: dict[str, float | None] = dict.fromkeys(METRICS) | image_metrics(image_scores, labels)
    if masks is not None and pixel_maps is not None:
        values |= pixel_metrics([(pixel_maps, masks)])
    return values


def image_metrics(scores: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Every image metric of scores (N,) and labels (N,), 1 for defective images."""
    truth = np.asarray(labels, dtype=bool)
    return of_level("image", curve_values(scores[~truth], scores[truth]))


def pixel_metrics(blocks: Blocks, limit: int = PIXELS_AT_ONCE) -> dict[str, float | None]:
    """Every pixel metric over all images of a source, in bounded memory.

    Args:
        blocks: pairs of maps and masks (n, H, W) that can be read several times, see `streamed_curve`.
        limit: pixels held at once.

    Raises:
        MetricError: the source can be read only once, or a score is not a number.
    """
    return of_level("pixel", streamed_curve(blocks, limit))
