"""An image as a whole: how far its mean patch feature lies from the task's prototype, as a part of its score.

Patch scores ask whether any single patch is strange. A defect that shifts many patches a little stays below
each one's threshold and still moves the mean. The router keeps mean and covariance of every task anyway, so
the question adds four values to what is kept. Both parts are put in standard deviations of the task's own
training images; no test image takes part, and a later task changes nothing.
"""

from __future__ import annotations

import torch

from moleflow_lib.routing.held_out import held_out_distances
from moleflow_lib.routing.router import TaskPrototype

__all__ = ["FEWEST_IMAGES", "ImageScale", "prototype_distances"]

FEWEST_IMAGES = (
    5  # training images; with fewer a held-out one meets a prototype of two or three, which says nothing
)
_KIND = "ledoit_wolf"  # a task's own covariance, shrunk: defined for fewer images than channels


def prototype_distances(prototype: TaskPrototype, image_means: torch.Tensor) -> torch.Tensor:
    """Mahalanobis distance (N,) float64 of images, by their mean patch features (N, D), Ledoit-Wolf
    covariance.
    """
    return prototype.distances(image_means, _KIND)


class ImageScale:
    """Blends image scores made of patches with the distance to the task's prototype.

    Args:
        scale: (2, 2) float64, rows: the image score made of patches, distance; columns: mean, standard
            deviation over training images.
        held_out: (N,) float64, distance of each training image to a prototype made without it.
    """

    def __init__(self, scale: torch.Tensor, held_out: torch.Tensor) -> None:
        self.scale = scale
        self.held_out = held_out

    @classmethod
    def measured(cls, image_means: torch.Tensor, of_patches: torch.Tensor, seed: int) -> ImageScale:
        """Take the scale from a task's training images.

        The distance of an image to a prototype that saw it is too small; each is measured with one made of
        others.

        Args:
            image_means: (N, D) mean patch features of its training images, N of at least `FEWEST_IMAGES`.
            of_patches: (P,) image scores made of patches, of some of these images.
            seed: of the parts that are held out in turn.
        """
        held_out = held_out_distances([image_means], kinds=(_KIND,), seed=seed).own(_KIND)[0]
        spreads = [_spread(of_patches.double(), 1e-3), _spread(held_out, 1e-3 * float(held_out.mean()))]
        return cls(torch.stack(spreads), held_out)

    def blend(self, of_patches: torch.Tensor, distances: torch.Tensor, weight: float) -> torch.Tensor:
        """Both parts as one score.

        Args:
            of_patches: (N,) image scores made of patches.
            distances: (N,) of the same images, from `prototype_distances`, or of `held_out`.
            weight: of the distance, in [0, 1]; the patches have the rest.

        Returns:
            (N,) float32, in standard deviations of training images; higher = more anomalous.
        """
        standard = (torch.stack([of_patches.double(), distances]) - self.scale[:, :1]) / self.scale[:, 1:]
        return torch.lerp(standard[0], standard[1], weight).float()

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"scale": self.scale, "held_out": self.held_out}


def _spread(values: torch.Tensor, floor: float) -> torch.Tensor:
    return torch.stack(
        [values.mean(), values.std().clamp_min(max(floor, 1e-6))]
    )  # copies of one image differ by nothing
