"""Learning one task after another, each stored when finished and never touched again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from moleflow_lib.artifacts import artifact_exists, load_artifact, save_artifact, tensors_sha256
from moleflow_lib.config import ExperimentConfig, digest
from moleflow_lib.detector import ContinualDetector
from moleflow_lib.errors import TrainingError
from moleflow_lib.feature_store import Features
from moleflow_lib.losses import identity_regulariser, log_det_penalty, patch_nll, tail_aware_loss
from moleflow_lib.moments import RunningMoments
from moleflow_lib.router import TaskPrototype
from moleflow_lib.runtime import derive_seed, progress

__all__ = ["METHOD_VERSION", "MoLEContinualTrainer", "TaskHistory"]

METHOD_VERSION = 1  # raise it when the same configuration trains to other numbers, so that old tasks are not read back
_CURVES = ("loss", "nll", "log_det", "energy")


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
    base and its own images. So it can be stored under a key of just these, found again after an
    interruption, and shared between task orders that begin alike.

    Args:
        detector: a fresh detector; it is filled in place.
        identity: what decides the features (`FeatureStore.identity`).
        folder: where finished tasks are kept.
    """

    def __init__(self, detector: ContinualDetector, identity: dict[str, object], folder: Path) -> None:
        self.detector, self.config, self.identity, self.folder = detector, detector.config, identity, folder
        self.histories: list[TaskHistory] = []
        self.reference: RunningMoments | None = None
        self._base_key = ""

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
        key = digest(made_by, self.identity, self.config.group("flow", "train"), self._base_key, name, train.key)
        path = self.folder / f"{name}-{key[:16]}"
        flow.add_task(name)
        history = self._restore(index, path, key) if artifact_exists(path) else self._train(index, name, train, path, key)
        flow.train_only(None)
        self._base_key = self._base_key or key
        self.histories.append(history)
        return history

    def state_sha256(self, task: int) -> tuple[str, str]:
        """Hashes of one task's own parts and of the base, as they are now."""
        flow = self.detector.flow
        return tensors_sha256(flow.task_state(task)), tensors_sha256(flow.base_state())

    def _train(self, index: int, name: str, train: Features, path: Path, key: str) -> TaskHistory:
        start = time.perf_counter()
        curves, steps = self._fit(index, name, train.patches)
        prototype = self._prototype(train)
        if index == 0:
            self.reference = _moments(train.patches)
        seconds = time.perf_counter() - start
        state, base = self.state_sha256(index)
        history = TaskHistory(
            name=name, curves=curves, steps=steps, seconds=seconds, state_sha256=state, base_sha256=base, resumed=False
        )
        self._store(index, path, key, history, prototype)
        return history

    def _fit(self, index: int, name: str, patches: torch.Tensor) -> tuple[dict[str, list[float]], int]:
        """Run the optimiser; returns a curve for each quantity, one value an epoch, and the steps made."""
        config, flow = self.config, self.detector.flow
        patches = patches.to(self.detector.device)
        trainable = [p for p in flow.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(trainable, lr=config.lr, weight_decay=config.weight_decay)
        per_epoch = math.ceil(len(patches) / config.batch_size)
        epochs = max(config.epochs, math.ceil(config.min_steps / per_epoch))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, epochs * per_epoch, config))
        curves: dict[str, list[float]] = {curve: [] for curve in _CURVES}
        for epoch in progress(range(epochs), f"training {name}"):
            rows = []
            for batch in _batches(len(patches), config.batch_size, derive_seed(config.seed, "order", name, epoch)):
                loss, row = self._loss(index, patches[batch])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                if config.clip_norm:
                    torch.nn.utils.clip_grad_norm_(trainable, config.clip_norm)
                optimiser.step()
                scheduler.step()
                rows.append(row)
            self._record(curves, torch.stack(rows), name, epoch)
        return curves, epochs * per_epoch

    def _loss(self, index: int, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The training loss of a batch, and the numbers kept of it."""
        config, flow = self.config, self.detector.flow
        z, log_det = flow(self.detector.position(batch.float()))
        nll = patch_nll(z, log_det)
        loss = tail_aware_loss(nll, config.tail_weight, config.tail_ratio, config.tail_scope)
        if config.log_det_penalty:
            loss = loss + config.log_det_penalty * log_det_penalty(log_det)
        if index == 0 and config.use_whitening:
            adapter = flow.input_adapters["0"]
            loss = loss + config.identity_weight * identity_regulariser(adapter.gamma, adapter.beta)
        nll, log_det = nll.detach().mean(), log_det.detach().mean()
        return loss, torch.stack([loss.detach(), nll, log_det, nll + log_det])

    @staticmethod
    def _record(curves: dict[str, list[float]], rows: torch.Tensor, name: str, epoch: int) -> None:
        rows = rows.cpu()
        bad = (~rows.isfinite()).any(dim=1).nonzero()
        if len(bad):
            raise TrainingError(
                f"task {name}: the loss was not finite in epoch {epoch + 1}, batch {int(bad[0]) + 1} (last finite epoch "
                f"losses {[round(v, 1) for v in curves['loss'][-3:]]}); lower lr or set clip_norm=0.5. Earlier tasks are kept"
            )
        for curve, value in zip(_CURVES, rows.mean(dim=0).tolist(), strict=True):
            curves[curve].append(value)

    def _prototype(self, train: Features) -> TaskPrototype:
        prototype = TaskPrototype(self.detector.dim)
        prototype.update(train.image_means())
        prototype.finalize()
        self.detector.router.add(prototype)
        return prototype

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


def _rate(step: int, total: int, config: ExperimentConfig) -> float:
    """Learning rate at a step as a share of `lr`."""
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    return warm * (0.5 * (1 + math.cos(math.pi * step / total)) if config.schedule == "cosine" else 1.0)


def _batches(count: int, size: int, seed: int) -> Iterator[torch.Tensor]:
    return iter(torch.randperm(count, generator=torch.Generator().manual_seed(seed)).split(size))


def _moments(patches: torch.Tensor) -> RunningMoments:
    moments = RunningMoments(patches.shape[-1])
    for chunk in patches.split(16):
        moments.update(chunk.reshape(-1, chunk.shape[-1]))
    return moments
