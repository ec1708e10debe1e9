"""Everything that one task keeps, in one object."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from moleflow_lib.model.flow import FlowParts
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.scoring.memory_bank import MemoryBank
from moleflow_lib.scoring.prototype_distance import ImageScale
from moleflow_lib.storage.artifacts import tensors_sha256

__all__ = ["TaskHistory", "TaskParts"]


@dataclass(frozen=True, kw_only=True)
class TaskHistory:
    """How one task was learned."""

    name: str
    curves: dict[str, list[float]]  # one value an epoch: loss, nll, log_det, energy = ½‖z‖², nats
    steps: int
    seconds: float
    state_sha256: str  # of the task's flow parts when it was finished
    base_sha256: str  # of the shared flow at that moment
    resumed: bool  # read from disk, not trained now
    device: str = ""  # kind of device that trained it: cpu or cuda; "" where that was not recorded


@dataclass(frozen=True, kw_only=True)
class TaskParts:
    """What a task adds to the flow, its prototype for the router, and what its scores rest on.

    Attributes:
        key: digest of all that it was learned from.
        patch_scale: (P, 2) float32, mean and standard deviation over training patches of each of
            `ScoreOptions.used_parts`. None where scores stay in nats.
    """

    name: str
    key: str
    flow: FlowParts
    prototype: TaskPrototype
    history: TaskHistory
    bank: MemoryBank | None = None
    patch_scale: torch.Tensor | None = None
    image_scale: ImageScale | None = None

    def stored_patches(self) -> int:
        """Values of its memory bank, float16 each."""
        return 0 if self.bank is None else self.bank.values()

    def counts(self) -> dict[str, int]:
        """Values kept: `FlowParts.counts`, and `stored_patches`, which `per_task` then includes."""
        counts = self.flow.counts()
        stored = self.stored_patches()
        return {**counts, "stored_patches": stored, "per_task": counts["per_task"] + stored}

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each thing it keeps, by what it is."""
        scale = {} if self.patch_scale is None else {"scale": self.patch_scale}
        kept = {
            "parts": self.flow.state_dict(),
            "stored patches and scale": scale | (self.bank.state() if self.bank else {}),
        }
        kept["image scale"] = self.image_scale.state() if self.image_scale else {}
        return {what: tensors_sha256(state) for what, state in kept.items() if state}
