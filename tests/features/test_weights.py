"""Weights files as people have them load; what is none is named for what it is."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from moleflow_lib.errors import BackboneError
from moleflow_lib.features.backbones import load_timm
from moleflow_lib.features.extractor import PatchExtractor
from moleflow_lib.features.half_precision import beyond_float16

TAG = "test_vit"  # timm's own smallest models, for tests
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def whole() -> State:
    torch.manual_seed(3)
    return timm.create_model(TAG, pretrained=False).state_dict()


def _prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _headless(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


KNOWN: dict[str, Callable[[State], object]] = {
    "as it is": lambda state: state,
    "no classifier": _headless,
    "a second classifier": lambda state: {**state, "fc.weight": torch.ones(2, 2)},
    "under model": lambda state: {"model": state, "epoch": 3},
    "under state_dict, below model": lambda state: {"state_dict": {"model": state}, "args": {"lr": 1.0}},
    "from a wrapper": lambda state: _prefixed(state, "module."),
    "from a trainer": lambda state: {
        "state_dict": {**_prefixed(state, "net.backbone."), "loss.weight": torch.ones(2)},
        "optimizer": {"lr": 0.1},
    },
}


@pytest.mark.parametrize("how", KNOWN)
def test_the_right_model_loads_however_it_was_saved(tmp_path: Path, whole: State, how: str) -> None:
    torch.save(KNOWN[how](whole), tmp_path / "weights.pth")
    loaded = load_timm(TAG, tmp_path / "weights.pth", None).state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in loaded.items())


def test_the_format_is_told_by_content(tmp_path: Path, whole: State) -> None:
    save_file(whole, tmp_path / "weights.bin")
    torch.save(whole, tmp_path / "weights.safetensors")
    for name in ("weights.bin", "weights.safetensors"):
        loaded = load_timm(TAG, tmp_path / name, None).state_dict()
        assert torch.equal(loaded["norm.weight"], whole["norm.weight"])


class Foreign:
    """Something that only pickle can bring back."""


WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "list": (lambda state: list(state.values()), "holds a list, not tensors by name"),
    "tensor": (lambda state: torch.zeros(3), "holds a Tensor, not tensors by name"),
    "number": (lambda state: 3, "holds a int, not tensors by name"),
    "empty": (lambda state: {}, "holds no tensors"),
    "no tensors": (lambda state: {"epoch": 3}, "holds no tensors, but epoch"),
    "object": (lambda state: {"model": Foreign()}, "holds more than tensors"),
    "another model": (lambda state: {"layers.0.weight": torch.zeros(2)}, "of another model than test_vit"),
    "a part": (
        lambda state: {k: v for k, v in state.items() if "norm" in k},
        "of another model than test_vit",
    ),
    "another shape": (
        lambda state: {**state, "pos_embed": torch.ones(1, 3, 64)},
        "of another model than test_vit",
    ),
    "two models": (
        lambda state: {**_prefixed(state, "student."), **_prefixed(state, "teacher.")},
        "holds 2 models, under student. and teacher.",
    ),
    "whole numbers": (
        lambda state: {k: (v * 100).to(torch.int8) for k, v in state.items()},
        r"whole numbers \(int8\)",
    ),
    "zero": (lambda state: {k: torch.zeros_like(v) for k, v in state.items()}, "weights that are zero"),
    "not finite": (
        lambda state: {**state, "norm.weight": state["norm.weight"] / 0},
        "not finite, e.g. in norm.weight",
    ),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_no_such_model_is_named(tmp_path: Path, whole: State, how: str) -> None:
    make, told = WRONG[how]
    torch.save(make(whole), tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match=told) as caught:
        load_timm(TAG, tmp_path / "weights.pth", None)
    assert str(tmp_path / "weights.pth") in str(caught.value) and "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (gzip.compress(b"weights"), "gzip"),
        (b"", "neither safetensors nor a file of torch.save"),
        (b"PK\x03\x04" + bytes(50), "damaged or cut off"),
        (b"\x80\x02" + bytes(50), "damaged or cut off|more than tensors"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00{}", "neither safetensors"),
    ],
)
def test_files_that_hold_no_weights(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(BackboneError, match=told) as caught:
        load_timm(TAG, tmp_path / "model.safetensors", None)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        (1e6, "beyond the 65504 of float16"),
        (1e-7, "below the 6.1e-05 of float16"),
        (float("nan"), "not finite"),
    ],
)
def test_features_that_float16_cannot_hold_are_told_before_anything_runs(factor: float, told: str) -> None:
    class Network(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.permute(0, 2, 3, 1)[:, ::8, ::8] * factor

    with pytest.raises(BackboneError, match=f"{told}.*"):
        PatchExtractor(Network(), "made", 32)
    assert beyond_float16(torch.zeros(3)) == "", "a black image may give nothing but zeros"
