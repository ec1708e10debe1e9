"""All that a detector keeps as named tensors and JSON facts, and back: one group of names a part.

A task: `parts/…`, `prototype/…`, `calibration/…`, where it has them `bank/…`, `image_scale/…` and
`scale/patch`. The base: `flow/…`, `reference/…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.inference.calibration import TaskCalibration
from moleflow_lib.model.flow import MoLESpatialAwareNF, load_exactly
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.runtime import resolve_device
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.memory_bank import MemoryBank
from moleflow_lib.scoring.prototype_distance import ImageScale
from moleflow_lib.scoring.task_parts import TaskHistory, TaskParts
from moleflow_lib.storage.artifacts import group_of, joined_groups

__all__ = ["base_from_tensors", "base_tensors", "task_facts", "task_from_tensors", "task_tensors"]

Tensors = Mapping[str, torch.Tensor]


def base_tensors(detector: ContinualDetector) -> dict[str, torch.Tensor]:
    """The shared flow and the moments of the base task's patches."""
    return joined_groups({"flow": detector.flow.state_dict(), "reference": detector.reference.state()})


def base_from_tensors(tensors: Tensors, dim: int, config: ExperimentConfig) -> ContinualDetector:
    """A detector that knows no task yet, on the configuration's device, whatever device the tensors came
    from.

    Args:
        tensors: from `base_tensors`.
        dim: feature width D.
        config: the experiment.

    Raises:
        ConfigError: the tensors are of a flow of another shape.
    """
    flow = MoLESpatialAwareNF(dim, config.flow, config.train.seed).to(resolve_device(config.run.device))
    load_exactly(flow.requires_grad_(False), group_of(tensors, "flow"))
    return ContinualDetector(flow, config, (), RunningMoments.from_state(group_of(tensors, "reference")))


def task_tensors(task: TaskParts, calibration: TaskCalibration) -> dict[str, torch.Tensor]:
    """Everything a task keeps that is a tensor."""
    return joined_groups(
        {
            "parts": task.flow.state_dict(),
            "prototype": task.prototype.state(),
            "calibration": calibration.state(),
            "bank": {} if task.bank is None else task.bank.state(),
            "scale": {} if task.patch_scale is None else {"patch": task.patch_scale},
            "image_scale": {} if task.image_scale is None else task.image_scale.state(),
        }
    )


def task_facts(task: TaskParts) -> dict[str, object]:
    """Everything else a task keeps, as JSON values."""
    history = asdict(task.history)
    history.pop("resumed")
    return {"name": task.name, "key": task.key, "history": history}


def task_from_tensors(
    tensors: Tensors, facts: Mapping[str, Any], known: ContinualDetector
) -> tuple[TaskParts, TaskCalibration]:
    """The task that `task_tensors` and `task_facts` were taken from.

    Args:
        tensors: of the task.
        facts: of the task.
        known: the detector that knows all tasks before it.

    Raises:
        ConfigError: the tensors are of parts of another shape.
    """
    flow = known.flow
    parts = flow.new_parts(facts["name"], not known.tasks).requires_grad_(False)
    load_exactly(parts, group_of(tensors, "parts"))
    here = {
        name: tensor.to(flow.device)
        for name, tensor in tensors.items()
        if name.startswith(("bank/", "scale/"))
    }
    image_scale = group_of(tensors, "image_scale")
    task = TaskParts(
        name=facts["name"],
        key=facts["key"],
        flow=parts,
        history=TaskHistory(**facts["history"], resumed=True),
        prototype=TaskPrototype.from_state(group_of(tensors, "prototype")),
        bank=MemoryBank(**group_of(here, "bank")) if "bank/patches" in here else None,
        patch_scale=here.get("scale/patch"),
        image_scale=ImageScale(**image_scale) if image_scale else None,
    )
    return task, TaskCalibration.from_state(group_of(tensors, "calibration"))
