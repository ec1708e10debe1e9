"""Weights files as people have them: the tensors in them, by the names that a model gives them.

A training checkpoint nests them under `model` or `state_dict`, a wrapper puts a prefix before every name, a
classifier is there or not. All that is seen through; what is no weights file, or of another model, is named.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from moleflow_lib.errors import BackboneError
from moleflow_lib.storage.disk import reading

__all__ = ["fit_weights", "load_weights"]

_NESTED = ("state_dict", "model", "model_state_dict", "module", "net", "weights")
_HEADS = ("head.", "heads.", "head_dist.", "fc.", "classifier.", "aux_classifier.")
_FOREIGN = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"<", "is a web page or XML; download the file itself"),
    (b"\x1f\x8b", "is packed with gzip; unpack it"),
    (b"GGUF", "is a GGUF file"),
    (b"\x89HDF", "is a Keras (HDF5) file"),
)


def load_weights(model: nn.Module, path: Path, tag: str) -> None:
    """Load a file's tensors into a model; every tensor of the model must be there and fit.

    Args:
        model: without its classifier.
        path: safetensors, or a file of `torch.save` that holds nothing but tensors in dicts.
        tag: the model's name, for messages.

    Raises:
        BackboneError: no weights file, of another model, or not usable; says which.
        DiskError: it cannot be read.
    """
    state = _named_alike(_tensors(path, tag), model.state_dict(), path, tag)
    fit_weights(model, state, tag, str(path))


def fit_weights(model: nn.Module, state: dict[str, torch.Tensor], tag: str, whence: str) -> None:
    """Load tensors into a model; a classifier among them is left out, all else must be there and fit.

    Args:
        model: without its classifier.
        state: tensors under the model's names.
        tag: the model's name, for messages.
        whence: where they come from, for messages.

    Raises:
        BackboneError: of another model, or not usable; says which.
    """
    expected = model.state_dict()
    named = dict(getattr(model, "pretrained_cfg", {})).get("classifier") or ()
    heads = tuple(f"{head}." for head in ((named,) if isinstance(named, str) else named))
    state = {
        name: tensor
        for name, tensor in state.items()
        if name in expected or not name.startswith((*heads, *_HEADS))
    }
    if told := _unusable(state, expected):
        raise BackboneError(f"{whence} {told}; expected the trained weights of {tag}")
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise BackboneError(
            f"{whence} holds weights of another model than {tag}: {str(error)[:600]}"
        ) from error


def _tensors(path: Path, tag: str) -> dict[str, torch.Tensor]:
    """Tensors by name, wherever a file keeps them."""
    with reading(path), path.open("rb") as file:
        start = file.read(64)
    wanted = f"expected model.safetensors of timm/{tag}, or a .pth with its state_dict"
    for magic, told in _FOREIGN:
        if start.lstrip().startswith(magic):
            raise BackboneError(f"{path} {told}; {wanted}")
    found: object = _unpickled(path, wanted) if start.startswith((b"PK", b"\x80")) else _safe(path, wanted)
    for _ in range(3):
        found = _inner(found)
    if not isinstance(found, Mapping):
        raise BackboneError(f"{path} holds a {type(found).__name__}, not tensors by name; {wanted}")
    tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        names = ", ".join(map(str, list(found)[:5])) or "nothing"
        raise BackboneError(f"{path} holds no tensors, but {names}; {wanted}")
    return tensors


def _inner(value: object) -> object:
    """What a checkpoint holds under a name that stands for its weights; itself if there is none."""
    if not isinstance(value, Mapping):
        return value
    tables = (value[key] for key in _NESTED if isinstance(value.get(key), Mapping))
    return next(tables, value)


def _safe(path: Path, wanted: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise BackboneError(
            f"{path} is neither safetensors nor a file of torch.save, or it is cut off ({error}); {wanted}"
        ) from error


def _unpickled(path: Path, wanted: str) -> object:
    try:
        with path.open("rb") as file:  # of a path, torch believes the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its text advises to load whatever the file holds: never do
        raise BackboneError(
            f"{path} holds more than tensors, such as a whole model or its optimiser, and loading that could "
            f"run code; save its state_dict() alone, best as safetensors; {wanted}"
        ) from error
    except Exception as error:  # damaged files raise a dozen kinds
        raise BackboneError(
            f"{path} cannot be read as weights, it is damaged or cut off ({type(error).__name__}); {wanted}"
        ) from error


def _named_alike(
    tensors: dict[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path, tag: str
) -> dict[str, torch.Tensor]:
    """Tensors under the model's names, a prefix before all of them taken away."""
    counts: dict[str, int] = {}
    for name in tensors:
        parts = name.split(".")
        for k in range(len(parts)):
            if ".".join(parts[k:]) in expected:
                prefix = "".join(f"{part}." for part in parts[:k])
                counts[prefix] = counts.get(prefix, 0) + 1
    if not counts:
        raise BackboneError(
            f"{path} holds weights of another model than {tag}: no tensor has a name of it, they are called "
            f"{', '.join(list(tensors)[:3])}, …"
        )
    most = max(counts.values())
    best = [prefix for prefix, count in counts.items() if count == most]
    if len(best) > 1 and most > 1:
        raise BackboneError(
            f"{path} holds {len(best)} models, under {' and '.join(best)}; save the one that is meant alone"
        )
    prefix = best[0]
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _unusable(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """Why values cannot be the trained weights of anything; "" if they can."""
    learned = [name for name in state if name in expected and expected[name].is_floating_point()]
    if whole := [name for name in learned if not state[name].is_floating_point()]:
        kind = str(state[whole[0]].dtype).removeprefix("torch.")
        return f"holds whole numbers ({kind}) where weights belong, e.g. {whole[0]}: it may be quantised"
    if strange := [name for name in learned if not state[name].isfinite().all()]:
        return f"holds values that are not finite, e.g. in {strange[0]}"
    matrices = [name for name in learned if state[name].ndim > 1]
    if matrices and 2 * sum(not state[name].any() for name in matrices) > len(matrices):
        return "holds weights that are zero: they were never trained, or the file was not filled"
    return ""
