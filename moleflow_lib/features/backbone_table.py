"""Backbones that are not timm's: one entry each gives them a name in notebooks and on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from moleflow_lib.config.registry import Registry
from moleflow_lib.errors import BackboneError, ConfigError
from moleflow_lib.features.filterbank import FilterBank

__all__ = ["BACKBONES", "Backbone"]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """How a network is made, and the images it expects.

    Raises:
        ConfigError: `make` cannot be called, or a statistic is not one number a colour.
    """

    make: Callable[[int], nn.Module]  # image_size S → network: (B, 3, S, S) to features (B, H, W, D), D even
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of each colour, images in [0, 1]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if not callable(self.make):
            raise ConfigError(f"expected make to take an image size and give a network, found {self.make!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError(
                f"expected three means and three deviations above zero, found {self.mean} and {self.std}"
            )

    def network(self, name: str, image_size: int) -> nn.Module:
        """The network, tried on one black image.

        Raises:
            BackboneError: it gives no grid of features, or an odd number of them.
        """
        network = self.make(image_size).eval()
        with torch.inference_mode():
            found = tuple(network(torch.zeros(1, 3, image_size, image_size)).shape)
        if len(found) != 4 or found[0] != 1 or found[1] != found[2] or found[3] % 2:
            raise BackboneError(
                f"backbone {name}: expected features (1, H, H, D), a square grid and an even D, of an "
                f"image (1, 3, {image_size}, {image_size}), found {found}"
            )
        return network


class _Backbones(Registry[Backbone]):
    """Names of timm's stay timm's."""

    def add(self, name: str, entry: Backbone) -> Backbone:
        """Register a backbone.

        Raises:
            ConfigError: the name is malformed, taken, or a timm tag.
        """
        import timm  # see `load_timm`

        if timm.is_model(name):
            raise ConfigError(f"backbone {name}: timm has a model of this name; give another")
        return super().add(name, entry)


BACKBONES: Registry[Backbone] = _Backbones("backbone", {"filterbank": Backbone(make=FilterBank)})
