"""Fewer channels by an orthonormal projection that the first task settles for all.

Concatenated blocks are several times wider than the flow should be. The projection is part of the shared base:
learned (principal components of the first task's patches) or drawn, it never moves afterwards, and everything behind
it, router, stored patches and flow, sees reduced features alone.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from moleflow_lib.artifacts import tensors_sha256
from moleflow_lib.config import digest
from moleflow_lib.feature_store import Features
from moleflow_lib.moments import RunningMoments

__all__ = ["FeatureReduction", "reduced_width"]


def reduced_width(width: int, share: float) -> int:
    """How many of D_in channels are left: the share, to the nearest multiple of 4 that the positional encoding needs.

    >>> reduced_width(768, 0.25), reduced_width(10, 1.0)
    (192, 10)
    """
    return width if share == 1 else max(4, 4 * round(share * width / 4))


class FeatureReduction:
    """(x − mean)·basis with orthonormal columns.

    Args:
        mean: (D_in,) float32.
        basis: (D_in, D) float32.

    >>> FeatureReduction(torch.zeros(2), torch.eye(2)[:, :1]).reduced(torch.tensor([[3.0, 4.0]]))
    tensor([[3.]], dtype=torch.float16)
    """

    def __init__(self, mean: torch.Tensor, basis: torch.Tensor) -> None:
        self.mean, self.basis = mean, basis

    @classmethod
    def fitted(cls, patches: torch.Tensor, dim: int, kind: str = "pca", seed: int = 0) -> FeatureReduction:
        """The projection for a first task.

        Args:
            patches: (N, H, W, D_in) features of its training images.
            dim: D ≤ D_in.
            kind: `pca` its principal components; `random` an orthonormal basis drawn from the seed.
            seed: of the drawn basis.
        """
        width, moments = patches.shape[-1], RunningMoments.of_patches(patches)
        if kind == "pca":
            basis = torch.linalg.eigh(moments.covariance()).eigenvectors.flip(1)[:, :dim]
        else:
            basis = torch.linalg.qr(torch.randn(width, dim, generator=torch.Generator().manual_seed(seed)).double()).Q
        return cls(moments.mean.float(), basis.float().contiguous())

    def reduced(self, patches: torch.Tensor) -> torch.Tensor:
        """(..., D_in) of any float type → (..., D) float16."""
        return torch.cat([((chunk.float() - self.mean) @ self.basis).half() for chunk in patches.split(64)])

    def features(self, features: Features) -> Features:
        """Stored features with reduced patches, in memory, under a key of their own."""
        return replace(features, patches=self.reduced(features.patches), key=digest(features.key, tensors_sha256(self.state())))

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"mean": self.mean, "basis": self.basis}
