"""The rule from a task's parts to scores: the only place that knows how they are joined.

Patch: ½‖z‖² − log-det in nats. With several score parts, or compressed, each part is put in standard
deviations of training patches and the parts have equal shares: the flow's likelihood, the energy of the full
whitening (one Gaussian), how much farther than usual the nearest stored patches lie. They err in different
places. Image: the highest patches, of the same parts or of `image_parts`, joined with the image's distance to
the task's prototype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.config import ScoreOptions
from moleflow_lib.errors import TrainingError
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.scoring.aggregation import image_scores
from moleflow_lib.scoring.prototype_distance import prototype_distances
from moleflow_lib.scoring.task_parts import TaskParts

__all__ = ["SCORE_VERSION", "TaskScorer", "joined_patch_scores"]

SCORE_VERSION = 4  # raise it when the same parts give other scores; what was measured with them depends on it
_IMAGES = 64  # a forward pass
_LIFTED = 10.0  # standard deviations; of nine products' own photos no median was above 6.3


def joined_patch_scores(
    parts: torch.Tensor, scale: torch.Tensor, median_share: float = 0.0, compress: bool = False
) -> torch.Tensor:
    """Several scores of the same patches as one.

    Args:
        parts: (P, N, H, W), each in its own unit.
        scale: (P, 2) mean and standard deviation of each over training patches.
        median_share: share of an image's own median that is taken off: what lifts the whole image, such as
            light, says little about where a defect is. Of a median above ten standard deviations, as of
            noise or another product, the share of ten: no patch of such an image should look usual.
        compress: put scores y above zero through log(1 + y), so that in a smoothed map one extreme patch does
            not drown its neighbours; the order of patches stays.

    Returns:
        (N, H, W) in standard deviations of training patches, or their logarithm; higher = more anomalous.

    >>> parts = torch.tensor([[[[12.0]]], [[[5.0]]]])
    >>> joined_patch_scores(parts, torch.tensor([[10.0, 2.0], [0.0, 1.0]]))
    tensor([[[3.]]])
    """
    mean, std = (column.view(-1, 1, 1, 1) for column in scale.T)
    score = ((parts - mean) / std).mean(dim=0)
    if median_share:
        median = score.flatten(1).median(dim=1).values.clamp_max(_LIFTED)
        score = score - median_share * median[:, None, None]
    return torch.where(score > 0, score.clamp_min(0).log1p(), score) if compress else score


class TaskScorer:
    """Scores images under one task's parts.

    Args:
        flow: the shared flow.
        task: all that the task keeps, or so much of it as is known yet.
        options: how scores are made.
    """

    def __init__(self, flow: MoLESpatialAwareNF, task: TaskParts, options: ScoreOptions) -> None:
        self.flow = flow
        self.task = task
        self.options = options

    def patch_scores(self, patches: torch.Tensor) -> torch.Tensor:
        """(N, H, W, D) of any float type → (N, H, W) float32 on the CPU; higher = more anomalous."""
        return self._scores(patches)[0]

    def scores(self, patches: torch.Tensor, image_means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores and one score an image.

        Args:
            patches: (N, H, W, D) of any float type.
            image_means: (N, D) mean patch features of the same images.

        Returns:
            (N, H, W) and (N,) float32 on the CPU; higher = more anomalous. With `prototype_weight` image
            scores are in standard deviations of training images.
        """
        of_patches, of_images = self._scores(patches)
        if self.task.image_scale is None:
            return of_patches, of_images
        distances = prototype_distances(self.task.prototype, image_means)
        return of_patches, self.task.image_scale.blend(of_images, distances, self.options.prototype_weight)

    @torch.inference_mode()
    def training_parts(self, patches: torch.Tensor, images: Sequence[int]) -> torch.Tensor:
        """Each score part (P, N, H, W) of some training images, none of which meets the patches stored from
        itself.

        Args:
            patches: (N, H, W, D) features of all training images of the task.
            images: which of them, at most a few dozen.
        """
        self.flow.activate(self.task.flow, merge=True)
        x = patches[list(images)].to(self.flow.device).float()

        def part(name: str) -> torch.Tensor:
            if name != "memory":
                return self._part(name, x)
            own = zip(x.split(1), images, strict=True)
            return torch.cat([self._part(name, one, without=image) for one, image in own])

        return torch.stack([part(name) for name in self.options.used_parts])

    def training_scores(
        self, patches: torch.Tensor, images: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores and image scores of training images, without what they left behind.

        An image's own stored patches are left out, and its distance is to a prototype made of others; the
        flow and the whitening saw it all the same.

        Args:
            patches: (N, H, W, D) features of all training images of the task.
            images: which of them are scored.

        Returns:
            (P, H, W) and (P,) float32 on the CPU.
        """
        chunks = [
            self.joined(self.training_parts(patches, images[start : start + _IMAGES]))
            for start in range(0, len(images), _IMAGES)
        ]
        of_patches, of_images = (
            torch.cat([scores.cpu() for scores in column]) for column in zip(*chunks, strict=True)
        )
        if self.task.image_scale is None:
            return of_patches, of_images
        held_out = self.task.image_scale.held_out[list(images)]
        return of_patches, self.task.image_scale.blend(of_images, held_out, self.options.prototype_weight)

    def of_patches(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One forward pass of the task that is active in the flow.

        Args:
            patches: (N, H, W, D) of any float type.

        Returns:
            Patch scores (N, H, W), and image scores (N,) made of patches alone, where the flow is.
        """
        return self.joined(self._parts(patches))

    @torch.inference_mode()
    def _scores(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores (N, H, W), and image scores (N,) made of patches alone, on the CPU."""
        self.flow.activate(self.task.flow, merge=True)
        chunks = [self.of_patches(chunk) for chunk in patches.split(_IMAGES)]
        of_patches, of_images = (
            torch.cat([scores.cpu() for scores in column]) for column in zip(*chunks, strict=True)
        )
        return of_patches, of_images

    def _parts(self, patches: torch.Tensor) -> torch.Tensor:
        """Each score part (P, N, H, W) of patches (N, H, W, D), the task being active."""
        x = patches.to(self.flow.device).float()
        return torch.stack([self._part(name, x) for name in self.options.used_parts])

    def _part(self, name: str, x: torch.Tensor, without: int | None = None) -> torch.Tensor:
        if name == "flow":
            z, log_det = self.flow(x)
            return patch_nll(z, self.options.log_det_weight * log_det)
        if name == "gaussian" and self.task.flow.whitening is not None:
            return self.task.flow.whitening.energy(x)
        if name == "memory" and self.task.bank is not None:
            return self.task.bank.excess(x, without)
        raise TrainingError(f"{self.task.name} keeps nothing for the score part {name!r}; learn it again")

    def joined(self, parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores (N, H, W) and image scores (N,) of all parts (P, N, H, W)."""
        options = self.options
        scale = self.task.patch_scale
        if scale is None:
            return parts[0], image_scores(parts[0], options.top_k)

        def joined(names: Sequence[str]) -> torch.Tensor:
            rows = [options.used_parts.index(name) for name in names]
            own, scales = (torch.stack([values[row] for row in rows]) for values in (parts, scale))
            return joined_patch_scores(own, scales, options.median_share, options.compress_scores)

        of_patches = joined(options.score_parts)
        of_image = joined(options.image_parts) if options.image_parts else of_patches
        return of_patches, image_scores(of_image, options.top_k)
