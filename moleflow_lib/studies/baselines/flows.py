"""Flows learned without isolation, without sharing, or without a base, by the training code of the method
itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.store import Features
from moleflow_lib.model.flow import FlowParts, MoLESpatialAwareNF, load_exactly, shared_values
from moleflow_lib.runtime import work_seconds
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.task_parts import TaskParts
from moleflow_lib.storage.artifacts import kept_artifact
from moleflow_lib.storage.keys import digest
from moleflow_lib.studies.baselines.base import Footprint
from moleflow_lib.training.fit import fit
from moleflow_lib.training.trainer import METHOD_VERSION, MoLEContinualTrainer

__all__ = ["AdapterOnly", "FineTunedFlow", "FreshFlows", "joined"]


class _WholeModels:
    """Scores with one of several whole models."""

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        self.dim = dim
        self.config = config
        self.identity = dict(identity)
        self.folder = folder
        self.models: list[ContinualDetector] = []

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.patch_scores` (N, H, W) of patches (N, H, W, D) under one of the models."""
        return self.models[task].patch_scores(patches, 0)

    def scores(
        self, patches: torch.Tensor, image_means: torch.Tensor, task: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`ContinualDetector.scores` of one of the models."""
        return self.models[task].scores(patches, image_means, 0)

    def footprint(self) -> Footprint:
        """One whole model for each, with its stored patches if it has any."""
        values = sum(sum(_kept_values(model)) for model in self.models) // len(self.models)
        stored = self.models[0].value_counts()["stored_patches"]
        return Footprint(per_task=values + stored, bytes_per_task=4 * values + 2 * stored, shared=0)

    def _first_task(self, name: str, train: Features) -> float:
        """Train a new model as the method trains its first task; the method's own first task is read back."""
        untrained = ContinualDetector.untrained(self.dim, self.config)
        trainer = MoLEContinualTrainer(untrained, self.identity, self.folder / "tasks")
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
    would be kept apart for each task, and nothing is here: no scale and no prototype enters its scores
        either.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        plain = {"score_parts": ("flow",), "image_parts": (), "compress_scores": False}
        plain |= {"prototype_weight": 0.0, "median_share": 0.0}
        super().__init__(dim, config.with_(**plain), identity, folder)
        self._key = ""

    def learn(self, name: str, train: Features) -> float:
        """Train the model on, or read back the state after this task; the seconds it took."""
        self._key = digest(self._key, name, train.key)
        if not self.models:
            return self._first_task(name, train)
        last = self.models[-1]
        groups = self.config.group("flow", "train")
        made_from = ["fine_tune", METHOD_VERSION, last.device.type, self.identity, groups, self._key]

        def make() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
            return self._trained_on(last, name, train)

        tensors, manifest = kept_artifact(self.folder / "fine_tune", name, made_from, make)
        flow, task = _copied(last)
        _load(flow, task.flow, tensors)
        self.models.append(ContinualDetector(flow, self.config, (task,)))
        return manifest["seconds"]

    def _trained_on(
        self, last: ContinualDetector, name: str, train: Features
    ) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        start = work_seconds(last.device)
        flow, task = _copied(last)
        fitted = fit(flow, task.flow, train.lesson, self.config.train, name, base=True)
        seconds = work_seconds(last.device) - start
        facts = {"kind": "fine_tune", "curves": fitted.curves, "steps": fitted.steps, "seconds": seconds}
        return _state(flow, task.flow), facts


class AdapterOnly:
    """The method without a base flow: each task's whitening and invertible adapter do all the work.

    The context mixer stays what it is in the method: shared, trained with task 0, then frozen. LoRA and
    task biases live in the coupling subnets, so there are none.

    Raises:
        ConfigError: the configuration has no invertible adapter either.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        if not config.flow.dia_blocks:
            raise ConfigError(
                "adapter_only: expected dia_blocks of at least 1, got 0; leave adapter_only out of baselines"
            )
        self.config = config.with_(coupling_layers=0)
        untrained = ContinualDetector.untrained(dim, self.config)
        self.trainer = MoLEContinualTrainer(untrained, identity, folder / "tasks")

    def learn(self, name: str, train: Features) -> float:
        """Train the next task's adapters, or read them back; the seconds it took."""
        return self.trainer.learn(name, train).seconds

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """`ContinualDetector.patch_scores` (N, H, W) of patches (N, H, W, D) under a task's adapters."""
        return self.trainer.detector.patch_scores(patches, task)

    def scores(
        self, patches: torch.Tensor, image_means: torch.Tensor, task: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`ContinualDetector.scores` under a task's adapters."""
        return self.trainer.detector.scores(patches, image_means, task)

    def footprint(self) -> Footprint:
        """The mixer once, the adapters of each task."""
        shared, per_task = _kept_values(self.trainer.detector)
        stored = self.trainer.detector.value_counts()["stored_patches"]
        return Footprint(per_task=per_task + stored, bytes_per_task=4 * per_task + 2 * stored, shared=shared)


def joined(features: Sequence[Features]) -> Features:
    """Training features of several tasks as those of one: all images, then all copies."""
    *starts, images = accumulate((len(own.records) for own in features), initial=0)
    of_copies = [
        start + owner
        for start, own in zip(starts, features, strict=True)
        for owner in own.owners[len(own.records) :]
    ]
    return replace(
        features[0],
        lesson=torch.cat([*(own.patches for own in features), *(own.copies for own in features)]),
        owners=(*range(images), *of_copies),
        key=digest([own.key for own in features]),
        records=tuple(record for own in features for record in own.records),
        contents=tuple(sha256 for own in features for sha256 in own.contents),
        bytes=sum(own.bytes for own in features),
    )


def _kept_values(detector: ContinualDetector) -> tuple[int, int]:
    """Values of the shared base with its mixer, and of a task's parts without its stored patches."""
    counts = detector.value_counts()
    return shared_values(counts), counts["per_task"] - counts["stored_patches"]


def _copied(detector: ContinualDetector) -> tuple[MoLESpatialAwareNF, TaskParts]:
    """The flow and the one task of a model, free to be trained on."""
    task = detector.tasks[0]
    return copy.deepcopy(detector.flow), replace(task, flow=copy.deepcopy(task.flow))


def _state(flow: MoLESpatialAwareNF, parts: FlowParts) -> dict[str, torch.Tensor]:
    """Everything of a model with one task, by name."""
    groups = {"base": flow.state_dict(), "task": parts.state_dict()}
    return {f"{group}/{name}": tensor for group, state in groups.items() for name, tensor in state.items()}


def _load(flow: MoLESpatialAwareNF, parts: FlowParts, state: Mapping[str, torch.Tensor]) -> None:
    for group, module in (("base/", flow), ("task/", parts)):
        load_exactly(module, {n.removeprefix(group): t for n, t in state.items() if n.startswith(group)})
