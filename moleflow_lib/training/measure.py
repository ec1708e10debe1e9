"""What a task's scores rest on, measured on its own training images once its parts are trained.

Each measure gives the task's parts anew with one thing more, so nothing is ever half filled. All are kept on disk under
the options they depend on, so that a new rule for scores trains nothing again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from moleflow_lib.artifacts import kept_artifact
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.runtime import derive_seed
from moleflow_lib.scoring.memory_bank import MemoryBank, build_memory_bank, calibration_subset
from moleflow_lib.scoring.prototype_distance import ImageScale
from moleflow_lib.scoring.task_parts import TaskParts
from moleflow_lib.scoring.task_scorer import TaskScorer, patch_likelihoods

__all__ = ["measured"]

_Made = tuple[dict[str, torch.Tensor], dict[str, object]]


def measured(
    flow: MoLESpatialAwareNF, task: TaskParts, train: Features, config: ExperimentConfig, store: Path
) -> TaskParts:
    """A task's parts with memory bank and scales, as far as the configuration asks for them.

    Args:
        flow: the shared flow.
        task: its trained parts and prototype.
        train: features of its training images.
        config: the experiment.
        store: folder that keeps `memories` and `image_scales`.

    Raises:
        ConfigError: all stored patches are of one image, so that nothing sets the scale.
        ArtifactError: something stored is damaged.
    """
    if config.score.scaled:
        task = _with_patch_scale(flow, task, train, config, store)
    if config.score.prototype_weight:
        task = _with_image_scale(flow, task, train, config, store)
    return task


def _with_patch_scale(
    flow: MoLESpatialAwareNF, task: TaskParts, train: Features, config: ExperimentConfig, store: Path
) -> TaskParts:
    score = config.score
    seed = derive_seed(config.train.seed, "memory", task.name)

    def make() -> _Made:
        start = time.perf_counter()
        subset = train.patches[calibration_subset(len(train.patches))]
        nll = patch_likelihoods(flow, task.flow, subset, score.log_det_weight)
        if not score.memory_size:
            return {"scale": torch.stack([_spread(nll, 1e-3)] * 2)}, _facts("scale", start)
        bank = build_memory_bank(train.patches, score.memory_size, seed, task.name, flow.device)
        scale = torch.stack([_spread(nll, 1e-3), _distance_spread(bank, train.patches, score.memory_neighbours, task.name)])
        return {"scale": scale, **bank.state()}, _facts("memory", start)

    made_from = [task.key, score.memory_size, score.memory_neighbours, score.log_det_weight]
    tensors, facts = kept_artifact(store / "memories", task.name, made_from, make)
    here = {name: tensor.to(flow.device) for name, tensor in tensors.items()}
    bank = MemoryBank(here["patches"], here["owner"]) if "patches" in here else None
    return replace(task, bank=bank, patch_scale=here["scale"], history=_longer(task, facts))


def _with_image_scale(
    flow: MoLESpatialAwareNF, task: TaskParts, train: Features, config: ExperimentConfig, store: Path
) -> TaskParts:
    seed = derive_seed(config.train.seed, "prototype distance", task.name)

    def make() -> _Made:
        start = time.perf_counter()
        of_patches = TaskScorer(flow, task, config.score).training_image_scores(train.patches)
        return ImageScale.measured(train.image_means(), of_patches, seed).state(), _facts("image scale", start)

    made_from = [task.key, {**config.group("score"), "prototype_weight": 1.0}]  # its share decides nothing here
    tensors, facts = kept_artifact(store / "image_scales", task.name, made_from, make)
    return replace(task, image_scale=ImageScale(tensors["scale"], tensors["held_out"]), history=_longer(task, facts))


def _distance_spread(bank: MemoryBank, patches: torch.Tensor, neighbours: int, name: str) -> torch.Tensor:
    """Spread of the distance to the stored patches over the calibration subset.

    A stored patch would be at distance zero from itself, so each image meets the patches stored from all others.
    """
    usable = [image for image in calibration_subset(len(patches)) if (bank.owner != image).any()]
    if not usable:
        raise ConfigError(
            f"{name}: every stored patch is of one image, so none can set the scale; raise memory_size "
            f"({len(bank.patches)})"
        )
    distances = [bank.distances(patches[image].to(bank.patches.device), neighbours, without=image) for image in usable]
    floor = 1e-3 * float(bank.patches.float().norm(dim=1).mean())  # copies of one training image differ by nothing
    return _spread(torch.stack(distances), floor)


def _spread(values: torch.Tensor, floor: float) -> torch.Tensor:
    return torch.stack([values.mean(), values.std().clamp_min(floor)])


def _facts(kind: str, start: float) -> dict[str, object]:
    return {"kind": kind, "seconds": time.perf_counter() - start}


def _longer(task: TaskParts, facts: Mapping[str, object]) -> object:
    return replace(task.history, seconds=task.history.seconds + facts["seconds"])
