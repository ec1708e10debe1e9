"""Multi-pass extraction: every cell of the finer grid is what its own shifted crop gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.config import ExperimentConfig, FeatureOptions
from moleflow_lib.errors import BackboneError
from moleflow_lib.features.extractor import ViTPatchCoreExtractor, build_extractor
from moleflow_lib.features.multi_pass import overlapping_features

TINY = "vit_tiny_patch16_224"
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)


def patch_means(images: torch.Tensor) -> torch.Tensor:
    """A network of 8-pixel patches: (B, 3, S, S) to (B, S/8, S/8, 3)."""
    return F.avg_pool2d(images, 8).permute(0, 2, 3, 1)


def test_a_single_pass_is_the_network_itself() -> None:
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(overlapping_features(patch_means, images, 8, 1), patch_means(images))


@pytest.mark.parametrize("overlap", [2, 4])
def test_overlapping_patches_are_centred_where_the_finer_grid_is(overlap: int) -> None:
    step, images = 8 // overlap, torch.randn(2, 3, 32, 32)
    fine = overlapping_features(patch_means, images, 8, overlap)
    assert fine.shape == (2, 4 * overlap, 4 * overlap, 3)
    for row, column in ((overlap, 2 * overlap), (2 * overlap + 1, overlap), (3, 5)):  # away from the border
        top, left = (int((at + 0.5) * step - 4) for at in (row, column))
        assert torch.allclose(
            fine[:, row, column], images[..., top : top + 8, left : left + 8].mean(dim=(2, 3)), atol=1e-6
        )


def test_the_border_is_mirrored() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    fine = overlapping_features(patch_means, ramp, 8, 2)[0, 1, :, 0]
    mirrored = [2, 1, *range(6)]
    assert fine[0] == pytest.approx(sum(mirrored) / 8) and fine[1] == pytest.approx(sum(range(2, 10)) / 8)


def test_a_cnn_takes_several_passes_too() -> None:
    extractor = ViTPatchCoreExtractor(
        "resnet18", blocks=(2, 3), image_size=64, random_seed=0, feature_dim=48, overlap=2
    )
    assert extractor(IMAGES).shape == (2, 16, 16, 48) and extractor.grid == (16, 16)


def test_the_config_asks_for_them_and_their_names_tell_features_apart() -> None:
    config = ExperimentConfig.from_params({"backbone": f"random:{TINY}", "image_size": 64, "overlap": 2})
    extractor, plain = (build_extractor(c.features, 64) for c in (config, config.with_(overlap=1)))
    assert extractor.tag.endswith("+overlap2") and extractor.grid == (8, 8)
    assert extractor.identity["tag"] != plain.identity["tag"]
    assert extractor.weights_sha256 == plain.weights_sha256, "they are the same weights"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        BackboneError, match="overlap 3: .* gives 4×4 patches of 64 pixels; expected .* multiple of 12"
    ):
        ViTPatchCoreExtractor(TINY, random_seed=0, image_size=64, overlap=3)
    with pytest.raises(
        BackboneError, match="gives 7×7 patches of 100 pixels"
    ):  # strides of 16, the last patch padded
        ViTPatchCoreExtractor("resnet18", blocks=(3,), image_size=100, random_seed=0, overlap=2)
    with pytest.raises(BackboneError, match="image_size 50: expected a multiple of the 16-pixel patches"):
        ViTPatchCoreExtractor(TINY, random_seed=0, image_size=50)
    with pytest.raises(BackboneError, match="leave it out with backbone=filterbank"):
        build_extractor(FeatureOptions(backbone="filterbank", overlap=2), 56)
