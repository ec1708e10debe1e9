"""Learning one task after another, each stored when finished and never touched again."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from moleflow_lib.artifacts import artifact_exists, digest, kept_artifact, load_artifact, save_artifact, tensors_sha256
from moleflow_lib.features.store import Features
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.runtime import derive_seed
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.memory_bank import TaskMemory, probed, remember
from moleflow_lib.scoring.prototype_distance import PrototypeDistance
from moleflow_lib.training.fit import fit

__all__ = ["METHOD_VERSION", "MoLEContinualTrainer", "TaskHistory"]

METHOD_VERSION = 1  # raise it when the same configuration trains to other numbers, so that old tasks are not read back


@dataclass(frozen=True, kw_only=True)
class TaskHistory:
    """How one task was learned."""

    name: str
    curves: dict[str, list[float]]  # one value an epoch: loss, nll, log_det, energy = ½‖z‖², nats
    steps: int
    seconds: float
    state_sha256: str  # of the task's own parts when it was finished
    base_sha256: str  # of the shared parts at that moment
    resumed: bool  # read from disk, not trained now


class MoLEContinualTrainer:
    """Trains the base with the first task, then only small parts for each later one.

    A task's random numbers come from the seed and its name alone, and it depends on nothing but the
    base and its own images. So it can be stored under a key of just these,
    found again after an interruption, and shared between task orders that begin alike.

    Args:
        detector: a fresh detector; it is filled in place.
        identity: what decides the features (`FeatureStore.identity`).
        folder: where finished tasks are kept.
    """

    def __init__(self, detector: ContinualDetector, identity: dict[str, object], folder: Path) -> None:
        self.detector, self.config, self.identity, self.folder = detector, detector.config, identity, folder
        self.histories: list[TaskHistory] = []
        self.reference: RunningMoments | None = None
        self._keys: list[str] = []

    def learn(self, name: str, train: Features) -> TaskHistory:
        """Learn the next task, or read it back if it was learned before.

        Args:
            name: the task's name.
            train: features of its normal training images.

        Raises:
            TrainingError: the loss was not finite; earlier tasks stay as they were stored.
            ArtifactError: the stored task is damaged.
        """
        index, flow = len(self.histories), self.detector.flow
        made_by = [METHOD_VERSION, self.detector.device.type]
        base_key = self._keys[0] if self._keys else ""
        key = digest(made_by, self.identity, self.config.group("flow", "train"), base_key, name, train.key)
        path = self.folder / f"{name}-{key[:16]}"
        flow.add_task(name)
        history = self._restore(index, path, key) if artifact_exists(path) else self._train(index, name, train, path, key)
        flow.train_only(None)
        seconds = self._measure(index, name, train, key)
        history = replace(history, seconds=history.seconds + seconds)
        self._keys.append(key)
        self.histories.append(history)
        return history

    def state_sha256(self, task: int) -> tuple[str, str]:
        """Hashes of one task's own parts and of the base, as they are now."""
        flow = self.detector.flow
        return tensors_sha256(flow.task_state(task)), tensors_sha256(flow.base_state())

    def _train(self, index: int, name: str, train: Features, path: Path, key: str) -> TaskHistory:
        start = time.perf_counter()
        curves, steps = fit(self.detector, index, name, train.patches)
        prototype = self._prototype(train)
        if index == 0:
            self.reference = RunningMoments.of_patches(train.patches)
        seconds = time.perf_counter() - start
        state, base = self.state_sha256(index)
        history = TaskHistory(
            name=name, curves=curves, steps=steps, seconds=seconds, state_sha256=state, base_sha256=base, resumed=False
        )
        self._store(index, path, key, history, prototype)
        return history

    def _prototype(self, train: Features) -> TaskPrototype:
        prototype = TaskPrototype(self.detector.dim)
        prototype.update(train.image_means())
        prototype.finalize()
        self.detector.router.add(prototype)
        return prototype

    def _measure(self, index: int, name: str, train: Features, key: str) -> float:
        """Give the detector what puts the task's scores on the scale of its training images; the seconds it took."""
        config, detector, total = self.config, self.detector, 0.0
        for wanted, measured, kept in (  # each rests on the ones before it
            (config.score.scaled, self._memory, detector.memories),
            (config.score.prototype_weight, self._prototype_distance, detector.prototype_distances),
        ):
            if wanted:
                found, seconds = measured(index, name, train, key)
                kept.append(found)
                total += seconds
        return total

    def _memory(self, index: int, name: str, train: Features, key: str) -> tuple[TaskMemory, float]:
        """The task's stored patches and scale, made now or read back, and the seconds it took to make them."""
        config, seed = self.config, derive_seed(self.config.train.seed, "memory", name)
        size, neighbours = config.score.memory_size, config.score.memory_neighbours

        def make() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
            start = time.perf_counter()
            nll = self.detector.patch_scores(train.patches[probed(len(train.patches))], index)
            memory = remember(train.patches, nll.to(self.detector.device), size, seed, name, neighbours)
            return memory.state(), {"kind": "memory", "seconds": time.perf_counter() - start}

        made_from = [key, size, neighbours, config.score.log_det_weight]
        tensors, facts = kept_artifact(self.folder.parent / "memories", name, made_from, make)
        patches, scale, owner = (tensors[part].to(self.detector.device) for part in ("patches", "scale", "owner"))
        return TaskMemory(patches, scale, neighbours, owner, config.score.compress_scores), facts["seconds"]

    def _prototype_distance(self, index: int, name: str, train: Features, key: str) -> tuple[PrototypeDistance, float]:
        """How the distance to the task's prototype joins the image score, and the seconds it took to measure that."""
        prototype, seed = self.detector.router.prototypes[index], derive_seed(self.config.train.seed, "prototype distance", name)

        def make() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
            start = time.perf_counter()
            of_patches = self.detector.training_scores_of_patches(train.patches, index)
            measured = PrototypeDistance.measured(prototype, train.image_means(), of_patches, seed)
            return measured.state(), {"kind": "image scale", "seconds": time.perf_counter() - start}

        made_from = [key, {**self.config.group("score"), "prototype_weight": 1.0}]  # its share decides nothing here
        tensors, facts = kept_artifact(self.folder.parent / "image_scales", name, made_from, make)
        return PrototypeDistance(prototype, tensors["scale"], tensors["held_out"]), facts["seconds"]

    def _store(self, index: int, path: Path, key: str, history: TaskHistory, prototype: TaskPrototype) -> None:
        flow = self.detector.flow
        groups = {"task": flow.task_state(index), "prototype": prototype.state()}
        if index == 0:
            groups |= {"base": flow.base_state(), "reference": self.reference.state()}
        tensors = {f"{group}/{name}": tensor for group, state in groups.items() for name, tensor in state.items()}
        facts = {field: getattr(history, field) for field in ("name", "curves", "steps", "seconds", "state_sha256", "base_sha256")}
        save_artifact(path, tensors, {
            "kind": "task", "key": key, "identity": self.identity, "config": self.config.to_dict(), **facts
        })

    def _restore(self, index: int, path: Path, key: str) -> TaskHistory:
        tensors, manifest = load_artifact(path, expect={"key": key})
        flow = self.detector.flow
        flow.load_task_state(index, _group(tensors, "task"))
        if index == 0:
            flow.load_base_state(_group(tensors, "base"))
            self.reference = RunningMoments.from_state(_group(tensors, "reference"))
        self.detector.router.add(TaskPrototype.from_state(_group(tensors, "prototype")))
        facts = {field: manifest[field] for field in ("name", "curves", "steps", "seconds", "state_sha256", "base_sha256")}
        return TaskHistory(**facts, resumed=True)


def _group(tensors: dict[str, torch.Tensor], group: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{group}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{group}/")}
