"""Stress test of the router: between-task means shrunk, as if the products lay closer together than they do.

The images of every task, and its prototype with them, are moved towards the tasks' common centre, so
that every gap between two means shrinks to the share g of what it is while each task keeps its own
scatter. No image was taken like this: it says how much reserve there is, not what any product does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from moleflow_lib.routing.covariances import (
    COVARIANCES,
    Spectrum,
    pooled_factor,
    spectra_distances,
    tied_distances,
)

__all__ = ["GAPS", "ShrunkDistances", "min_separation", "joined", "shrunk_distances"]

GAPS = tuple(round(1 - step / 100, 2) for step in range(101))  # 1 as they are, … 0 all means the same


@dataclass(frozen=True, kw_only=True)
class ShrunkDistances:
    """Squared distances as functions of the share g of the gaps that is left.

    The gap of image x of task y to the mean of task t is (x − μ_y) + g·(μ_y − μ_t), so
    d²(g) = own + g·(full − own − between) + g²·between.
    """

    own: torch.Tensor  # (M, T) squared length of x − μ_y under task t
    between: torch.Tensor  # (M, T) of μ_y − μ_t under task t
    full: torch.Tensor  # (M, T) of x − μ_t under task t, nothing moved
    truth: torch.Tensor  # (M,) y

    def squared(self, gap: float) -> torch.Tensor:
        """(M, T) squared distances with every gap shrunk to the share `gap`."""
        return self.own + gap * (self.full - self.own - self.between) + gap**2 * self.between

    def accuracy(self, gap: float) -> float:
        """Share of the images that are nearest to their own task."""
        return float((self.squared(gap).argmin(dim=1) == self.truth).double().mean())

    def curve(self) -> np.ndarray:
        """Accuracy at each of `GAPS`."""
        return np.array([self.accuracy(gap) for gap in GAPS])

    def restricted(self, tasks: Sequence[int]) -> ShrunkDistances:
        """The images of some tasks among these tasks only."""
        chosen = torch.as_tensor(tasks)
        rows = torch.isin(self.truth, chosen)
        own, between, full = (part[rows][:, chosen] for part in (self.own, self.between, self.full))
        truth = (self.truth[rows][:, None] == chosen).int().argmax(dim=1)
        return ShrunkDistances(own=own, between=between, full=full, truth=truth)


def shrunk_distances(
    spectra: Sequence[Spectrum],
    queries: torch.Tensor,
    truth: torch.Tensor,
    kinds: Sequence[str] = COVARIANCES,
) -> dict[str, ShrunkDistances]:
    """Distances of images (M, D) of known tasks (M,) while the gaps between the tasks shrink, under every
    estimate.

    >>> sides = [torch.tensor([[x - 1.0], [x + 1.0]]) for x in (0.0, 10.0)]
    >>> spectra = [Spectrum.of(x) for x in sides]
    >>> arguments = torch.tensor([[4.0]]), torch.tensor([0]), ("euclidean",)
    >>> moved = shrunk_distances(spectra, *arguments)["euclidean"]
    >>> moved.accuracy(1.0), moved.accuracy(0.5)
    (1.0, 0.0)
    """
    means = torch.stack([spectrum.mean for spectrum in spectra])
    inner = queries.double() - means[truth]
    full, between = (spectra_distances(spectra, x, kinds) for x in (queries, means))
    single = [kind for kind in kinds if kind != "tied"]
    columns = [spectrum.lengths(inner, single) for spectrum in spectra]
    own = {kind: torch.stack([column[kind] for column in columns], dim=1) for kind in single}
    if "tied" in kinds:
        origin = torch.zeros_like(means[:1])
        own["tied"] = tied_distances(origin, pooled_factor(spectra), inner).expand(-1, len(spectra))
    return {
        kind: ShrunkDistances(own=own[kind], between=between[kind][truth], full=full[kind], truth=truth)
        for kind in kinds
    }


def joined(parts: Sequence[ShrunkDistances]) -> ShrunkDistances:
    """The images of several folds as one."""
    return ShrunkDistances(
        **{
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("own", "between", "full", "truth")
        }
    )


def min_separation(curve: np.ndarray, level: float) -> float | None:
    """The smallest share of the gaps down to which accuracy stays at `level` or above.

    Args:
        curve: accuracy at each of `GAPS`.
        level: in [0, 1].

    Returns:
        Small = much reserve; None where the level is not reached with the gaps as they are.

    >>> min_separation(np.array([1.0] * 60 + [0.5] * 41), 0.99)
    0.41
    """
    below = np.flatnonzero(curve < level)
    if len(below) == 0:
        return GAPS[-1]
    return GAPS[below[0] - 1] if below[0] else None
