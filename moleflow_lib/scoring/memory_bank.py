"""A memory bank: some of a task's patches, and how far other patches lie from them (PatchCore, Roth et al.
2022).
"""

from __future__ import annotations

import torch

from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, projected

__all__ = ["BANK_VERSION", "MemoryBank", "build_memory_bank", "calibration_subset"]

BANK_VERSION = 3  # raise it when the same inputs give another bank
_CALIBRATION = 64  # training images that set the scale of scores


class MemoryBank:
    """Stored patches of a task.

    Args:
        patches: (K, D) float16.
        owner: (K,) which training image each stored patch comes from; what is measured on training images
            leaves an image's own patches out.

    >>> bank = MemoryBank(torch.tensor([[0.0, 0.0], [3.0, 0.0]]).half(), torch.tensor([0, 1]))
    >>> bank.distances(torch.tensor([[0.0, 4.0]])), bank.distances(torch.tensor([[0.0, 4.0]]), without=0)
    (tensor([4.]), tensor([5.]))
    """

    def __init__(self, patches: torch.Tensor, owner: torch.Tensor) -> None:
        self.patches = patches
        self.owner = owner

    def distances(
        self, patches: torch.Tensor, neighbours: int = 1, without: int | None = None
    ) -> torch.Tensor:
        """Mean Euclidean distance to the nearest stored patches.

        Args:
            patches: (..., D) of any float type, on the bank's device.
            neighbours: over how many of the nearest. A coreset is picked for being far from everything, so a
                single near one may be an oddity; several are better witnesses.
            without: a training image whose own patches are left out.

        Returns:
            (...) float32.
        """
        stored = self.patches if without is None else self.patches[self.owner != without]
        flat = patches.float().flatten(0, -2)
        return nearest_distances(flat, stored.float(), neighbours).reshape(patches.shape[:-1])

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"patches": self.patches, "owner": self.owner}


def build_memory_bank(
    patches: torch.Tensor, size: int, seed: int, name: str, device: torch.device | str = "cpu"
) -> MemoryBank:
    """Choose a task's stored patches as a greedy coreset; they are kept in the order of the images.

    Args:
        patches: (N, H, W, D) features of the task's training images.
        size: K, how many patches to store; all if there are fewer.
        seed: decides the first one and the projection they are chosen in.
        name: what the progress bar says.
        device: where it is computed and kept.
    """
    flat = patches.flatten(0, -2)
    per_image = patches[0].numel() // patches.shape[-1]
    picked = greedy_coreset(projected(flat, seed, device), min(size, len(flat)), seed, name).sort().values
    return MemoryBank(flat[picked].to(device).half(), (picked // per_image).to(device))


def calibration_subset(images: int) -> list[int]:
    """Which of a task's training images set the scale: at most 64, evenly spaced.

    >>> calibration_subset(3), len(calibration_subset(1000))
    ([0, 1, 2], 64)
    """
    count = min(images, _CALIBRATION)
    return [index * images // count for index in range(count)]
