"""What the router's covariance estimate is worth on test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from moleflow_lib.evaluation.continual import evaluate_continual
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.metrics import METRICS, mean_defined
from moleflow_lib.metrics.wilson import wilson_interval
from moleflow_lib.routing.router import COVARIANCES
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = ["RoutingCase", "routing_cases", "study_routers"]


@dataclass(frozen=True, kw_only=True)
class RoutingCase:
    """The router's view of the labelled test images of all tasks."""

    image: np.ndarray  # (N,) its place among its task's test images
    truth: np.ndarray  # (N,) true task
    chosen: np.ndarray  # (N,) nearest task
    rival: np.ndarray  # (N,) nearest task that is not the true one; the true one with a single task
    margin: np.ndarray  # (N,) distance to the nearest wrong task / distance to the true one; below 1 = wrong
    labels: np.ndarray  # (N,) 1 for defective images, 0 for normal ones

    def smallest_margin(self) -> float | None:
        """The narrowest margin; None without images or with a single task, which has no competitor."""
        return float(self.margin.min()) if len(self.margin) and np.isfinite(self.margin).all() else None


def study_routers(
    evaluators: Sequence[TaskEvaluator[ContinualDetector]], kinds: Sequence[str] = COVARIANCES
) -> list[dict[str, object]]:
    """Route all test images with each covariance estimate and score them under the chosen tasks.

    Args:
        evaluators: one a task, all learned.
        kinds: covariance estimates, see `covariances`.

    Returns:
        One row a variant: `variant`, routing accuracies with their Wilson intervals (`_low`, `_high`),
        largest condition number, and each metric's routed mean and loss against the oracle.
    """
    labels = np.concatenate([evaluator.labels for evaluator in evaluators])
    counts = {
        "accuracy": (labels >= 0).sum(),
        "accuracy_normal": (labels == 0).sum(),
        "accuracy_anomalous": (labels == 1).sum(),
    }
    rows = []
    for kind in kinds:
        router = evaluators[0].detector.router.variant(kind)
        result = evaluate_continual(evaluators, router)
        routing = {name: value for name, value in (result.routing or {}).items() if name != "confusion"}
        row: dict[str, object] = {
            "variant": kind,
            **routing,
            "condition_number": max(router.condition_numbers()),
        }
        for name, count in counts.items():
            ends = wilson_interval(round(routing[name] * count), int(count)) if count else None
            row[f"{name}_low"], row[f"{name}_high"] = ends or (None, None)
        for metric in METRICS:
            oracle, routed = (mean_defined(result.final(metric, way)) for way in ("oracle", "routed"))
            row[metric] = routed
            row[f"{metric}_lost"] = None if oracle is None or routed is None else oracle - routed
        rows.append(row)
    return rows


def routing_cases(evaluators: Sequence[TaskEvaluator[ContinualDetector]], kind: str) -> RoutingCase:
    """Choices and margins of one router variant; unlabelled images are left out."""
    router = evaluators[0].detector.router.variant(kind)
    labelled = [np.flatnonzero(evaluator.labels >= 0) for evaluator in evaluators]
    distances = torch.cat(
        [router.distances(e.image_means[own]) for e, own in zip(evaluators, labelled, strict=True)]
    ).numpy()
    truth = np.concatenate([np.full(len(own), j) for j, own in enumerate(labelled)])
    own = distances[np.arange(len(truth)), truth]
    others = distances.copy()
    others[np.arange(len(truth)), truth] = np.inf
    return RoutingCase(
        image=np.concatenate(labelled),
        truth=truth,
        chosen=distances.argmin(axis=1),
        rival=others.argmin(axis=1),
        margin=others.min(axis=1) / own,
        labels=np.concatenate([e.labels[own] for e, own in zip(evaluators, labelled, strict=True)]),
    )
