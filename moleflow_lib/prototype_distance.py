"""An image as a whole: how far its mean patch feature lies from the task's prototype, as a part of its score.

Patch scores ask whether any single patch is strange. A defect that shifts many patches a little stays below each
one's threshold and still moves the mean. The router keeps mean and covariance of every task anyway, so the question
costs nothing to keep. Both parts are put in standard deviations of the task's own training images; no test image
takes part, and a later task changes nothing.
"""

from __future__ import annotations

import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.held_out import held_out_distances
from moleflow_lib.router import PrototypeRouter, TaskPrototype

__all__ = ["PrototypeDistance"]

_KIND = "ledoit_wolf"  # a task's own covariance, shrunk: defined for fewer images than channels


class PrototypeDistance:
    """Blends image scores with the Mahalanobis distance to one task's prototype (Ledoit-Wolf covariance).

    Args:
        prototype: the task's.
        scale: (2, 2) float64, rows: the image score made of patches, distance; columns: mean, standard deviation
            over training images.
    """

    def __init__(self, prototype: TaskPrototype, scale: torch.Tensor) -> None:
        self.scale, self._one = scale, PrototypeRouter(_KIND)
        self._one.add(prototype)

    @classmethod
    def measured(
        cls, prototype: TaskPrototype, image_means: torch.Tensor, of_patches: torch.Tensor, seed: int, name: str
    ) -> PrototypeDistance:
        """Take the scale from a task's training images.

        The distance of an image to a prototype that saw it is too small; each is measured with one made of the others.

        Args:
            prototype: the task's.
            image_means: (N, D) mean patch features of its training images.
            of_patches: (P,) image scores made of patches, of some of these images.
            seed: of the parts that are held out in turn.
            name: of the task, for the error.

        Raises:
            ConfigError: fewer than 3 training images, so that none can be held out.
        """
        if len(image_means) < 3:
            raise ConfigError(f"{name}: prototype_weight needs at least 3 training images, found {len(image_means)}; set it to 0")
        distances = held_out_distances([image_means], 1e-5, kinds=(_KIND,), seed=seed).own(_KIND)[0]
        rows = [torch.stack([values.double().mean(), values.double().std().clamp_min(1e-6)]) for values in (of_patches, distances)]
        return cls(prototype, torch.stack(rows))

    def blend(self, of_patches: torch.Tensor, image_means: torch.Tensor, weight: float) -> torch.Tensor:
        """Both parts as one score.

        Args:
            of_patches: (N,) image scores made of patches.
            image_means: (N, D) mean patch features of the same images.
            weight: of the distance, in [0, 1]; the patches have the rest.

        Returns:
            (N,) float32, in standard deviations of training images; higher = more anomalous.
        """
        parts = torch.stack([of_patches.double(), self._one.distances(image_means)[:, 0]])
        standard = (parts - self.scale[:, :1]) / self.scale[:, 1:]
        return torch.lerp(standard[0], standard[1], weight).float()
