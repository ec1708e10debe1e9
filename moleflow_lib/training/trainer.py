"""Learning one task after another, each stored when finished and never touched again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from moleflow_lib.errors import ArtifactError
from moleflow_lib.features.store import Features
from moleflow_lib.model.flow import MoLESpatialAwareNF, load_exactly
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.runtime import DEVICE_KINDS, work_seconds
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.task_parts import TaskHistory, TaskParts
from moleflow_lib.storage.artifacts import (
    artifact_exists,
    group_of,
    joined_groups,
    load_artifact,
    save_artifact,
    tensors_sha256,
)
from moleflow_lib.storage.keys import digest, file_stem
from moleflow_lib.training.fit import fit
from moleflow_lib.training.measure import measured

__all__ = ["METHOD_VERSION", "MoLEContinualTrainer"]

# raise it when the same configuration trains to other numbers, so that old tasks are not read back
METHOD_VERSION = 3


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """A task about to be learned."""

    name: str
    train: Features
    first: bool
    key: str
    path: Path  # of its artifact, without suffix


@dataclass(frozen=True, kw_only=True)
class _Learned:
    """A task as it was trained, with the flow that it was trained with."""

    task: TaskParts
    flow: MoLESpatialAwareNF
    reference: RunningMoments


class MoLEContinualTrainer:
    """Trains the base with the first task, then only small parts for each later one.

    A task depends on the base, its own images, and the options of features, flow and training; never on other
    later tasks. Its random numbers come from the seed and its name. So it is stored under a digest of these,
    found again after an interruption, and shared between task orders that begin alike.

    Devices differ in the last digits, so the key names the kind of device. A task that another kind has
    learned is read back all the same; `TaskHistory.device` says which it was.

    Learning a task is a transaction: it works on parts of its own (the base task on a copy of the flow), and
    `detector` is exchanged for one that knows the task when all of it is whole and on disk.

    Args:
        detector: what is known so far.
        identity: what decides the features (`FeatureStore.identity`).
        folder: where finished tasks are kept.
    """

    def __init__(self, detector: ContinualDetector, identity: Mapping[str, object], folder: Path) -> None:
        self.detector = detector
        self.identity = dict(identity)
        self.folder = folder

    @property
    def histories(self) -> list[TaskHistory]:
        """How each task known so far was learned."""
        return [task.history for task in self.detector.tasks]

    def learn(self, name: str, train: Features) -> TaskHistory:
        """Learn the next task, or read it back if it was learned before.

        Args:
            name: the task's name.
            train: features of its normal training images.

        Raises:
            TrainingError: the loss was not finite; earlier tasks stay as they were.
            ArtifactError: the stored task is damaged.
        """
        lesson = self._lesson(name, train)
        learned = self._restored(lesson) if artifact_exists(lesson.path) else self._trained(lesson)
        task = measured(learned.flow, learned.task, train, self.detector.config, self.folder.parent)
        self.detector = self.detector.with_task(task, learned.flow, learned.reference)
        return task.history

    def state_sha256(self, task: int) -> tuple[str, str]:
        """Hashes of one task's own parts and of the base, as they are now."""
        detector = self.detector
        return tensors_sha256(detector.tasks[task].flow.state_dict()), tensors_sha256(
            detector.flow.state_dict()
        )

    def _lesson(self, name: str, train: Features) -> _Lesson:
        """The task under the key of this device, or of another that has learned it already."""
        known = self.detector.tasks
        base_key = known[0].key if known else ""
        options = self.detector.config.group("flow", "train")
        here = self.detector.device.type
        lessons = []
        for device in (here, *(kind for kind in DEVICE_KINDS if kind != here)):
            key = digest([METHOD_VERSION, device], self.identity, options, base_key, name, train.key)
            path = self.folder / f"{file_stem(name)}-{key[:16]}"
            lessons.append(_Lesson(name=name, train=train, first=not known, key=key, path=path))
        return next((lesson for lesson in lessons if artifact_exists(lesson.path)), lessons[0])

    def _fresh_flow(self, lesson: _Lesson) -> MoLESpatialAwareNF:
        """The flow that a lesson may change: a copy for the base task, which trains it."""
        return copy.deepcopy(self.detector.flow) if lesson.first else self.detector.flow

    def _trained(self, lesson: _Lesson) -> _Learned:
        start = work_seconds(self.detector.device)
        flow = self._fresh_flow(lesson)
        moments = (
            RunningMoments.of_patches(lesson.train.lesson)
            if lesson.first or flow.options.whitening == "full"
            else None
        )
        parts = flow.new_parts(lesson.name, lesson.first, moments and (moments.mean, moments.covariance()))
        fitted = fit(flow, parts, lesson.train.lesson, self.detector.config.train, lesson.name, lesson.first)
        prototype = TaskPrototype.of(lesson.train.image_means())
        reference = moments if moments is not None and lesson.first else self.detector.reference
        history = TaskHistory(
            name=lesson.name,
            curves=fitted.curves,
            steps=fitted.steps,
            seconds=work_seconds(self.detector.device) - start,
            state_sha256=tensors_sha256(parts.state_dict()),
            base_sha256=tensors_sha256(flow.state_dict()),
            resumed=False,
            device=self.detector.device.type,
        )
        task = TaskParts(name=lesson.name, key=lesson.key, flow=parts, prototype=prototype, history=history)
        learned = _Learned(task=task, flow=flow, reference=reference)
        self._store(lesson, learned)
        return learned

    def _store(self, lesson: _Lesson, learned: _Learned) -> None:
        groups = {"task": learned.task.flow.state_dict(), "prototype": learned.task.prototype.state()}
        if lesson.first:
            groups |= {"base": learned.flow.state_dict(), "reference": learned.reference.state()}
        history = asdict(learned.task.history)
        history.pop("resumed")
        save_artifact(
            lesson.path,
            joined_groups(groups),
            {
                "kind": "task",
                "key": lesson.key,
                "identity": self.identity,
                "config": self.detector.config.to_dict(),
                "history": history,
            },
        )

    def _restored(self, lesson: _Lesson) -> _Learned:
        tensors, manifest = load_artifact(lesson.path, expect={"key": lesson.key})
        flow = self._fresh_flow(lesson)
        parts = flow.new_parts(lesson.name, lesson.first).requires_grad_(False)
        load_exactly(parts, group_of(tensors, "task"))
        if lesson.first:
            load_exactly(flow, group_of(tensors, "base"))
            reference = RunningMoments.from_state(group_of(tensors, "reference"))
        else:
            reference = self.detector.reference
        history = TaskHistory(**manifest["history"], resumed=True)
        found = (tensors_sha256(parts.state_dict()), tensors_sha256(flow.state_dict()))
        if found != (history.state_sha256, history.base_sha256):
            raise ArtifactError(
                f"{lesson.path} does not hold the parts, or does not rest on the base, that it was finished "
                "with; delete it"
            )
        prototype = TaskPrototype.from_state(group_of(tensors, "prototype"))
        task = TaskParts(name=lesson.name, key=lesson.key, flow=parts, prototype=prototype, history=history)
        return _Learned(task=task, flow=flow, reference=reference)
