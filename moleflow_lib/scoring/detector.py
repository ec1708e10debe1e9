"""The learned detector: patch features of any product in, anomaly scores and the chosen task out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.model.position import PositionalEmbeddingGenerator
from moleflow_lib.routing.router import PrototypeRouter
from moleflow_lib.runtime import resolve_device
from moleflow_lib.scoring.aggregation import image_scores
from moleflow_lib.scoring.memory_bank import TaskMemory, probed
from moleflow_lib.scoring.prototype_distance import PrototypeDistance

__all__ = ["ContinualDetector"]


class ContinualDetector:
    """Positional encoding, the flow with its tasks' parts and stored patches, and the router, on one device.

    Args:
        dim: feature width D.
        config: the experiment.
    """

    def __init__(self, dim: int, config: ExperimentConfig) -> None:
        self.dim, self.config, self.device = dim, config, resolve_device(config.run.device)
        self.position = PositionalEmbeddingGenerator(dim, config.flow.use_position, config.flow.position_scale)
        self.flow = MoLESpatialAwareNF(dim, config.flow, config.train.seed).to(self.device)
        self.router = PrototypeRouter(config.router.router_covariance, config.router.router_ridge)
        self.memories: list[TaskMemory] = []  # one a task, if the configuration scales its scores
        self.prototype_distances: list[PrototypeDistance] = []  # one a task, if `prototype_weight` asks for it

    def route(self, image_means: torch.Tensor, known: int | None = None) -> torch.Tensor:
        """The task each image seems to belong to.

        Args:
            image_means: (N, D) mean patch features.
            known: how many tasks are known yet; all if None.

        Returns:
            (N,) int64.
        """
        return self.router.route(image_means, known)

    @torch.inference_mode()
    def patch_scores(self, patches: torch.Tensor, tasks: torch.Tensor | int, batch_size: int = 64) -> torch.Tensor:
        """Anomaly score of each patch, every image under its own task's parts.

        Args:
            patches: (N, H, W, D) features of any float type.
            tasks: (N,) task of each image, or one for all.
            batch_size: images a forward pass.

        Returns:
            (N, H, W) float32 on the CPU, higher = more anomalous: ½‖z‖² − log-det in nats, or, where
            the configuration scales scores or stores patches, what `TaskMemory.blend` makes of it.

        Raises:
            ConfigError: the features are of another width than the flow was made for.
        """
        if patches.shape[-1] != self.dim:
            raise ConfigError(
                f"the flow was trained on {self.dim}-d features, these are {patches.shape[-1]}-d; "
                "extract them with the backbone the flow was trained on (notebook 01)"
            )
        tasks = torch.as_tensor(tasks).expand(len(patches))
        scores = torch.empty(patches.shape[:-1])
        for task in tasks.unique().tolist():
            self.flow.set_active_task(task, merge=True)
            for index in (tasks == task).nonzero().flatten().split(batch_size):
                scores[index] = self._scores(patches[index].to(self.device).float(), task).cpu()
        return scores

    @torch.inference_mode()
    def training_scores(self, patches: torch.Tensor, images: Sequence[int], task: int) -> torch.Tensor:
        """`patch_scores` (P, H, W) of training images, each without the patches stored from itself.

        Args:
            patches: (N, H, W, D) features of all training images of the task.
            images: which of them are scored, at most a few dozen.
            task: the task.
        """
        self.flow.set_active_task(task, merge=True)
        x = patches[list(images)].to(self.device).float()
        nll = self._nll(x)
        return (self.memories[task].blend_training(nll, x, images, self.config.score.memory_weight) if self.memories else nll).cpu()

    def training_scores_of_patches(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """Image scores (P,) made of patches alone, of the training images (N, H, W, D) that `probed` names."""
        return self._of_patches(self.training_scores(patches, probed(len(patches)), task))

    def training_image_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """`image_scores` (P,) of the training images (N, H, W, D) that `probed` names, without what they left behind.

        An image's own stored patches are left out, and its distance is to a prototype made of others; the flow was
        trained on it all the same.
        """
        of_patches = self.training_scores_of_patches(patches, task)
        if not self.config.score.prototype_weight:
            return of_patches
        distance = self.prototype_distances[task]
        return distance.blend(of_patches, distance.held_out[probed(len(patches))], self.config.score.prototype_weight)

    def image_scores(self, patch_scores: torch.Tensor, image_means: torch.Tensor, task: int) -> torch.Tensor:
        """One anomaly score an image.

        Args:
            patch_scores: (N, H, W), from `patch_scores`.
            image_means: (N, D) mean patch features of the same images.
            task: the task whose parts scored them.

        Returns:
            (N,), higher = more anomalous; with `prototype_weight` in standard deviations of training images.
        """
        of_patches = self._of_patches(patch_scores)
        if not self.config.score.prototype_weight:
            return of_patches
        distance = self.prototype_distances[task]
        return distance.blend(of_patches, distance.distances(image_means), self.config.score.prototype_weight)

    def memory_values(self) -> int:
        """Values of stored patches that a task keeps, the mean over tasks; float16."""
        return sum(memory.patches.numel() for memory in self.memories) // len(self.memories) if self.memories else 0

    def value_counts(self) -> dict[str, int]:
        """What is kept: `MoLESpatialAwareNF.parameter_counts`, and `stored_patches`, which `per_task` then includes."""
        counts = self.flow.parameter_counts()
        stored = self.memory_values()
        return {**counts, "stored_patches": stored, "per_task": counts["per_task"] + stored}

    @torch.inference_mode()
    def latent(self, patches: torch.Tensor, task: int) -> tuple[torch.Tensor, torch.Tensor]:
        """z (N, H, W, D) and log-det (N, H, W), nats, of images under one task's parts, on the CPU."""
        self.flow.set_active_task(task, merge=True)
        z, log_det = self.flow(self.position(patches.to(self.device).float()))
        return z.cpu(), log_det.cpu()

    def _of_patches(self, patch_scores: torch.Tensor) -> torch.Tensor:
        return image_scores(patch_scores, self.config.score.score_mode, self.config.score.top_k)

    def _scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        nll = self._nll(patches)
        return self.memories[task].blend(nll, patches, self.config.score.memory_weight) if task < len(self.memories) else nll

    def _nll(self, patches: torch.Tensor) -> torch.Tensor:
        z, log_det = self.flow(self.position(patches))
        return patch_nll(z, self.config.score.log_det_weight * log_det)
