"""A few stored patches of a task, and the scale on which their distance and the flow's score can be added.

The flow's likelihood and the distance to the nearest stored patches err in different places. Each is
put in standard deviations of the task's own training patches, so that the two can be blended. No
test image takes part. Without stored patches the scale alone is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, projected

__all__ = ["TaskMemory", "probed", "remember"]

_PROBED = 64  # training images that set the scale


class TaskMemory:
    """Stored patches with the training mean and standard deviation of both scores.

    Args:
        patches: (K, D) float16, the stored patches; K may be 0, the score is then the flow's alone.
        scale: (2, 2) float32, rows: the flow's score (nats), distance; columns: mean, standard deviation.
        owner: (K,) which training image each stored patch comes from; what is measured on training images leaves an
            image's own patches out. Not given: none of them.
        compress: put scores y above the training mean through log(1 + y), so that in a smoothed map one extreme
            patch does not drown its neighbours; the order of patches stays.
        neighbours: over how many nearest stored patches the distance is a mean. A coreset is picked for being far
            from everything, so a single near one may be an oddity; several are better witnesses.

    >>> memory = TaskMemory(torch.zeros(1, 2).half(), torch.tensor([[10.0, 2.0], [0.0, 1.0]]))
    >>> memory.blend(torch.tensor([[[12.0]]]), torch.tensor([[[[3.0, 4.0]]]]), weight=0.5)
    tensor([[[3.]]])
    """

    def __init__(
        self, patches: torch.Tensor, scale: torch.Tensor, neighbours: int = 1, owner: torch.Tensor | None = None,
        compress: bool = False,
    ) -> None:
        self.patches, self.scale, self.neighbours, self.compress = patches, scale, neighbours, compress
        self.owner = torch.full((len(patches),), -1, device=patches.device) if owner is None else owner

    def blend(self, nll: torch.Tensor, patches: torch.Tensor, weight: float) -> torch.Tensor:
        """The flow's score and the distance to the stored patches as one score.

        Args:
            nll: (B, H, W) the flow's score, nats.
            patches: (B, H, W, D) the features it was computed from.
            weight: of the distance, in [0, 1]; the flow's score has the rest.

        Returns:
            (B, H, W), in standard deviations of training patches, or their logarithm; higher = more anomalous.
        """
        return self._blend(nll, patches, weight, self.patches)

    def blend_training(self, nll: torch.Tensor, patches: torch.Tensor, images: Sequence[int], weight: float) -> torch.Tensor:
        """`blend` of training images, each without the patches stored from itself.

        Args:
            nll: (P, H, W) the flow's score, nats.
            patches: (P, H, W, D) the features it was computed from.
            images: which training image each is.
            weight: see `blend`.
        """
        others = (self.patches[self.owner != image] for image in images)
        rows = zip(nll, patches, others, strict=True)
        return torch.stack([self._blend(own[None], x[None], weight, stored)[0] for own, x, stored in rows])

    def _blend(self, nll: torch.Tensor, patches: torch.Tensor, weight: float, stored: torch.Tensor) -> torch.Tensor:
        (flow_mean, flow_std), (mean, std) = self.scale
        score = (nll - flow_mean) / flow_std
        if len(stored):
            distance = nearest_distances(patches.flatten(0, -2), stored.float(), self.neighbours).reshape(nll.shape)
            score = torch.lerp(score, (distance - mean) / std, weight)
        return torch.where(score > 0, score.clamp_min(0).log1p(), score) if self.compress else score

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"patches": self.patches, "scale": self.scale, "owner": self.owner}


def remember(
    patches: torch.Tensor, nll: torch.Tensor, size: int, seed: int, name: str, neighbours: int = 1
) -> TaskMemory:
    """Choose a task's stored patches and measure the scale of both scores on its training images.

    A stored patch would be at distance zero from itself; so each image that sets the scale is measured
    against the patches stored from all other images.

    Args:
        patches: (N, H, W, D) features of the task's training images, N > 1.
        nll: (P, H, W) the flow's scores of `probed(N)`, nats.
        size: K, how many patches to store; all if there are fewer; 0 measures the flow's scale alone.
        seed: decides the first one.
        name: what the progress bar says.
        neighbours: see `TaskMemory`.

    Raises:
        ConfigError: all stored patches are of one image, so that nothing sets the scale.
    """
    if not size:
        return TaskMemory(nll.new_empty(0, patches.shape[-1]).half(), torch.stack([_spread(nll, 1e-3)] * 2))
    flat, per_image = patches.flatten(0, -2), patches[0].numel() // patches.shape[-1]
    picked = greedy_coreset(projected(flat, seed, nll.device), min(size, len(flat)), seed, name).cpu()
    stored, owner = flat[picked].to(nll.device), (picked // per_image).to(nll.device)
    measured = [image for image in probed(len(patches)) if (owner != image).any()]
    if not measured:
        raise ConfigError(f"{name}: every stored patch is of one image, so none can set the scale; raise memory_size ({size})")
    distances = torch.stack([_from_others(patches[image].to(nll.device), stored[owner != image], neighbours) for image in measured])
    floor = 1e-3 * float(stored.float().norm(dim=1).mean())  # training images that are copies of one another differ by nothing
    return TaskMemory(stored.half(), torch.stack([_spread(nll, 1e-3), _spread(distances, floor)]), neighbours, owner)


def probed(images: int) -> list[int]:
    """Which of a task's training images set the scale: at most 64, evenly spaced."""
    count = min(images, _PROBED)
    return [index * images // count for index in range(count)]


def _from_others(image: torch.Tensor, others: torch.Tensor, neighbours: int) -> torch.Tensor:
    return nearest_distances(image.float().flatten(0, -2), others.float(), neighbours).view(image.shape[:-1])


def _spread(values: torch.Tensor, floor: float) -> torch.Tensor:
    return torch.stack([values.mean(), values.std().clamp_min(floor)])
