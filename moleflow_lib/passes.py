"""More than one look of a frozen network at an image: at shifts of less than a patch, and at several sizes.

A look costs a whole pass of the network, so both multiply the time of the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["ONE_LOOK", "Passes"]


@dataclass(frozen=True)
class Passes:
    """How a network's features of an image are put together.

    Attributes:
        overlap: patches are this many times as dense each way, so that they overlap: with 2 the image is seen at four
            shifts a half patch apart (mirrored at the border) and the grid is twice as fine.
        sizes: further image sizes, in pixels; their features, resized to the grid, join the mean.
    """

    overlap: int = 1
    sizes: tuple[int, ...] = ()

    def features(self, network: nn.Module, images: torch.Tensor, patch: int) -> torch.Tensor:
        """All looks at some images.

        Args:
            network: maps (B, 3, S, S) to (B, H, W, D), for every S of `sizes` as well.
            images: (B, 3, S, S).
            patch: S / H, pixels; a multiple of `overlap`.

        Returns:
            (B, overlap·H, overlap·W, D).
        """
        if self.overlap == 1:
            return self._of_all_sizes(network, images)
        side, step, margin = images.shape[-1], patch // self.overlap, patch // 2
        starts = [margin + i * step - (patch - step) // 2 for i in range(self.overlap)]  # centred, to half a pixel
        padded = F.pad(images, (margin, margin, margin, margin), mode="reflect")
        looks = [[self._of_all_sizes(network, padded[..., y : y + side, x : x + side]) for x in starts] for y in starts]
        fine = torch.stack([torch.stack(row, dim=3) for row in looks], dim=2)  # (B, H, overlap, W, overlap, D)
        return fine.flatten(3, 4).flatten(1, 2)

    def _of_all_sizes(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Mean over the images' own size and the further ones (B, H, W, D)."""
        maps = [network(images)]
        for size in self.sizes:
            resized = F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True)
            planes = network(resized).permute(0, 3, 1, 2)
            enlarged = F.interpolate(planes, size=maps[0].shape[1:3], mode="bilinear", align_corners=False)
            maps.append(enlarged.permute(0, 2, 3, 1))
        return torch.stack(maps).mean(dim=0) if self.sizes else maps[0]

    @property
    def name(self) -> str:
        """What it adds to the name of a backbone; empty for a single look.

        >>> Passes(2, (112, 448)).name
        '+overlap2+sizes112,448'
        """
        overlap = f"+overlap{self.overlap}" if self.overlap > 1 else ""
        return overlap + (f"+sizes{','.join(map(str, self.sizes))}" if self.sizes else "")


ONE_LOOK = Passes()
