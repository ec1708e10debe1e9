"""Does the router know how sure it may be? Confidence fitted on training images, checked on test images."""

from __future__ import annotations

from typing import Any

import torch

from moleflow_lib.metrics.wilson import wilson_interval
from moleflow_lib.routing.covariances import COVARIANCES
from moleflow_lib.studies.routing.confidence import fit_temperature, task_probabilities
from moleflow_lib.studies.routing.images import RouterImages, share

__all__ = ["calibration_rows", "expected_calibration_error", "reliability_bins"]

_BINS = 10


def calibration_rows(images: RouterImages) -> list[dict[str, object]]:
    """Confidence in the chosen task on test images; the temperature comes from held-out training images.

    Returns:
        One row a kind: `variant`, `temperature`, `ece` (expected calibration error), `ece_at_1` (the same
        with temperature 1), `confidence` (mean), `accuracy`, `confidence_right` and `confidence_wrong`
        (means over right and wrong routes, None where there are none), `bins`. Empty with a single task.
    """
    rows = []
    for kind in COVARIANCES if len(images.test) else ():
        temperature = fit_temperature(images.held_out.distances[kind], images.held_out.truth)
        if temperature is None:
            continue
        squared = images.distances[kind]
        right = squared.argmin(dim=1) == images.truth
        sure, raw = (task_probabilities(squared, value).amax(dim=1) for value in (temperature, 1.0))
        rows.append(
            {
                "variant": kind,
                "temperature": temperature,
                "ece": expected_calibration_error(sure, right),
                "ece_at_1": expected_calibration_error(raw, right),
                "confidence": share(sure),
                "accuracy": share(right),
                "confidence_right": share(sure[right]),
                "confidence_wrong": share(sure[~right]),
                "bins": reliability_bins(sure, right),
            }
        )
    return rows


def reliability_bins(confidence: torch.Tensor, right: torch.Tensor) -> list[dict[str, Any]]:
    """Ten bins of equal width over confidence; the empty ones left out.

    Args:
        confidence: (N,) in [0, 1].
        right: (N,) bool.

    Returns:
        `confidence` (mean), `accuracy`, `low` and `high` (Wilson), `images` of each bin.

    >>> reliability_bins(torch.tensor([0.95, 1.0]), torch.tensor([True, False]))[0]["accuracy"]
    0.5
    """
    index = (confidence * _BINS).long().clamp(max=_BINS - 1)
    rows = []
    for value in index.unique().tolist():
        own = index == value
        low, high = wilson_interval(int(right[own].sum()), int(own.sum())) or (None, None)
        rows.append(
            {
                "confidence": share(confidence[own]),
                "accuracy": share(right[own]),
                "low": low,
                "high": high,
                "images": int(own.sum()),
            }
        )
    return rows


def expected_calibration_error(confidence: torch.Tensor, right: torch.Tensor) -> float:
    """Mean over images of |accuracy − confidence| of their bin (Guo et al. 2017), in [0, 1]; 0 is best."""
    bins = reliability_bins(confidence, right)
    return sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / len(confidence)
