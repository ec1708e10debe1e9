"""What a task's scores rest on, measured on its own training images once its parts are trained.

Each measure gives the task's parts anew with one thing more, so nothing is ever half filled. All are kept on
disk under the options they depend on, so that a new rule for scores trains nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.runtime import derive_seed, work_seconds
from moleflow_lib.scoring.memory_bank import BANK_VERSION, MemoryBank, build_memory_bank, calibration_subset
from moleflow_lib.scoring.prototype_distance import ImageScale
from moleflow_lib.scoring.task_parts import TaskHistory, TaskParts
from moleflow_lib.scoring.task_scorer import SCORE_VERSION, TaskScorer
from moleflow_lib.storage.artifacts import kept_artifact

__all__ = ["measured"]

_LEAST = 1e-3  # of a score's mean size: training images that are copies of one another differ by nothing
_Parts = Callable[[], torch.Tensor]  # each score part (P, N, H, W) of the calibration subset
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
        store: folder that keeps `memory_banks`, `patch_scales` and `image_scales`.

    Raises:
        ConfigError: all stored patches are of one image, so that nothing sets the scale.
        ArtifactError: something stored is damaged.
    """
    if "memory" in config.score.used_parts:
        task = _with_bank(flow, task, train, config, store)
    scorer, images = TaskScorer(flow, task, config.score), calibration_subset(len(train.patches))
    parts = cache(lambda: scorer.training_parts(train.patches, images))  # both scales rest on the same scores
    if config.score.scaled:
        task = _with_patch_scale(flow, task, parts, config, store)
    if config.score.prototype_weight:
        task = _with_image_scale(flow, task, parts, train, config, store)
    return task


def _with_bank(
    flow: MoLESpatialAwareNF, task: TaskParts, train: Features, config: ExperimentConfig, store: Path
) -> TaskParts:
    size = config.score.memory_size
    seed = derive_seed(config.train.seed, "memory", task.name)

    def make() -> _Made:
        """Choose the patches that are stored."""
        start = work_seconds(flow.device)
        rows = build_memory_bank(train.lesson, size, seed, task.name, flow.device)
        bank = MemoryBank(rows.patches, torch.tensor(train.owners).to(flow.device)[rows.owner])
        if len(bank.owner.unique()) == 1:
            raise ConfigError(
                f"{task.name}: every stored patch is of one image, so none can set the scale; raise "
                f"memory_size ({size})"
            )
        bank = bank.with_usual_distances(train.patches)
        return bank.state(), _facts("memory bank", start, flow.device)

    tensors, facts = kept_artifact(
        store / "memory_banks", task.name, [BANK_VERSION, train.key, seed, size], make
    )
    bank = MemoryBank(**{name: tensor.to(flow.device) for name, tensor in tensors.items()})
    return replace(task, bank=bank, history=_longer(task, facts))


def _with_patch_scale(
    flow: MoLESpatialAwareNF, task: TaskParts, parts: _Parts, config: ExperimentConfig, store: Path
) -> TaskParts:
    score = config.score

    def make() -> _Made:
        start = work_seconds(flow.device)
        scale = torch.stack([_spread(part) for part in parts()])
        return {"scale": scale}, _facts("patch scale", start, flow.device)

    parts_of = [list(score.used_parts), score.memory_size, score.log_det_weight]
    made_from = [SCORE_VERSION, BANK_VERSION, task.key, *parts_of]
    tensors, facts = kept_artifact(store / "patch_scales", task.name, made_from, make)
    return replace(task, patch_scale=tensors["scale"].to(flow.device), history=_longer(task, facts))


def _with_image_scale(
    flow: MoLESpatialAwareNF,
    task: TaskParts,
    parts: _Parts,
    train: Features,
    config: ExperimentConfig,
    store: Path,
) -> TaskParts:
    seed = derive_seed(config.train.seed, "prototype distance", task.name)

    def make() -> _Made:
        """Measure image scores and prototype distances of training images."""
        start = work_seconds(flow.device)
        of_patches = TaskScorer(flow, task, config.score).joined(parts())[1].cpu()
        scale = ImageScale.measured(train.image_means(), of_patches, seed)
        return scale.state(), _facts("image scale", start, flow.device)

    options = {**config.group("score"), "prototype_weight": 1.0}  # its share decides nothing here
    made_from = [SCORE_VERSION, BANK_VERSION, task.key, options]
    tensors, facts = kept_artifact(store / "image_scales", task.name, made_from, make)
    return replace(
        task, image_scale=ImageScale(tensors["scale"], tensors["held_out"]), history=_longer(task, facts)
    )


def _spread(values: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation of a score over training patches."""
    floor = max(_LEAST * float(values.abs().mean()), 1e-6)
    return torch.stack([values.mean(), values.std().clamp_min(floor)])


def _facts(kind: str, start: float, device: torch.device) -> dict[str, object]:
    return {"kind": kind, "seconds": work_seconds(device) - start}


def _longer(task: TaskParts, facts: Mapping[str, Any]) -> TaskHistory:
    return replace(task.history, seconds=task.history.seconds + facts["seconds"])
