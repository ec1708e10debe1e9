"""Routing accuracy as tasks are added."""

from __future__ import annotations

import torch

from moleflow_lib.routing.covariances import COVARIANCES, spectra_distances
from moleflow_lib.studies.routing.images import RouterImages, share

__all__ = ["accuracy_by_task_count"]


def accuracy_by_task_count(images: RouterImages, orders: int = 8) -> list[dict[str, object]]:
    """Add the tasks one by one, in several orders drawn at random, and route the test images of those known.

    Returns:
        One row for each number of tasks and kind: `tasks`, `variant`, mean `accuracy` over the orders,
        `low`, `high`, `orders` (different sets of tasks among the orders drawn).
    """
    generator, count = torch.Generator().manual_seed(images.seed), len(images.names)
    drawn = [torch.randperm(count, generator=generator).tolist() for _ in range(orders)]
    rows = []
    for size in range(1, count + 1):
        found = [_accuracies(images, sorted(known)) for known in {frozenset(order[:size]) for order in drawn}]
        for kind in COVARIANCES:
            values = [value for accuracies in found if (value := accuracies[kind]) is not None]
            if values:
                mean = sum(values) / len(values)
                rows.append(
                    {
                        "tasks": size,
                        "variant": kind,
                        "accuracy": mean,
                        "low": min(values),
                        "high": max(values),
                        "orders": len(values),
                    }
                )
    return rows


def _accuracies(images: RouterImages, known: list[int]) -> dict[str, float | None]:
    """Kind → accuracy among the tasks `known`; the tied estimate pools those alone."""
    rows = torch.isin(images.truth, torch.tensor(known))
    truth, found = images.truth[rows], {}
    for kind in COVARIANCES:
        if kind == "tied":
            spectra = [images.spectra[task] for task in known]
            squared = spectra_distances(spectra, images.test[rows], ("tied",))["tied"]
        else:
            squared = images.distances[kind][rows][:, known]
        found[kind] = share(torch.tensor(known)[squared.argmin(dim=1)] == truth)
    return found
