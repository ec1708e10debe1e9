"""PatchCore (Roth et al. 2022): keep some of a task's normal patches, score by the nearest one kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.features.store import Features
from moleflow_lib.runtime import derive_seed, work_seconds
from moleflow_lib.scoring.memory_bank import BANK_VERSION, MemoryBank, build_memory_bank
from moleflow_lib.storage.artifacts import kept_artifact
from moleflow_lib.studies.baselines.base import Footprint, PatchBaseline

__all__ = ["MemoryBanks"]

_LIMIT = 8000  # most patches of a bank


class MemoryBanks(PatchBaseline):
    """One bank of patches a task, chosen as a greedy coreset.

    Patches are taken as they are: PatchCore's mean over 3×3 neighbours is left out, because on a 14×14
    grid, whose patches already see the whole image, it blurs small defects away.

    Args:
        dim: feature width D.
        config: `bank_share` of the training patches are kept, 8,000 at most; `seed`.
        identity: what decides the features.
        folder: where banks are kept.
    """

    def __init__(
        self, dim: int, config: ExperimentConfig, identity: Mapping[str, object], folder: Path
    ) -> None:
        super().__init__(dim, config, identity, folder)
        self.banks: list[MemoryBank] = []

    def learn(self, name: str, train: Features) -> float:
        """Choose the next task's bank, or read it back; the seconds it took."""
        study = self.config.study
        seed = self.config.train.seed
        made_from = [
            BANK_VERSION,
            self.device.type,
            self.identity,
            name,
            train.key,
            seed,
            study.bank_share,
            _LIMIT,
        ]
        tensors, manifest = kept_artifact(
            self.folder / "memory_bank", name, made_from, lambda: self._choose(name, train)
        )
        self.banks.append(MemoryBank(**{name: tensor.to(self.device) for name, tensor in tensors.items()}))
        return manifest["seconds"]

    @torch.inference_mode()
    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        """Euclidean distance (N, H, W) of each patch (N, H, W, D) to the nearest one in a task's bank."""
        bank = self.banks[task]
        return torch.cat([bank.distances(chunk.to(self.device)).cpu() for chunk in patches.split(64)])

    def footprint(self) -> Footprint:
        """Patches kept, at the two bytes a value that they are stored with."""
        values = sum(bank.patches.numel() for bank in self.banks) // len(self.banks)
        return Footprint(
            per_task=values, bytes_per_task=values * self.banks[0].patches.element_size(), shared=0
        )

    def _choose(self, name: str, train: Features) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        start = work_seconds(self.device)
        study = self.config.study
        patches = train.patches
        size = min(_LIMIT, math.ceil(study.bank_share * patches[..., 0].numel()))
        seed = derive_seed(self.config.train.seed, "bank", name)
        bank = build_memory_bank(patches, size, seed, name, self.device)
        kept = {"patches": bank.patches, "owner": bank.owner}
        return kept, {"kind": "memory_bank", "seconds": work_seconds(self.device) - start}
