"""One full Gaussian a task over all its patches (Rippel et al. 2021, on patches): the bar for what a flow
adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.features.store import Features
from moleflow_lib.model.whitening import WhiteningAdapter
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.runtime import work_seconds
from moleflow_lib.storage.artifacts import kept_artifact
from moleflow_lib.studies.baselines.base import Footprint, PatchBaseline

__all__ = ["FullGaussians"]

_VERSION = 1  # raise it when the same inputs give another Gaussian


class FullGaussians(PatchBaseline):
    """Mean and full covariance of a task's training patches, in closed form; a patch scores ½‖W(x − μ)‖².

    The same whitening as `whitening=full`, without anything trained behind it and without position.

    Args:
        dim: feature width D.
        config: of the run.
        identity: what decides the features.
        folder: where Gaussians are kept.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        super().__init__(dim, config, identity, folder)
        self.gaussians: list[WhiteningAdapter] = []

    def learn(self, name: str, train: Features) -> float:
        """Fit the next task's Gaussian, or read it back; the seconds it took."""
        made_from = [_VERSION, self.identity, train.key]
        tensors, manifest = kept_artifact(self.folder / "gaussian", name, made_from, lambda: self._fit(train))
        gaussian = WhiteningAdapter(self.dim, first=True, kind="full")
        gaussian.load_state_dict({**gaussian.state_dict(), **tensors})
        self.gaussians.append(gaussian.to(self.device).requires_grad_(False))
        return manifest["seconds"]

    @torch.inference_mode()
    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """Energy (N, H, W), nats, of each patch (N, H, W, D) under a task's Gaussian."""
        gaussian = self.gaussians[task]
        return torch.cat(
            [gaussian.energy(chunk.to(self.device).float()).cpu() for chunk in patches.split(64)]
        )

    def footprint(self) -> Footprint:
        """Mean and half a whitening matrix, four bytes a value."""
        values = self.dim + self.dim * (self.dim + 1) // 2
        return Footprint(per_task=values, bytes_per_task=4 * values, shared=0)

    def _fit(self, train: Features) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        start = work_seconds(self.device)
        moments = RunningMoments.of_patches(train.patches)
        gaussian = WhiteningAdapter(self.dim, first=True, kind="full")
        gaussian.fit(moments.mean, moments.covariance())
        kept = {name: tensor for name, tensor in gaussian.named_buffers()}
        return kept, {"kind": "gaussian", "seconds": work_seconds(self.device) - start}
