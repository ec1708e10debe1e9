"""Which task does an image belong to: the nearest prototype of mean patch features.

A prototype holds a mean, a covariance and a count, so it keeps no image. Everything here is computed in
float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.routing.covariances import (
    COVARIANCES,
    Spectrum,
    StackedSpectra,
    shrinkage_weights,
    squared_gaps,
    tied_factor,
    whitened,
)
from moleflow_lib.routing.moments import RunningMoments

__all__ = ["COVARIANCES", "PrototypeRouter", "TaskPrototype"]

_SHRUNK = ("ledoit_wolf", "oas")


class TaskPrototype:
    """Mean and covariance of one task's image features.

    Args:
        moments: of the features, exact whatever the batches.
        shrinkage: how far `ledoit_wolf` and `oas` shrink, estimated while the features were at hand.

    Raises:
        ConfigError: fewer than two images.
    """

    def __init__(self, moments: RunningMoments, shrinkage: Mapping[str, float]) -> None:
        if moments.count < 2:
            raise ConfigError(f"a prototype needs at least 2 training images, got {moments.count}")
        self.moments = moments
        self.shrinkage = dict(shrinkage)

    @classmethod
    def of(cls, features: torch.Tensor) -> TaskPrototype:
        """The prototype of image features (N, D)."""
        moments = RunningMoments(features.shape[1])
        moments.update(features)
        x = features.detach().cpu().double()
        return cls(moments, shrinkage_weights(x - x.mean(dim=0)) if len(x) > 1 else {})

    @cached_property
    def spectrum(self) -> Spectrum:
        """Its principal axes, which every distance is computed along."""
        return Spectrum.from_moments(self.moments, self.shrinkage)

    def distances(self, features: torch.Tensor, kind: str) -> torch.Tensor:
        """Mahalanobis distance (N,) float64 of image features (N, D): √((x−μ)ᵀ Σ⁻¹ (x−μ)).

        Args:
            features: of the images.
            kind: an estimate of a single task's covariance, see `covariances`.
        """
        return self.spectrum.squared(features.detach().cpu(), (kind,))[kind].sqrt()

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        weights = [self.shrinkage[name] for name in _SHRUNK]
        return {**self.moments.state(), "shrinkage": torch.tensor(weights, dtype=torch.float64)}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> TaskPrototype:
        """The prototype that `state` was taken from."""
        shrinkage: dict[str, float] = dict(zip(_SHRUNK, state["shrinkage"].tolist(), strict=True))
        return cls(RunningMoments.from_state(state), shrinkage)


class PrototypeRouter:
    """Picks the task whose prototype is nearest.

    Args:
        covariance: an estimate, see `covariances`.
        prototypes: one a task, in order of arrival.

    >>> near = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> prototypes = [TaskPrototype.of(near), TaskPrototype.of(near + 10)]
    >>> router = PrototypeRouter("euclidean", prototypes=prototypes)
    >>> router.route(torch.tensor([[0.4, 0.4], [9.0, 9.0]])).tolist()
    [0, 1]
    """

    def __init__(self, covariance: str = "ridge", prototypes: Sequence[TaskPrototype] = ()) -> None:
        self.kind = covariance
        self.prototypes = tuple(prototypes)
        # of the last number of tasks asked for: one factor at a time
        self._tied = lru_cache(1)(self._tied_of)
        self._stacked = lru_cache(1)(self._stacked_of)

    def variant(self, covariance: str) -> PrototypeRouter:
        """The same prototypes under another covariance estimate."""
        return PrototypeRouter(covariance, self.prototypes)

    def distances(self, features: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """Mahalanobis distance of each image to each prototype.

        Args:
            features: (N, D) image features.
            known: how many tasks, from the first, are known yet; all if None.

        Returns:
            (N, T) float64.
        """
        queries = features.detach().cpu()
        count = len(self.prototypes[:known])
        if self.kind == "euclidean":
            return squared_gaps(queries.double(), self._means[:known]).sqrt()
        if self.kind == "tied":
            factor, centres = self._tied(count)
            return squared_gaps(whitened(factor, queries), centres).sqrt()
        return self._stacked(count).squared(queries, self.kind).sqrt()

    def route(self, features: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """The nearest task of each image, (N,) int64; the first one on a tie."""
        return self.distances(features, known).argmin(dim=1)

    def condition_numbers(self) -> list[float]:
        """Ratio of largest to smallest eigenvalue of each task's covariance estimate."""
        if self.kind != "tied":
            return [prototype.spectrum.condition_number(self.kind) for prototype in self.prototypes]
        values = torch.linalg.svdvals(self._tied(len(self.prototypes))[0]).square()
        return [float(values[0] / values[-1])] * len(self.prototypes)

    @cached_property
    def _means(self) -> torch.Tensor:
        return torch.stack([prototype.moments.mean for prototype in self.prototypes])

    def _tied_of(self, known: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Factor (D, D) of the covariance that the first tasks share, and their means in its coordinates."""
        prototypes = self.prototypes[:known]
        scatters = (prototype.moments.scatter for prototype in prototypes)
        factor = tied_factor(scatters, [prototype.moments.count for prototype in prototypes])
        return factor, whitened(factor, self._means[:known])

    def _stacked_of(self, known: int) -> StackedSpectra:
        return StackedSpectra([prototype.spectrum for prototype in self.prototypes[:known]])
