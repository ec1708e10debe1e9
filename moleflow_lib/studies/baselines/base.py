"""What every method that is compared has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.evaluation.evaluator import Scorer
from moleflow_lib.features.store import Features
from moleflow_lib.runtime import resolve_device
from moleflow_lib.scoring.aggregation import image_scores

__all__ = ["Baseline", "Footprint", "PatchBaseline", "PatchScoreMixin"]


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a method keeps, the router's prototypes left out.

    >>> Footprint(per_task=10, bytes_per_task=40, shared=5).per_task
    10
    """

    per_task: int  # values of each task, the mean where tasks differ
    bytes_per_task: int
    shared: int  # values that all tasks have in common


class PatchScoreMixin:
    """Image scores of a method that knows nothing but patches: the configuration's rule, no prototype in it.

    Attributes:
        config: of the method.
    """

    config: ExperimentConfig

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """Each method's own."""
        raise NotImplementedError

    def scores(
        self, patches: torch.Tensor, image_means: torch.Tensor, task: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Patch scores (N, H, W), and image scores (N,) made of the highest of them, the unit kept."""
        of_patches = self.patch_scores(patches, task)
        return of_patches, image_scores(of_patches, self.config.score.top_k)


class PatchBaseline(PatchScoreMixin):
    """A method that scores patches by what it keeps of each task.

    Args:
        dim: feature width D.
        config: of the run.
        identity: what decides the features (`FeatureStore.identity`).
        folder: where what it learned is kept.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        self.dim = dim
        self.config = config
        self.identity = dict(identity)
        self.folder = folder
        self.device = resolve_device(config.run.device)


class Baseline(Scorer, Protocol):
    """Learns one task after another and scores images under the parts, or in the state, of any of them.

    Made from the feature width D, the configuration, what decides the features (`FeatureStore.identity`),
    and the folder where it keeps what it learned.
    """

    def learn(self, name: str, train: Features) -> float:
        """Learn the next task, or read it back; the seconds it took when it was learned."""
        ...

    def footprint(self) -> Footprint:
        """What is kept of the tasks learned so far; a single model counts as kept by each."""
        ...
