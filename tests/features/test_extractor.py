"""Frozen backbones: one door, strict weights, clear words when they cannot be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from moleflow_lib.config import FeatureOptions
from moleflow_lib.errors import BackboneError
from moleflow_lib.features.extractor import ViTPatchCoreExtractor, build_extractor

TINY = "vit_tiny_patch16_224"
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), path)
    return path


def test_vit_features_are_the_plain_mean_of_the_blocks(weights: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    extractor = ViTPatchCoreExtractor(TINY, blocks=(1, 3, 5, 11), weights=weights)
    model, seen = extractor.network.model, []
    hooks = [
        model.blocks[i].register_forward_hook(lambda _, __, out: seen.append(out)) for i in (1, 3, 5, 11)
    ]
    with torch.no_grad():
        model.forward_features((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    for hook in hooks:
        hook.remove()
    literal = torch.stack([out[:, 1:] for out in seen]).mean(dim=0).view(2, 14, 14, 192)
    assert torch.allclose(extractor(images), literal, atol=1e-5)
    assert (extractor.grid, extractor.feature_dim) == ((14, 14), 192)


def test_another_input_size_resamples_the_position_embedding(weights: Path) -> None:
    assert ViTPatchCoreExtractor(TINY, weights=weights, image_size=64)(IMAGES).shape == (2, 4, 4, 192)


def test_block_norm_normalises_each_block(weights: Path) -> None:
    features = ViTPatchCoreExtractor(TINY, blocks=(3,), weights=weights, image_size=64, block_norm=True)(
        IMAGES
    )
    assert torch.allclose(features.mean(dim=-1), torch.zeros(2, 4, 4), atol=1e-4)


def test_a_cnn_goes_through_the_same_door() -> None:
    extractor = ViTPatchCoreExtractor("resnet18", blocks=(2, 3), image_size=64, random_seed=0, feature_dim=48)
    assert extractor(IMAGES).shape == (2, 8, 8, 48) and extractor.tag.startswith("random:resnet18")


def test_always_frozen_and_in_eval_mode(weights: Path) -> None:
    extractor = ViTPatchCoreExtractor(TINY, weights=weights, image_size=64).train()
    assert not any(module.training for module in extractor.modules())
    assert not any(p.requires_grad for p in extractor.parameters()) and not extractor(IMAGES).requires_grad


def test_random_weights_only_when_asked_for_and_reproducible() -> None:
    first, second = (build_extractor(FeatureOptions(backbone=f"random:{TINY}"), 64) for _ in range(2))
    assert first.weights_sha256 == second.weights_sha256 and first.tag.startswith("random:")


def test_identity_tells_weights_apart(weights: Path) -> None:
    trained = ViTPatchCoreExtractor(TINY, weights=weights, image_size=64)
    random = ViTPatchCoreExtractor(TINY, random_seed=0, image_size=64)
    assert trained.identity["weights_sha256"] != random.identity["weights_sha256"]
    assert trained.identity["mean"] == [0.5, 0.5, 0.5] and trained.identity["tag"].startswith(TINY + ".")


def test_the_filter_bank_needs_no_weights_and_takes_none() -> None:
    extractor = build_extractor(FeatureOptions(backbone="filterbank"), 56)
    assert extractor(np.zeros((1, 56, 56, 3), dtype=np.uint8)).shape[:3] == (1, 14, 14)
    with pytest.raises(BackboneError, match="takes no weights"):
        build_extractor(FeatureOptions(backbone="filterbank"), weights="x.safetensors")


@pytest.mark.parametrize(
    "damage", ["missing tensor", "extra tensor", "other model", "no file", "not weights", "torch junk"]
)
def test_weights_are_matched_strictly(weights: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / ("w.pth" if damage == "torch junk" else "w.safetensors")
    state = timm.create_model(
        "vit_small_patch16_224" if damage == "other model" else TINY, pretrained=False
    ).state_dict()
    if damage == "missing tensor":
        del state["blocks.3.attn.qkv.weight"]
    if damage == "extra tensor":
        state["blocks.12.norm1.weight"] = torch.zeros(192)
    if damage in ("not weights", "torch junk"):
        path.write_bytes(b"junk" * 10)
    elif damage != "no file":
        save_file(state, path)
    with pytest.raises(BackboneError, match=r"w\.(safetensors|pth)"):
        ViTPatchCoreExtractor(TINY, weights=path)


def test_offline_the_message_names_tag_file_and_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        BackboneError, match=f"(?s)model.safetensors of timm/{TINY}.*--backbone-weights FILE.*filterbank"
    ):
        ViTPatchCoreExtractor(TINY)


def test_unknown_tags_and_blocks_are_refused() -> None:
    with pytest.raises(BackboneError, match="timm knows no model 'vit_huge_nonsense'"):
        ViTPatchCoreExtractor("vit_huge_nonsense")
    with pytest.raises(BackboneError, match="layers 0 … 11; blocks asked for: .3, 12."):
        ViTPatchCoreExtractor(TINY, blocks=(3, 12), random_seed=0)


def test_bf16_features_are_near_named_and_float32() -> None:
    plain, reduced = (
        ViTPatchCoreExtractor(
            "test_vit", blocks=(1, 3), image_size=64, random_seed=0, block_norm=True, precision=precision
        )
        for precision in ("float32", "bf16")
    )
    exact, found = plain(IMAGES), reduced(IMAGES)
    assert found.dtype == torch.float32 and not torch.equal(exact, found)
    assert (exact - found).abs().max() < 0.05 * exact.abs().max()
    assert reduced.identity["tag"] == plain.identity["tag"] + "+bf16"
    assert reduced.identity["weights_sha256"] == plain.identity["weights_sha256"]
    with pytest.raises(BackboneError, match="backbone_precision is for timm backbones"):
        build_extractor(FeatureOptions(backbone="filterbank", backbone_precision="bf16"), device="cpu")
