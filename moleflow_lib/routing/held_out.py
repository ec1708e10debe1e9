"""What training images alone say about the router: each is measured by prototypes that never saw it.

A prototype made of n < D images lies suspiciously close to exactly those n. Whatever rests on training
distances (a threshold, a temperature, the choice of the estimate) has to rest on held-out ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, spectra_distances

__all__ = ["HeldOut", "held_out_distances", "held_out_folds"]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Squared distances of training images to prototypes made without them."""

    distances: dict[str, torch.Tensor]  # kind → (N, T) float64
    truth: torch.Tensor  # (N,) task of each image
    image: torch.Tensor  # (N,) which of its task's images each is
    tasks: int  # T

    def accuracy(self, kind: str) -> float | None:
        """Share of the held-out images that are nearest to their own task; None if none could be held out."""
        right = self.distances[kind].argmin(dim=1) == self.truth
        return float(right.double().mean()) if len(right) else None

    def own(self, kind: str) -> list[torch.Tensor]:
        """Distance of each task's held-out images, in their order, to their own prototype, not squared; one
        tensor a task.
        """
        rows = [(self.truth == task).nonzero().flatten() for task in range(self.tasks)]
        return [
            self.distances[kind][own[self.image[own].argsort()], task].sqrt() for task, own in enumerate(rows)
        ]


def held_out_distances(
    train: Sequence[torch.Tensor], kinds: Sequence[str] = COVARIANCES, folds: int = 5, seed: int = 0
) -> HeldOut:
    """Cross-validated distances of the training images of every task to every task.

    In each fold all tasks give up a part of their images and make their prototypes of the rest. A
    task of 2 images has none to spare: it is never held out.

    Args:
        train: image features (n, D) of each task, n of at least 2.
        kinds: covariance estimates.
        folds: parts; tasks with fewer images are held out one by one.
        seed: of the parts.

    >>> far = [torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) + shift for shift in (0.0, 50.0)]
    >>> held_out_distances(far).accuracy("euclidean")
    1.0
    """
    found: dict[str, list[torch.Tensor]] = {kind: [] for kind in kinds}
    truths = []
    for spectra, images, truth in held_out_folds(train, folds, seed):
        truths.append(truth)
        for kind, distances in spectra_distances(spectra, images, kinds).items():
            found[kind].append(distances)
    return HeldOut(
        distances={kind: torch.cat(columns) for kind, columns in found.items()},
        truth=torch.cat(truths),
        tasks=len(train),
        image=torch.cat(
            [
                (part == fold).nonzero().flatten()
                for fold in range(folds)
                for part in _parts(train, folds, seed)
            ]
        ),
    )


def held_out_folds(
    train: Sequence[torch.Tensor], folds: int = 5, seed: int = 0
) -> Iterator[tuple[list[Spectrum], torch.Tensor, torch.Tensor]]:
    """Every task's spectrum without a part of its images, those images (N, D), and their tasks (N,), fold by
    fold.
    """
    parts = _parts(train, folds, seed)
    for fold in range(folds):
        left_out = [x[part == fold] for x, part in zip(train, parts, strict=True)]
        truth = torch.cat([torch.full((len(x),), task) for task, x in enumerate(left_out)])
        yield (
            [Spectrum.of(x[part != fold]) for x, part in zip(train, parts, strict=True)],
            torch.cat(left_out),
            truth,
        )


def _parts(train: Sequence[torch.Tensor], folds: int, seed: int) -> list[torch.Tensor]:
    """The fold (n,) in which each image of each task is held out; −1: never."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randperm(len(x), generator=generator) % folds if len(x) > 2 else torch.full((len(x),), -1)
        for x in train
    ]
