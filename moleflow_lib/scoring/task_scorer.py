"""The rule from a task's parts to scores: the only place that knows how they are joined.

Patch: ½‖z‖² − log-det in nats. Where the task stores patches, or scores are compressed, it is put in standard deviations
of training patches and joined with the distance to the stored patches, which errs in other places. Image: the highest
patches, joined with the image's distance to the task's prototype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.config import ScoreOptions
from moleflow_lib.model.flow import FlowParts, MoLESpatialAwareNF
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.scoring.aggregation import image_scores
from moleflow_lib.scoring.memory_bank import MemoryBank, calibration_subset
from moleflow_lib.scoring.prototype_distance import prototype_distances
from moleflow_lib.scoring.task_parts import TaskParts

__all__ = ["TaskScorer", "joined_patch_scores", "patch_likelihoods"]

_IMAGES = 64  # a forward pass


@torch.inference_mode()
def patch_likelihoods(
    flow: MoLESpatialAwareNF, parts: FlowParts, patches: torch.Tensor, log_det_weight: float = 1.0
) -> torch.Tensor:
    """Negative log-likelihood of each patch up to a constant, nats; the flow's own score.

    Args:
        flow: the shared flow.
        parts: of the task.
        patches: (N, H, W, D) features of any float type, a few dozen images.
        log_det_weight: weight of the log-determinant; 1 is the likelihood.

    Returns:
        (N, H, W) float32 on the flow's device.
    """
    flow.activate(parts, merge=True)
    return _active_nll(flow, patches.to(flow.device).float(), log_det_weight)


def joined_patch_scores(
    nll: torch.Tensor, distances: torch.Tensor | None, scale: torch.Tensor, weight: float, compress: bool
) -> torch.Tensor:
    """The flow's score and the distance to stored patches as one score.

    Args:
        nll: (...) the flow's score, nats.
        distances: (...) to stored patches; None: there are none.
        scale: see `TaskParts.patch_scale`.
        weight: of the distance, in [0, 1]; the flow's score has the rest.
        compress: put scores y above the training mean through log(1 + y), so that in a smoothed map one extreme patch
            does not drown its neighbours; the order of patches stays.

    Returns:
        (...) in standard deviations of training patches, or their logarithm; higher = more anomalous.

    >>> scale = torch.tensor([[10.0, 2.0], [0.0, 1.0]])
    >>> joined_patch_scores(torch.tensor([12.0]), torch.tensor([5.0]), scale, weight=0.5, compress=False)
    tensor([3.])
    """
    (flow_mean, flow_std), (mean, std) = scale
    score = (nll - flow_mean) / flow_std
    if distances is not None:
        score = torch.lerp(score, (distances - mean) / std, weight)
    return torch.where(score > 0, score.clamp_min(0).log1p(), score) if compress else score


class TaskScorer:
    """Scores images under one task's parts.

    Args:
        flow: the shared flow.
        task: all that the task keeps.
        options: how scores are made.
    """

    def __init__(self, flow: MoLESpatialAwareNF, task: TaskParts, options: ScoreOptions) -> None:
        self.flow = flow
        self.task = task
        self.options = options

    def patch_scores(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, H, W, D) of any float type → (N, H, W) float32 on the CPU; higher = more anomalous."""
        self.flow.activate(self.task.flow, merge=True)
        return torch.cat([self._patch_scores(chunk.to(self.flow.device).float()) for chunk in patches.split(_IMAGES)])

    def image_scores(self, patch_scores: torch.Tensor, image_means: torch.Tensor) -> torch.Tensor:
        """One score an image (N,) from its patch scores (N, H, W) and its mean patch feature (N, D)."""
        of_patches = self._of_patches(patch_scores)
        if self.task.image_scale is None:
            return of_patches
        distances = prototype_distances(self.task.prototype, image_means)
        return self.task.image_scale.blend(of_patches, distances, self.options.prototype_weight)

    def training_patch_scores(self, patches: torch.Tensor, images: Sequence[int]) -> torch.Tensor:
        """`patch_scores` (P, H, W) of some training images, each without the patches stored from itself.

        Args:
            patches: (N, H, W, D) features of all training images of the task.
            images: which of them are scored, at most a few dozen.
        """
        with torch.inference_mode():
            x = patches[list(images)].to(self.flow.device).float()
            nll = patch_likelihoods(self.flow, self.task.flow, x, self.options.log_det_weight)
            rows = [self._joined(own[None], one[None], image) for own, one, image in zip(nll, x, images, strict=True)]
        return torch.cat(rows).cpu()

    def training_image_scores(self, patches: torch.Tensor, images: Sequence[int] | None = None) -> torch.Tensor:
        """`image_scores` (P,) of training images, without what they left behind.

        An image's own stored patches are left out, and its distance is to a prototype made of others; the flow was
        trained on it all the same.

        Args:
            patches: (N, H, W, D) features of all training images of the task.
            images: which of them are scored, at most a few dozen; the calibration subset if None.
        """
        images = calibration_subset(len(patches)) if images is None else list(images)
        of_patches = self._of_patches(self.training_patch_scores(patches, images))
        if self.task.image_scale is None:
            return of_patches
        held_out = self.task.image_scale.held_out[images]
        return self.task.image_scale.blend(of_patches, held_out, self.options.prototype_weight)

    def _of_patches(self, patch_scores: torch.Tensor) -> torch.Tensor:
        return image_scores(patch_scores, self.options.score_mode, self.options.top_k)

    @torch.inference_mode()
    def _patch_scores(self, x: torch.Tensor) -> torch.Tensor:
        nll = _active_nll(self.flow, x, self.options.log_det_weight)
        return self._joined(nll, x, None).cpu()

    def _joined(self, nll: torch.Tensor, x: torch.Tensor, without: int | None) -> torch.Tensor:
        if self.task.patch_scale is None:
            return nll
        bank: MemoryBank | None = self.task.bank
        distances = None if bank is None else bank.distances(x, self.options.memory_neighbours, without)
        weight = self.options.memory_weight
        return joined_patch_scores(nll, distances, self.task.patch_scale, weight, self.options.compress_scores)


def _active_nll(flow: MoLESpatialAwareNF, x: torch.Tensor, log_det_weight: float) -> torch.Tensor:
    z, log_det = flow(x)
    return patch_nll(z, log_det_weight * log_det)
