"""Which covariance estimate the router should use, decided on training images alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, spectra_distances
from moleflow_lib.routing.held_out import held_out_folds
from moleflow_lib.routing.router import PrototypeRouter, TaskPrototype
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.routing.mean_shrinkage import joined, min_separation, shrunk_distances

__all__ = ["RESERVE_LEVEL", "alike", "covariance_evidence", "preferred", "weakest_accuracy"]

RESERVE_LEVEL = 0.99  # of the held-out images are routed right down to `min_separation`
_FEW, _DRAWS = 10, 3
_NEAR = 0.005  # estimates whose weakest accuracy is this near to the best count as equal


def preferred(evidence: Rows, used: str = "") -> str:
    """The kind a table of evidence speaks for.

    First the weakest of the three accuracies counts: held out, all tasks of few images, one small
    task among full ones. Among those within half a point of the best, the one that stands the
    smallest gaps (to the percent); then the one in use, then the smaller condition number. Engineering
    choice.

    >>> generator = torch.Generator().manual_seed(0)
    >>> wide = torch.tensor([9.0, 0.1])  # tasks differ in the second component, where images hardly vary
    >>> tasks = [torch.randn(60, 2, generator=generator) * wide + torch.tensor([0.0, y]) for y in (0.0, 1.0)]
    >>> preferred(covariance_evidence(tasks)) != "euclidean"
    True
    """
    best = max(weakest_accuracy(row) for row in evidence)
    equals = [row for row in evidence if weakest_accuracy(row) >= best - _NEAR]
    return min(equals, key=lambda row: _rank(row, used))["variant"]


def _rank(row: Row, used: str) -> tuple[float, bool, float]:
    return round(_or(row["min_separation"], 2.0), 2), row["variant"] != used, row["condition_number"]


def weakest_accuracy(row: Row) -> float:
    """The lowest of a row's three accuracies; those that are undefined do not count."""
    return min(_or(row[key], 1.0) for key in ("held_out", "few_images", "one_small_task"))


def alike(evidence: Rows) -> bool:
    """Whether no estimate's weakest accuracy is more than half a point below the best.

    >>> rows = [{"held_out": 1.0, "few_images": low, "one_small_task": None} for low in (0.996, 1.0)]
    >>> alike(rows), alike([{**rows[0], "few_images": 0.99}, rows[1]])
    (True, False)
    """
    weakest = [weakest_accuracy(row) for row in evidence]
    return max(weakest) - min(weakest) <= _NEAR


def covariance_evidence(train: Sequence[torch.Tensor], seed: int = 0) -> list[dict[str, object]]:
    """What training images say about each estimate; every image is routed by prototypes that never saw it.

    Returns:
        One row a kind: `variant`; `held_out`, accuracy in 5-fold cross-validation; `few_images`, with every
        prototype made of 10 images (at most half); `one_small_task`, with one task so small and the others
        full, the worst task; `min_separation` (`moved_means`, at 99 %); `condition_number`, largest of any
        task. Accuracies are None where a task has no image to spare.
    """
    spectra = [Spectrum.of(x) for x in train]
    folds = [shrunk_distances(*fold) for fold in held_out_folds(train, seed=seed)]
    few, small = _few_images(train, seed), _one_small_task(train, spectra, seed)
    router, rows = _router(train), []
    for kind in COVARIANCES:
        curve = joined([fold[kind] for fold in folds]).curve()
        rows.append(
            {
                "variant": kind,
                "held_out": _defined(curve[0]),
                "few_images": few[kind],
                "one_small_task": small[kind],
                "min_separation": min_separation(curve, RESERVE_LEVEL),
                "condition_number": max(router.variant(kind).condition_numbers()),
            }
        )
    return rows


def _few_images(train: Sequence[torch.Tensor], seed: int) -> dict[str, float | None]:
    generator = torch.Generator().manual_seed(seed)
    right: dict[str, list[torch.Tensor]] = {kind: [] for kind in COVARIANCES}
    for _ in range(_DRAWS):
        split = [_split(x, generator) for x in train]
        truth = torch.cat([torch.full((len(rest),), task) for task, (_, rest) in enumerate(split)])
        rest = torch.cat([rest for _, rest in split])
        for kind, squared in spectra_distances([Spectrum.of(few) for few, _ in split], rest).items():
            right[kind].append(squared.argmin(dim=1) == truth)
    return {kind: _defined(torch.cat(hits).double().mean()) for kind, hits in right.items()}


def _one_small_task(
    train: Sequence[torch.Tensor], spectra: Sequence[Spectrum], seed: int
) -> dict[str, float | None]:
    generator = torch.Generator().manual_seed(seed)
    worst: dict[str, list[float]] = {kind: [] for kind in COVARIANCES}
    for task, images in enumerate(train):
        right: dict[str, list[torch.Tensor]] = {kind: [] for kind in COVARIANCES}
        for _ in range(_DRAWS):
            few, rest = _split(images, generator)
            among = [*spectra[:task], Spectrum.of(few), *spectra[task + 1 :]]
            for kind, squared in spectra_distances(among, rest).items():
                right[kind].append(squared.argmin(dim=1) == task)
        for kind, hits in right.items():
            worst[kind] += [float(torch.cat(hits).double().mean())] if len(torch.cat(hits)) else []
    return {kind: min(values, default=None) for kind, values in worst.items()}


def _router(train: Sequence[torch.Tensor]) -> PrototypeRouter:
    return PrototypeRouter(prototypes=[TaskPrototype.of(images) for images in train])


def _split(images: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.randperm(len(images), generator=generator)
    count = min(_FEW, max(2, len(images) // 2))
    return images[order[:count]], images[order[count:]]


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else float(value)


def _defined(value: float | torch.Tensor) -> float | None:
    number = float(value)
    return None if number != number else number
