"""PaDiM (Defard et al. 2021): one Gaussian a position of the patch grid, fitted to a task's normal images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.features.store import Features
from moleflow_lib.runtime import derive_seed, work_seconds
from moleflow_lib.storage.artifacts import kept_artifact
from moleflow_lib.studies.baselines.base import Footprint, PatchBaseline

__all__ = ["PositionGaussians", "fit_gaussians"]

_VERSION = 1  # raise it when the same inputs give other Gaussians
_CHANNELS = 100  # drawn at random from D, the paper's number for ResNet-18
_RIDGE = 0.01  # the paper's


class PositionGaussians(PatchBaseline):
    """One Gaussian a task and position; a patch's score is its Mahalanobis distance.

    Args:
        dim: feature width D.
        config: `seed`, which draws the channels, the same for all tasks.
        identity: what decides the features.
        folder: where Gaussians are kept.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        super().__init__(dim, config, identity, folder)
        draw = torch.randperm(
            dim, generator=torch.Generator().manual_seed(derive_seed(config.train.seed, "padim"))
        )
        self.channels = draw[:_CHANNELS].sort().values
        self.gaussians: list[
            dict[str, torch.Tensor]
        ] = []  # mean (P, d) and packed factor (P, d(d+1)/2), float32

    def learn(self, name: str, train: Features) -> float:
        """Fit the next task's Gaussians, or read them back; the seconds it took."""
        made_from = [_VERSION, self.identity, train.key, self.channels.tolist()]
        tensors, manifest = kept_artifact(self.folder / "padim", name, made_from, lambda: self._fit(train))
        self.gaussians.append({part: tensor.to(self.device) for part, tensor in tensors.items()})
        return manifest["seconds"]

    @torch.inference_mode()
    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """Mahalanobis distance (N, H, W) of each patch (N, H, W, D) from its position's Gaussian."""
        mean = self.gaussians[task]["mean"]
        packed = self.gaussians[task]["factor"]
        factor = packed.new_zeros(len(mean), mean.shape[1], mean.shape[1])
        rows, columns = _triangle(mean.shape[1])
        factor[:, rows, columns] = packed
        rows = []
        for chunk in patches.split(64):
            gap = chunk[..., self.channels].to(self.device).float().flatten(1, 2) - mean  # (n, P, d)
            white = torch.linalg.solve_triangular(factor, gap.permute(1, 2, 0), upper=False)
            rows.append(white.norm(dim=1).T.cpu())
        return torch.cat(rows).reshape(patches.shape[:-1])

    def footprint(self) -> Footprint:
        """Means and triangular factors, four bytes a value."""
        values = sum(tensor.numel() for tensor in self.gaussians[0].values())
        return Footprint(per_task=values, bytes_per_task=4 * values, shared=0)

    def _fit(self, train: Features) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        start = work_seconds(self.device)
        mean, factor = fit_gaussians(train.patches[..., self.channels].flatten(1, 2))
        rows, columns = _triangle(mean.shape[1])
        tensors = {"mean": mean, "factor": factor[:, rows, columns]}
        return tensors, {"kind": "padim", "seconds": work_seconds(self.device) - start}


def fit_gaussians(patches: torch.Tensor, ridge: float = _RIDGE) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of each position, the covariance as the Cholesky factor of Σ + ridge·I.

    Args:
        patches: (N, P, d) of any float type, N ≥ 2.
        ridge: what makes Σ invertible where N ≤ d.

    Returns:
        Means (P, d) and lower triangular factors (P, d, d), float32, computed in float64.

    >>> mean, factor = fit_gaussians(torch.tensor([[[1.0]], [[3.0]]]), ridge=2.0)
    >>> mean.item(), factor.item()
    (2.0, 2.0)
    """
    eye = torch.eye(patches.shape[-1], dtype=torch.float64)
    means, factors = [], []
    for part in patches.split(16, dim=1):  # a few positions at a time bound the memory
        values = part.double()
        mean = values.mean(dim=0)
        centred = (values - mean).permute(1, 2, 0)
        covariance = centred @ centred.transpose(1, 2) / (len(values) - 1)
        means.append(mean.float())
        factors.append(torch.linalg.cholesky(covariance + ridge * eye).float())
    return torch.cat(means), torch.cat(factors)


def _triangle(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column indices of a lower triangle, its diagonal included."""
    rows, columns = torch.tril_indices(width, width)
    return rows, columns
