"""What the router sees of every training and test image: one mean patch feature each, and distances between
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.routing.covariances import (
    COVARIANCES,
    Spectrum,
    pooled_factor,
    spectra_distances,
    tied_distances,
)
from moleflow_lib.routing.held_out import HeldOut, held_out_distances
from moleflow_lib.studies.features_and_latents import mean_separation
from moleflow_lib.studies.routing.mean_shrinkage import ShrunkDistances, shrunk_distances

__all__ = ["RouterImages", "router_images", "share"]


@dataclass(frozen=True, kw_only=True)
class RouterImages:
    """Image features of all tasks; the labelled test images only.

    >>> training, test = [torch.zeros(2, 1), torch.ones(2, 1)], [torch.zeros(1, 1)] * 2
    >>> images = RouterImages.of(["a", "b"], training, test, [[0], [-1]])
    >>> len(images.test), images.accuracy(images.distances["euclidean"])
    (1, 1.0)
    """

    names: tuple[str, ...]
    train: tuple[torch.Tensor, ...]  # (n_t, D) float64 each
    test: torch.Tensor  # (M, D) float64
    truth: torch.Tensor  # (M,) task
    labels: torch.Tensor  # (M,) 1 defective, 0 normal
    seed: int

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        train: Sequence[torch.Tensor],
        test: Sequence[torch.Tensor],
        labels: Sequence[Sequence[int]],
        seed: int = 0,
    ) -> RouterImages:
        """From the features and labels of each task; images labelled -1 are left out."""
        label = torch.cat([torch.as_tensor(own) for own in labels])
        truth = torch.cat([torch.full((len(own),), task) for task, own in enumerate(labels)])
        labelled = label >= 0
        return cls(
            names=tuple(names),
            train=tuple(x.double() for x in train),
            test=torch.cat(list(test)).double()[labelled],
            truth=truth[labelled],
            labels=label[labelled],
            seed=seed,
        )

    @cached_property
    def spectra(self) -> tuple[Spectrum, ...]:
        """One a task, of all its training images."""
        return tuple(Spectrum.of(x) for x in self.train)

    @cached_property
    def distances(self) -> dict[str, torch.Tensor]:
        """Kind → (M, T) squared distances of the test images."""
        return spectra_distances(self.spectra, self.test)

    @cached_property
    def moved(self) -> dict[str, ShrunkDistances]:
        """Kind → distances of the test images while the gaps between the tasks shrink."""
        return shrunk_distances(self.spectra, self.test, self.truth)

    @cached_property
    def held_out(self) -> HeldOut:
        """Distances of the training images to prototypes that never saw them."""
        return held_out_distances(self.train, seed=self.seed)

    @cached_property
    def separation(self) -> np.ndarray:
        """(T, T) gaps between the tasks in units of their spread, from training images."""
        return mean_separation([x.numpy() for x in self.train])

    def with_spectrum(self, task: int, spectrum: Spectrum) -> dict[str, torch.Tensor]:
        """`distances`, had one task's prototype been another one."""
        single = [kind for kind in COVARIANCES if kind != "tied"]
        column = spectrum.squared(self.test, single)
        found = {kind: self.distances[kind].clone() for kind in single}
        for kind in single:
            found[kind][:, task] = column[kind]
        spectra = [*self.spectra[:task], spectrum, *self.spectra[task + 1 :]]
        means = torch.stack([other.mean for other in spectra])
        return {**found, "tied": tied_distances(means, pooled_factor(spectra), self.test)}

    def accuracy(self, squared: torch.Tensor) -> float | None:
        """Share of the test images nearest to their own task."""
        return share(squared.argmin(dim=1) == self.truth)


def router_images(experiment: Experiment) -> RouterImages:
    """The features of an experiment whose tasks are learned."""
    config = experiment.config
    return RouterImages.of(
        [task.name for task in experiment.tasks],
        [experiment.features(task, "train").image_means() for task in experiment.tasks],
        [evaluator.image_means for evaluator in experiment.evaluators],
        [evaluator.labels.tolist() for evaluator in experiment.evaluators],
        config.train.seed,
    )


def share(hits: torch.Tensor) -> float | None:
    """Mean of booleans; None if there are none."""
    return float(hits.double().mean()) if len(hits) else None
