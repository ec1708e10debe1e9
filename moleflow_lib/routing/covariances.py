"""Mahalanobis distances under every covariance estimate, without a D×D factor where none is needed.

`ridge` is the sample covariance + 1e-5·I; `ledoit_wolf` (2004) and `oas` (Chen et al. 2010) are shrunk
towards a multiple of I; `tied` pools the scatter of all tasks, + 1e-5·I; `diagonal` has variances + 1e-5;
`euclidean` is I.

With n images, n < D, a covariance has n − 1 directions of its own and treats all others alike. So one
thin singular value decomposition serves every estimate that is a multiple of it plus a multiple of I;
only the tied estimate needs a Cholesky factor, one for all tasks. Everything in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from moleflow_lib.routing.moments import RunningMoments

__all__ = [
    "COVARIANCES",
    "Spectrum",
    "StackedSpectra",
    "pooled_factor",
    "shrinkage_weights",
    "spectra_distances",
    "squared_gaps",
    "tied_distances",
    "tied_factor",
    "whitened",
]

COVARIANCES = ("ridge", "ledoit_wolf", "oas", "tied", "diagonal", "euclidean")
_RIDGE = 1e-5  # as published
_SMALLEST = 1e-12  # least variance of a direction in which no image differs


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Mean, principal axes and scatter along them of one task's image features.

    >>> line = Spectrum.of(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    >>> round(line.squared(torch.tensor([[2.0, 0.0]]), ("ridge",))["ridge"].item(), 4)
    2.0
    """

    count: int
    mean: torch.Tensor  # (D,)
    axes: torch.Tensor  # (R, D) orthonormal, R = min(n, D)
    scatter: torch.Tensor  # (R,) sum of squares along each axis
    variances: torch.Tensor  # (D,) unbiased
    weights: dict[str, float]  # `ledoit_wolf`, `oas`

    @classmethod
    def of(cls, features: torch.Tensor) -> Spectrum:
        """The spectrum of image features (n, D), n of at least 2."""
        x = features.detach().cpu().double()
        centred = x - x.mean(dim=0)
        _, values, axes = torch.linalg.svd(centred, full_matrices=False)
        return cls(
            count=len(x),
            mean=x.mean(dim=0),
            axes=axes,
            scatter=values.square(),
            variances=centred.square().sum(dim=0) / (len(x) - 1),
            weights=shrinkage_weights(centred, values.square()),
        )

    @classmethod
    def from_moments(cls, moments: RunningMoments, weights: Mapping[str, float]) -> Spectrum:
        """The spectrum of features that are known by their moments alone.

        Args:
            moments: of at least 2 vectors.
            weights: from `shrinkage_weights`, which needs the features themselves.
        """
        values, axes = torch.linalg.eigh(moments.scatter)
        rank = min(moments.count - 1, len(values))
        return cls(
            count=moments.count,
            mean=moments.mean,
            axes=axes[:, len(values) - rank :].T.flip(0),  # a copy: all D axes would be kept otherwise
            scatter=values.flip(0)[:rank].clamp_min(0),
            variances=moments.scatter.diagonal() / (moments.count - 1),
            weights=dict(weights),
        )

    def condition_number(self, kind: str) -> float:
        """Largest over smallest eigenvalue of an estimate; `tied` is no kind of a single task."""
        if kind == "euclidean":
            return 1.0
        if kind == "diagonal":
            return float((self.variances.max() + _RIDGE) / (self.variances.min() + _RIDGE))
        scale, floor = self._scale_and_floor(kind)
        least = self.scatter.min() if len(self.axes) == len(self.mean) else 0.0
        return float((scale * self.scatter.max() + floor) / (scale * least + floor))

    def scatter_matrix(self) -> torch.Tensor:
        """(D, D) sum of outer products about the mean."""
        return (self.axes.T * self.scatter) @ self.axes

    @cached_property
    def total_scatter(self) -> float:
        """Sum of squares along all axes."""
        return float(self.scatter.sum())

    def squared(self, queries: torch.Tensor, kinds: Sequence[str]) -> dict[str, torch.Tensor]:
        """Squared Mahalanobis distances of queries (M, D) to the mean: kind → (M,). `tied` is no kind of a
        single task.
        """
        return self.lengths(queries.double() - self.mean, kinds)

    def lengths(self, gaps: torch.Tensor, kinds: Sequence[str]) -> dict[str, torch.Tensor]:
        """Squared Mahalanobis lengths of differences (M, D) float64: kind → (M,)."""
        length = gaps.square().sum(dim=1)
        along = (gaps @ self.axes.T).square()
        rest = (
            (length - along.sum(dim=1)).clamp_min(0)
            if len(self.axes) < len(self.mean)
            else torch.zeros_like(length)
        )
        found = {}
        for kind in kinds:
            if kind == "euclidean":
                found[kind] = length
            elif kind == "diagonal":
                found[kind] = gaps.square() @ (1 / (self.variances + _RIDGE))
            else:
                scale, floor = self._scale_and_floor(kind)
                found[kind] = along @ (1 / (scale * self.scatter + floor)) + rest / floor
        return found

    def _scale_and_floor(self, kind: str) -> tuple[float, float]:
        """The estimate is scale · scatter + floor · I."""
        if kind == "ridge":
            return 1 / (self.count - 1), _RIDGE
        weight = self.weights[kind]
        isotropic = weight * self.total_scatter / self.count / len(self.mean)
        return (1 - weight) / self.count, max(isotropic or _RIDGE, _SMALLEST)


