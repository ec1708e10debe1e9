"""Flows learned without isolation, without sharing, or without a base, by the training code of the method itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from moleflow_lib.artifacts import digest, kept_artifact
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.model.flow import MoLESpatialAwareNF, shared_values
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.studies.baselines.base import Footprint
from moleflow_lib.training.fit import fit
from moleflow_lib.training.trainer import METHOD_VERSION, MoLEContinualTrainer

__all__ = ["AdapterOnly", "FineTunedFlow", "FreshFlows", "joined"]

_Made = tuple[dict[str, torch.Tensor], dict[str, object]]


class _WholeModels:
    """Scores with one of several whole models."""

    def __init__(self, dim: int, config: ExperimentConfig, identity: dict[str, object], folder: Path) -> None:
        self.dim, self.config, self.identity, self.folder = dim, config, identity, folder
        self.models: list[ContinualDetector] = []

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.patch_scores` (N, H, W) of patches (N, H, W, D) under one of the models."""
        return self.models[task].patch_scores(patches, 0)

    def image_scores(self, patch_scores: torch.Tensor, image_means: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.image_scores` (N,) of one of the models."""
        return self.models[task].image_scores(patch_scores, image_means, 0)

    def footprint(self) -> Footprint:
        """One whole model for each, with its stored patches if it has any."""
        values = sum(sum(_kept_values(model)) for model in self.models) // len(self.models)
        stored = self.models[0].memory_values()
        return Footprint(per_task=values + stored, bytes_per_task=4 * values + 2 * stored, shared=0)

    def _first_task(self, name: str, train: Features) -> float:
        """Train a new model as the method trains its first task; the method's own first task is read back."""
        trainer = MoLEContinualTrainer(ContinualDetector(self.dim, self.config), self.identity, self.folder / "tasks")
        seconds = trainer.learn(name, train).seconds
        self.models.append(trainer.detector)
        return seconds


class FreshFlows(_WholeModels):
    """A new model for every task, trained as a first task: base, mixer and all parts, nothing shared.

    Given all tasks `joined` as one, it is the joint training that a continual method is measured against.
    """

    def learn(self, name: str, train: Features) -> float:
        """Train the next model, or read it back; the seconds it took."""
        return self._first_task(name, train)


class FineTunedFlow(_WholeModels):
    """One model trained on task after task with nothing frozen: base, mixer and the one set of parts move on.

    A state is kept after every task, so that what is forgotten can be measured; a factory would keep the
    last. Each step has the loss, epochs and rate of the method's first task. It stores no patches: those
    would be kept apart for each task, and nothing is here: no scale and no prototype enters its scores either.
    """

    def __init__(self, dim: int, config: ExperimentConfig, identity: dict[str, object], folder: Path) -> None:
        plain = {"memory_size": 0, "compress_scores": False, "prototype_weight": 0.0}
        super().__init__(dim, config.with_(**plain), identity, folder)
        self._key = ""

    def learn(self, name: str, train: Features) -> float:
        """Train the model on, or read back the state after this task; the seconds it took."""
        self._key = digest(self._key, name, train.key)
        if not self.models:
            return self._first_task(name, train)
        model = ContinualDetector(self.dim, self.config)
        model.flow.add_task()
        groups = self.config.group("flow", "train")
        made_from = ["fine_tune", METHOD_VERSION, model.device.type, self.identity, groups, self._key]
        tensors, manifest = kept_artifact(self.folder / "fine_tune", name, made_from, lambda: self._train_on(model, name, train))
        _load(model.flow, tensors)
        model.flow.train_only(None)
        self.models.append(model)
        return manifest["seconds"]

    def _train_on(self, model: ContinualDetector, name: str, train: Features) -> _Made:
        start, last = time.perf_counter(), self.models[-1].flow
        _load(model.flow, _state(last))
        curves, steps = fit(model, 0, name, train.patches)
        return _state(model.flow), {"kind": "fine_tune", "curves": curves, "steps": steps, "seconds": time.perf_counter() - start}


class AdapterOnly:
    """The method without a base flow: each task's whitening and invertible adapter do all the work.

    The context mixer stays what it is in the method: shared, trained with task 0, then frozen. LoRA and
    task biases live in the coupling subnets, so there are none.

    Raises:
        ConfigError: the configuration has no invertible adapter either.
    """

    def __init__(self, dim: int, config: ExperimentConfig, identity: dict[str, object], folder: Path) -> None:
        if not config.flow.dia_blocks:
            raise ConfigError("adapter_only: expected dia_blocks of at least 1, got 0; leave adapter_only out of baselines")
        self.config = config.with_(coupling_layers=0)
        self.detector = ContinualDetector(dim, self.config)
        self.trainer = MoLEContinualTrainer(self.detector, identity, folder / "tasks")

    def learn(self, name: str, train: Features) -> float:
        """Train the next task's adapters, or read them back; the seconds it took."""
        return self.trainer.learn(name, train).seconds

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.patch_scores` (N, H, W) of patches (N, H, W, D) under a task's adapters."""
        return self.detector.patch_scores(patches, task)

    def image_scores(self, patch_scores: torch.Tensor, image_means: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.image_scores` (N,) under a task's adapters."""
        return self.detector.image_scores(patch_scores, image_means, task)

    def footprint(self) -> Footprint:
        """The mixer once, the adapters of each task."""
        shared, per_task = _kept_values(self.detector)
        stored = self.detector.memory_values()
        return Footprint(per_task=per_task + stored, bytes_per_task=4 * per_task + 2 * stored, shared=shared)


def joined(features: Sequence[Features]) -> Features:
    """Training features of several tasks as those of one."""
    return replace(
        features[0], patches=torch.cat([f.patches for f in features]), key=digest([f.key for f in features]),
        records=tuple(record for f in features for record in f.records), bytes=sum(f.bytes for f in features),
    )


def _kept_values(detector: ContinualDetector) -> tuple[int, int]:
    """Values of the shared base with its mixer, and of a task's parts without its stored patches."""
    counts = detector.value_counts()
    return shared_values(counts), counts["per_task"] - counts["stored_patches"]


def _state(flow: MoLESpatialAwareNF) -> dict[str, torch.Tensor]:
    """Everything of a model with one task, by name."""
    return {f"base/{n}": t for n, t in flow.base_state().items()} | {f"task/{n}": t for n, t in flow.task_state(0).items()}


def _load(flow: MoLESpatialAwareNF, state: dict[str, torch.Tensor]) -> None:
    flow.load_base_state({n.removeprefix("base/"): t for n, t in state.items() if n.startswith("base/")})
    flow.load_task_state(0, {n.removeprefix("task/"): t for n, t in state.items() if n.startswith("task/")})
