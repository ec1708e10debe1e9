"""Mean and covariance of a stream, exact whatever the batches (Chan, Golub & LeVeque 1979)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["RunningMoments"]


class RunningMoments:
    """Count, mean and scatter matrix of vectors seen batch by batch, in float64.

    Args:
        dim: D.

    >>> moments = RunningMoments(1)
    >>> for batch in ([[1.0], [2.0]], [[6.0]]):
    ...     moments.update(torch.tensor(batch))
    >>> moments.mean.item(), moments.covariance().item()
    (3.0, 7.0)
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    @classmethod
    def of_patches(cls, patches: torch.Tensor) -> RunningMoments:
        """Moments over all patches (N, H, W, D) of some images."""
        moments = cls(patches.shape[-1])
        for chunk in patches.split(16):
            moments.update(chunk.reshape(-1, chunk.shape[-1]))
        return moments

    def update(self, vectors: torch.Tensor) -> None:
        """Take in vectors (N, D)."""
        batch = vectors.detach().cpu().double()
        mean, total = batch.mean(dim=0), self.count + len(batch)
        gap, centred = mean - self.mean, batch - mean
        self.scatter += centred.T @ centred + torch.outer(gap, gap) * (self.count * len(batch) / total)
        self.mean += gap * (len(batch) / total)
        self.count = total

    def covariance(self) -> torch.Tensor:
        """Unbiased sample covariance (D, D)."""
        return self.scatter / (self.count - 1)

    def std(self) -> torch.Tensor:
        """Sample standard deviation of each component (D,)."""
        return self.covariance().diagonal().sqrt()

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"mean": self.mean, "scatter": self.scatter, "count": torch.tensor(self.count)}

    @classmethod
    def from_state(cls, state: Mapping[str, torch.Tensor]) -> RunningMoments:
        """The moments that `state` was taken from."""
        moments = cls(len(state["mean"]))
        moments.mean, moments.scatter = state["mean"].clone(), state["scatter"].clone()
        moments.count = int(state["count"])
        return moments
