"""What the network is shown: a photo, or a damaged copy of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from moleflow_lib.config import FeatureOptions
from moleflow_lib.datasets import Record, Task, load_image
from moleflow_lib.features.damaged_copies import copy_id, copy_owners, damaged_copy

__all__ = ["Originals", "Take", "shown", "takes_of"]


@dataclass(frozen=True, kw_only=True)
class Take:
    """A photo, or a damaged copy of it."""

    record: Record
    owner: int  # place of the photo among those of its task
    sha256: str  # of the photo's file
    copy: int = 0  # number of the copy; 0: the photo itself

    @property
    def id(self) -> str:
        """Says what is seen: 64 hex digits."""
        return copy_id(self.sha256, self.copy) if self.copy else self.sha256

    @property
    def title(self) -> str:
        """For people."""
        record = self.record
        name = f"{record.product}/{record.split}/{record.defect}/{record.image.name}"
        return f"{name}, damaged copy {self.copy}" if self.copy else name

    def read(self, size: int, resize: str, interpolation: str) -> tuple[np.ndarray, np.ndarray]:
        """The image (S, S, 3) uint8, and the pixels (S, S) bool that damage touches; see `load_image`."""
        image = load_image(self.record.image, size, resize, interpolation)
        return (
            damaged_copy(image, self.sha256, self.copy)
            if self.copy
            else (image, np.zeros((size, size), bool))
        )


def shown(task: Task, split: str, options: FeatureOptions) -> tuple[tuple[Record, ...], str, int]:
    """What of a task goes through the network: images, what they are called, how many damaged copies.

    Args:
        task: whose images.
        split: `train` or `test`; only training images have copies.
        options: of the features.
    """
    if split == "test":
        return task.test, f"{task.name}-test", 0
    return task.train, f"{task.name}-train", options.damaged_copies


def takes_of(records: Sequence[Record], contents: Sequence[str], copies: int) -> list[Take]:
    """All photos in their order, and behind them damaged copies of them, as many as asked for.

    Args:
        records: the photos.
        contents: the SHA-256 of each one's file.
        copies: how many in all.
    """
    photos = [
        Take(record=record, owner=owner, sha256=sha256)
        for owner, (record, sha256) in enumerate(zip(records, contents, strict=True))
    ]
    owners = copy_owners(contents, copies)
    return photos + [replace(photos[owner], copy=number) for owner, number in owners]


class Originals:
    """Patches of those photos whose copies follow them.

    Args:
        takes: all of a file, in order.
        overlap: a patch is as wide as so many cells of the grid.
    """

    def __init__(self, takes: Sequence[Take], overlap: int = 1) -> None:
        self._reach = overlap // 2  # cells on either side that a patch looks into
        self._wanted = {take.owner for take in takes if take.copy}
        self._patches: dict[int, torch.Tensor] = {}

    def keep(self, takes: Sequence[Take], patches: torch.Tensor) -> None:
        """Remember the photos among some takes, whose patches are (B, H, W, D)."""
        for take, own in zip(takes, patches, strict=True):
            if not take.copy and take.owner in self._wanted:
                self._patches[take.owner] = own.clone()  # a row alone, not the batch it lies in

    def restored(self, takes: Sequence[Take], patches: torch.Tensor, touched: np.ndarray) -> torch.Tensor:
        """Patches (B, H, W, D) of takes, those that damage touches exchanged for the photo's own.

        Args:
            takes: B of them; the photos of all copies are kept.
            patches: what the network made of them.
            touched: (B, S, S) bool, pixels.
        """
        if not touched.any():
            return patches
        cells = F.adaptive_max_pool2d(torch.from_numpy(touched).float(), patches.shape[1:3])
        on_grid = F.max_pool2d(cells, 2 * self._reach + 1, 1, self._reach) > 0
        pairs = zip(takes, patches, strict=True)
        originals = torch.stack([self._patches.get(take.owner, own) for take, own in pairs])
        return torch.where(on_grid[..., None], originals, patches)