def shrinkage_weights(centred: torch.Tensor, scatter: torch.Tensor | None = None) -> dict[str, float]:
    """How far two estimates shrink towards a multiple of I: Ledoit & Wolf 2004, OAS of Chen et al. 2010.

    The formulas of scikit-learn, from the scatter's eigenvalues instead of its D×D products.

    Args:
        centred: (n, D) float64 features minus their mean.
        scatter: (R,) eigenvalues of their scatter; computed if None.
    """
    values: torch.Tensor = torch.linalg.svdvals(centred).square() if scatter is None else scatter
    count, dim = centred.shape
    mean, square = float(values.sum()) / count / dim, float(values.square().sum()) / count**2 / dim
    fourth = float(centred.square().sum(dim=1).square().sum()) / count / dim
    gap, noise = square - mean**2, (fourth - square) / count
    ledoit_wolf = min(noise, gap) / gap if gap > 0 and noise > 0 else 0.0
    above, below = square / dim + mean**2, (count + 1) * (square / dim - mean**2 / dim)
    return {"ledoit_wolf": ledoit_wolf, "oas": min(above / below, 1.0) if below > 0 else 1.0}


class StackedSpectra:
    """The spectra of all tasks in one, so that a few products serve them all, however many there are.

    Equal to `Spectrum.squared` of each up to float64 rounding: differences are taken behind the projection
    here, about the mean of all means.

    >>> tasks = [Spectrum.of(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]) + shift) for shift in (0.0, 5.0)]
    >>> StackedSpectra(tasks).squared(torch.tensor([[5.0, 5.0]]), "oas").argmin().item()
    1
    """

    def __init__(self, spectra: Sequence[Spectrum]) -> None:
        means = torch.stack([spectrum.mean for spectrum in spectra])
        self.spectra = tuple(spectra)
        self.centre = means.mean(dim=0)
        self.means = means - self.centre
        self.variances = torch.stack([spectrum.variances for spectrum in spectra])
        self.axes = torch.cat([spectrum.axes for spectrum in spectra])  # (ΣR, D)
        ranks = torch.tensor([len(spectrum.axes) for spectrum in spectra])
        self.owner = torch.arange(len(ranks)).repeat_interleave(ranks)  # (ΣR,) task of each axis
        self.along = (self.axes * self.means[self.owner]).sum(dim=1)  # (ΣR,) of each mean along its own axes
        self.whole = ranks == means.shape[1]

    def squared(self, queries: torch.Tensor, kind: str) -> torch.Tensor:
        """Squared distances (M, T) of queries (M, D) under an estimate of a single task's covariance."""
        x = queries.double() - self.centre
        if kind == "diagonal":
            weights = 1 / (self.variances + _RIDGE)
            return torch.stack([((row - self.means).square() * weights).sum(dim=1) for row in x])
        length = squared_gaps(x, self.means)
        if kind == "euclidean":
            return length
        estimates = [spectrum._scale_and_floor(kind) for spectrum in self.spectra]
        scale, floor = torch.tensor(estimates, dtype=torch.float64).T
        values = torch.cat([spectrum.scatter for spectrum in self.spectra])
        along = (x @ self.axes.T - self.along).square()
        zeros = torch.zeros_like(length)
        rest = (length - zeros.index_add(1, self.owner, along)).clamp_min(0).masked_fill(self.whole, 0)
        weighted = along / (scale[self.owner] * values + floor[self.owner])
        return zeros.index_add(1, self.owner, weighted) + rest / floor


def pooled_factor(spectra: Sequence[Spectrum]) -> torch.Tensor:
    """Cholesky factor (D, D) of the tied estimate, from what is known of each task.

    The estimate is the scatter of all tasks about their own means over its degrees of freedom, plus 1e-5·I.
    """
    return tied_factor((spectrum.scatter_matrix() for spectrum in spectra), [s.count for s in spectra])


def tied_factor(scatters: Iterable[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    """The same from scatter matrices (D, D), taken one by one, and numbers of images."""
    pooled = sum(scatters, torch.zeros((), dtype=torch.float64)) / sum(count - 1 for count in counts)
    return torch.linalg.cholesky(pooled + _RIDGE * torch.eye(len(pooled), dtype=torch.float64))


def whitened(factor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Vectors (M, D) in the coordinates in which the covariance of a Cholesky factor (D, D) is I, float64."""
    return torch.linalg.solve_triangular(factor, x.double().T, upper=False).T


def tied_distances(means: torch.Tensor, factor: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Squared distances (M, T) of queries (M, D) to means (T, D) under one covariance, by its Cholesky factor
    (D, D).
    """
    return squared_gaps(whitened(factor, queries), whitened(factor, means))


def squared_gaps(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances (M, T) of x (M, D) to y (T, D), both float64."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def spectra_distances(
    spectra: Sequence[Spectrum], queries: torch.Tensor, kinds: Sequence[str] = COVARIANCES
) -> dict[str, torch.Tensor]:
    """Squared distances to every task under every estimate.

    Args:
        spectra: one a task.
        queries: (M, D) image features.
        kinds: estimates wanted.

    Returns:
        Kind → (M, T) float64, the squares of `PrototypeRouter.distances`.
    """
    single = [kind for kind in kinds if kind != "tied"]
    columns = [spectrum.squared(queries, single) for spectrum in spectra]
    found = {kind: torch.stack([column[kind] for column in columns], dim=1) for kind in single}
    if "tied" in kinds:
        means = torch.stack([spectrum.mean for spectrum in spectra])
        found["tied"] = tied_distances(means, pooled_factor(spectra), queries)
    return {kind: found[kind] for kind in kinds}
