"""Images of a product never learned: are they refused, and what does that cost the known ones?"""

from __future__ import annotations

import torch

from moleflow_lib.metrics import mean_defined
from moleflow_lib.routing.covariances import COVARIANCES, spectra_distances
from moleflow_lib.routing.held_out import held_out_distances
from moleflow_lib.routing.open_set import acceptance_limits, accepted, excess
from moleflow_lib.studies.routing.images import RouterImages, share

__all__ = ["unknown_rows"]


def unknown_rows(images: RouterImages, accept: float) -> list[dict[str, object]]:
    """Leave each product out in turn and see whether the router of the others says "none of these".

    Limits come from held-out training images alone (`rejection.acceptance_limits`).

    Args:
        images: features of all tasks.
        accept: share of its own images that a task should accept; 1 − accept is the nominal false alarm rate.

    Returns:
        One row a kind: `variant`; `false_alarm_normal`, `false_alarm_defective`, share of the known
        products' test images that are refused with all tasks known; `false_alarm_in_sample`, the former with
        limits from training images that the prototypes saw; `missed`, share of the left-out products' test
        images that are accepted, mean over products; `missed_by_task`; `excess_defective`, `excess_unknown`:
        95 % of the known products' defective images lie below, 95 % of the unknown products' images above
        that many times the limit. None where undefined.
    """
    seen = spectra_distances(images.spectra, torch.cat(images.train))
    owner = torch.cat([torch.full((len(x),), task) for task, x in enumerate(images.train)])
    normal = images.labels == 0
    rows = []
    for kind in COVARIANCES:
        distances = images.distances[kind].sqrt()
        limits = acceptance_limits(images.held_out.own(kind), accept)
        trap = acceptance_limits(
            [seen[kind][owner == task, task].sqrt() for task in range(len(images.names))], accept
        )
        refused, trapped = ~accepted(distances, limits), ~accepted(distances, trap)
        foreign = [_foreign_excess(images, task, kind, limits, accept) for task in range(len(images.names))]
        missed = {name: share(ratio <= 1) for name, ratio in zip(images.names, foreign, strict=True)}
        rows.append(
            {
                "variant": kind,
                "false_alarm_normal": share(refused[normal]),
                "false_alarm_defective": share(refused[~normal]),
                "false_alarm_in_sample": share(trapped[normal]),
                "missed": mean_defined(list(missed.values())),
                "missed_by_task": missed,
                "excess_defective": _quantile(excess(distances, limits)[~normal], 0.95),
                "excess_unknown": _quantile(torch.cat(foreign), 0.05),
            }
        )
    return rows


def _foreign_excess(
    images: RouterImages, task: int, kind: str, limits: torch.Tensor, accept: float
) -> torch.Tensor:
    """Excess of a task's test images under the router of the other tasks; empty if there is none."""
    others = [other for other in range(len(images.names)) if other != task]
    own = images.truth == task
    if not others:
        return torch.empty(0, dtype=torch.float64)
    if kind != "tied":
        return excess(images.distances[kind][own][:, others].sqrt(), limits[others])
    spectra = [images.spectra[other] for other in others]
    squared = spectra_distances(spectra, images.test[own], ("tied",))["tied"]
    held_out = held_out_distances([images.train[other] for other in others], ("tied",), seed=images.seed)
    return excess(squared.sqrt(), acceptance_limits(held_out.own("tied"), accept))


def _quantile(values: torch.Tensor, level: float) -> float | None:
    return float(values.quantile(level)) if len(values) else None
