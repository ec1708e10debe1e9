"""Which task does an image belong to: the nearest prototype of mean patch features.

A prototype holds a mean, a covariance and a count, so it keeps no image. Everything here is
computed in float64 and applied through a Cholesky factor, never an explicit inverse.
"""

from __future__ import annotations

import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.routing.covariances import COVARIANCES, shrinkage_weights
from moleflow_lib.routing.moments import RunningMoments

__all__ = ["COVARIANCES", "PrototypeRouter", "TaskPrototype"]


class TaskPrototype:
    """Mean and covariance of one task's image features, updated exactly batch by batch.

    Args:
        dim: feature width D.
    """

    def __init__(self, dim: int) -> None:
        self.moments = RunningMoments(dim)
        self.shrinkage: dict[str, float] = {}
        self._seen: list[torch.Tensor] = []

    def update(self, features: torch.Tensor) -> None:
        """Take in image features (N, D)."""
        self.moments.update(features)
        self._seen.append(features.detach().cpu().double())

    def finalize(self) -> None:
        """Estimate the shrinkage coefficients while the features are still at hand, then drop them."""
        seen = torch.cat(self._seen)
        self.shrinkage = shrinkage_weights(seen - seen.mean(dim=0))
        self._seen = []

    def covariance(self, kind: str = "ridge", ridge: float = 1e-5) -> torch.Tensor:
        """The (D, D) covariance estimate that distances are measured with.

        Args:
            kind: `ridge` sample covariance + ridge·I; `ledoit_wolf` (2004) and `oas` (Chen et al.
                2010) shrunk towards a multiple of I; `diagonal` variances + ridge; `euclidean` I.
            ridge: added to the diagonal where the estimate may be singular.

        Raises:
            ConfigError: the kind is unknown, or fewer than two images were seen.
        """
        if self.moments.count < 2:
            raise ConfigError(f"a prototype needs at least 2 training images, got {self.moments.count}")
        eye = torch.eye(len(self.moments.mean), dtype=torch.float64)
        sample = self.moments.covariance()
        if kind == "ridge":
            return sample + ridge * eye
        if kind == "diagonal":
            return torch.diag(sample.diagonal() + ridge)
        if kind == "euclidean":
            return eye
        if kind in self.shrinkage:
            weight, biased = self.shrinkage[kind], self.moments.scatter / self.moments.count
            isotropic = weight * float(biased.diagonal().mean()) or ridge  # two images give no weight: singular without the ridge
            return (1 - weight) * biased + isotropic * eye
        raise ConfigError(f"router_covariance: expected one of {', '.join(COVARIANCES)}, got {kind!r}")

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        weights = [self.shrinkage["ledoit_wolf"], self.shrinkage["oas"]]
        return {**self.moments.state(), "shrinkage": torch.tensor(weights, dtype=torch.float64)}

    @classmethod
    def from_state(cls, state: dict[str, torch.Tensor]) -> TaskPrototype:
        """The prototype that `state` was taken from."""
        prototype = cls(len(state["mean"]))
        prototype.moments = RunningMoments.from_state(state)
        prototype.shrinkage = dict(zip(("ledoit_wolf", "oas"), state["shrinkage"].tolist(), strict=True))
        return prototype


class PrototypeRouter:
    """Picks the task whose prototype is nearest.

    Args:
        covariance: see `TaskPrototype.covariance`; `tied` pools the scatter of all tasks.
        ridge: added to the diagonal where the estimate may be singular.

    >>> router = PrototypeRouter("euclidean")
    >>> for centre in (0.0, 10.0):
    ...     prototype = TaskPrototype(2)
    ...     prototype.update(centre + torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    ...     router.add(prototype)
    >>> router.route(torch.tensor([[0.4, 0.4], [9.0, 9.0]])).tolist()
    [0, 1]
    """

    def __init__(self, covariance: str = "ridge", ridge: float = 1e-5) -> None:
        self.kind, self.ridge = covariance, ridge
        self.prototypes: list[TaskPrototype] = []
        self._factors: dict[tuple[int, int], torch.Tensor] = {}

    def add(self, prototype: TaskPrototype) -> None:
        """Learn one more task."""
        self.prototypes.append(prototype)

    def variant(self, covariance: str, ridge: float | None = None) -> PrototypeRouter:
        """The same prototypes under another covariance estimate."""
        other = PrototypeRouter(covariance, self.ridge if ridge is None else ridge)
        other.prototypes = list(self.prototypes)
        return other

    def distances(self, features: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """Mahalanobis distance of each image to each prototype: √((x−μ)ᵀ Σ⁻¹ (x−μ)).

        Args:
            features: (N, D) image features.
            known: how many tasks, from the first, are known yet; all if None.

        Returns:
            (N, T) float64.
        """
        known = len(self.prototypes) if known is None else known
        x = features.detach().cpu().double()
        columns = []
        for task in range(known):
            gap = (x - self.prototypes[task].moments.mean).T
            columns.append(torch.linalg.solve_triangular(self._factor(task, known), gap, upper=False).norm(dim=0))
        return torch.stack(columns, dim=1)

    def route(self, features: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """The nearest task of each image, (N,) int64; the first one on a tie."""
        return self.distances(features, known).argmin(dim=1)

    def condition_numbers(self) -> list[float]:
        """Ratio of largest to smallest eigenvalue of each task's covariance estimate."""
        count = len(self.prototypes)
        alike = self.kind in ("tied", "euclidean")
        values = [torch.linalg.eigvalsh(self._covariance(task, count)) for task in range(1 if alike else count)]
        return [float(v[-1] / v[0]) for v in values] * (count if alike else 1)

    def _covariance(self, task: int, known: int) -> torch.Tensor:
        if self.kind != "tied":
            return self.prototypes[task].covariance(self.kind, self.ridge)
        pooled = sum(p.moments.scatter for p in self.prototypes[:known])
        freedom = sum(p.moments.count - 1 for p in self.prototypes[:known])
        return pooled / freedom + self.ridge * torch.eye(len(pooled), dtype=torch.float64)

    def _factor(self, task: int, known: int) -> torch.Tensor:
        key = (task, known if self.kind == "tied" else 0)
        if key not in self._factors:
            self._factors[key] = torch.linalg.cholesky(self._covariance(task, known))
        return self._factors[key]
