"""A memory bank: some of a task's patches, and how far other patches lie from them (PatchCore, Roth et al.
2022), or how much farther than the task's own patches do.
"""

from __future__ import annotations

import torch

from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, nearest_neighbours, projected

__all__ = ["BANK_VERSION", "MemoryBank", "build_memory_bank", "calibration_subset"]

BANK_VERSION = 4  # raise it when the same inputs give another bank
_CALIBRATION = 64  # training images that set the scale of scores
_NEIGHBOURS = 3  # a coreset is picked for being far from everything, so one near patch may be an oddity
_WITNESSES = 256  # training images that tell the usual distances
_PULL = 30  # patches' worth of the bank's mean: what few come near says little by itself


class MemoryBank:
    """Stored patches of a task.

    Args:
        patches: (K, D) float16.
        owner: (K,) which training image each stored patch comes from; what is measured on training images
            leaves an image's own patches out.
        usual: (K,) float16, `with_usual_distances`; zero where left out.

    >>> bank = MemoryBank(torch.tensor([[0.0, 0.0], [3.0, 0.0]]).half(), torch.tensor([0, 1]))
    >>> bank.distances(torch.tensor([[0.0, 4.0]])), bank.distances(torch.tensor([[0.0, 4.0]]), without=0)
    (tensor([4.]), tensor([5.]))
    """

    def __init__(self, patches: torch.Tensor, owner: torch.Tensor, usual: torch.Tensor | None = None) -> None:
        self.patches = patches
        self.owner = owner
        self.usual = patches.new_zeros(len(patches)) if usual is None else usual

    def distances(
        self, patches: torch.Tensor, neighbours: int = 1, without: int | None = None
    ) -> torch.Tensor:
        """Mean Euclidean distance to the nearest stored patches.

        Args:
            patches: (..., D) of any float type, on the bank's device.
            neighbours: over how many of the nearest.
            without: a training image whose own patches are left out.

        Returns:
            (...) float32.
        """
        stored = self.patches if without is None else self.patches[self.owner != without]
        flat = patches.float().flatten(0, -2)
        return nearest_distances(flat, stored.float(), neighbours).reshape(patches.shape[:-1])

    def excess(self, patches: torch.Tensor, without: int | None = None) -> torch.Tensor:
        """Mean Euclidean distance to the three nearest stored patches, less what is usual there.

        Args:
            patches: (..., D) of any float type, on the bank's device.
            without: a training image whose own patches are left out.

        Returns:
            (...) float32.
        """
        gaps, columns = self._nearest(patches, without)
        return (gaps - self.usual.float()[columns].mean(dim=0)).reshape(patches.shape[:-1])

    def with_usual_distances(self, patches: torch.Tensor) -> MemoryBank:
        """The same bank, knowing how far the task's own patches usually lie from each stored one.

        Where a product varies, as in the bristles of a brush, normal patches lie far from all stored ones;
        where it does not, a small distance is much. Usual is the mean over the training patches that have
        the stored patch among their three nearest, patches of its own image left out, pulled to the mean
        over the bank by 30 patches' worth.

        Args:
            patches: (N, H, W, D) features of the task's training images; at most 256 are asked, evenly
                spaced.
        """
        totals, counts = torch.zeros(2, len(self.patches), dtype=torch.float64)
        for image in _spaced(len(patches), _WITNESSES):
            gaps, columns = self._nearest(patches[image].to(self.patches.device), without=image)
            met = columns.cpu().flatten()  # sums over a GPU's threads would depend on their order
            totals.index_add_(0, met, gaps.cpu().double().repeat(len(columns)))
            counts += met.bincount(minlength=len(counts))
        mean = totals.sum() / counts.sum()
        usual = (totals + _PULL * mean) / (counts + _PULL)
        return MemoryBank(self.patches, self.owner, usual.to(self.patches))

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"patches": self.patches, "owner": self.owner, "usual": self.usual}

    def values(self) -> int:
        """How many float16 values it keeps."""
        return self.patches.numel() + self.usual.numel()

    def _nearest(self, patches: torch.Tensor, without: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Of patches (..., D) the mean distance (Q,) to the three nearest stored ones, and which (3, Q)."""
        flat = patches.float().flatten(0, -2)
        if without is None:
            gaps, columns = nearest_neighbours(flat, self.patches.float(), _NEIGHBOURS)
            return gaps.mean(dim=0), columns
        kept = (self.owner != without).nonzero().flatten()
        gaps, columns = nearest_neighbours(flat, self.patches[kept].float(), _NEIGHBOURS)
        return gaps.mean(dim=0), kept[columns]


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
    return _spaced(images, _CALIBRATION)


def _spaced(images: int, most: int) -> list[int]:
    count = min(images, most)
    return [index * images // count for index in range(count)]
