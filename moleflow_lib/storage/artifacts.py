"""Stored results: tensors in safetensors, facts in JSON, written whole or not at all, read only if intact.

An artifact is a pair `<name>.safetensors` and `<name>.json`. The manifest is written last, so an
artifact without one does not exist; it holds the tensors' SHA-256, its own, and everything the caller needs
to decide whether the artifact is the one wanted.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from moleflow_lib.errors import ArtifactError
from moleflow_lib.storage.disk import read_json, reading, write_bytes, write_json
from moleflow_lib.storage.keys import digest, file_sha256, file_stem

__all__ = [
    "SCHEMA_VERSION",
    "artifact_exists",
    "group_of",
    "joined_groups",
    "kept_artifact",
    "load_artifact",
    "save_artifact",
    "stream_artifact",
    "tensors_sha256",
]

SCHEMA_VERSION = 1


def tensors_sha256(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, in order of their names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return total.hexdigest()


def joined_groups(groups: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Tensors of several groups as one mapping, each under `<group>/<name>`."""
    return {f"{group}/{name}": tensor for group, state in groups.items() for name, tensor in state.items()}


def group_of(tensors: Mapping[str, torch.Tensor], group: str) -> dict[str, torch.Tensor]:
    """One of the groups that `joined_groups` joined.

    >>> group_of(joined_groups({"a": {"x": torch.zeros(1)}, "b": {"x": torch.ones(1)}}), "b")
    {'x': tensor([1.])}
    """
    start = f"{group}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def save_artifact(path: Path, tensors: Mapping[str, torch.Tensor], manifest: Mapping[str, object]) -> None:
    """Store tensors and their manifest.

    Args:
        path: the artifact's name without suffix.
        tensors: name to tensor, any device; stored as they are.
        manifest: JSON-able facts; `schema`, `tensors_file_sha256` and `manifest_sha256` are added.

    Raises:
        DiskError: it cannot be written.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_bytes(_tensor_file(path), data)
    _write_manifest(path, hashlib.sha256(data).hexdigest(), manifest)


def stream_artifact(
    path: Path,
    name: str,
    shape: tuple[int, ...],
    chunks: Iterable[torch.Tensor],
    manifest: Callable[[], Mapping[str, object]],
) -> None:
    """Store one float16 tensor as its rows are made: the file `save_artifact` writes, without holding it all.

    Args:
        path: the artifact's name without suffix.
        name: of the tensor.
        shape: of the whole.
        chunks: its rows in order; nothing is left on disk if they end with an error.
        manifest: gives the facts once all rows are written.

    Raises:
        ArtifactError: the rows are more or fewer than the shape says.
    """
    total = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        """The file from its first byte to its last, hashed as it goes."""
        size = 2 * math.prod(shape)
        facts = {name: {"dtype": "F16", "shape": list(shape), "data_offsets": [0, size]}}
        header = json.dumps(facts, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        written = 0
        for piece in chain([len(header).to_bytes(8, "little"), header], map(_raw, chunks)):
            total.update(piece)
            written += len(piece)
            yield piece
        if written != 8 + len(header) + size:
            raise ArtifactError(f"{path}: expected {size} bytes of {name}, got {written - 8 - len(header)}")

    write_bytes(_tensor_file(path), pieces())
    _write_manifest(path, total.hexdigest(), manifest())


def _write_manifest(path: Path, tensors_file_sha256: str, manifest: Mapping[str, object]) -> None:
    facts = {"schema": SCHEMA_VERSION, "tensors_file_sha256": tensors_file_sha256, **manifest}
    write_json(_manifest_file(path), {**facts, "manifest_sha256": digest(facts)})


def artifact_exists(path: Path) -> bool:
    """Whether an artifact was stored whole under this name."""
    return _manifest_file(path).is_file() and _tensor_file(path).is_file()


def load_artifact(
    path: Path, *, expect: Mapping[str, object] | None = None
) -> tuple[dict[str, torch.Tensor], dict]:
    """Load an artifact, memory-mapped, after checking that it is intact and the one expected.

    Args:
        path: the artifact's name without suffix.
        expect: manifest entries that must be equal.

    Returns:
        The tensors by name, and the manifest.

    Raises:
        ArtifactError: damaged, of another schema, or made for something else.
        DiskError: it cannot be read.
    """
    manifest = read_json(_manifest_file(path))
    if manifest.get("schema") != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema {manifest.get('schema')}, expected {SCHEMA_VERSION}; delete it and run again"
        )
    facts = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    if manifest.get("manifest_sha256") != digest(facts):
        raise ArtifactError(
            f"{_manifest_file(path)} is damaged, or of an earlier version: its entries do not have the "
            "recorded SHA-256; delete it and run again"
        )
    wrong = [
        f"{key}: expected {value!r}, found {manifest.get(key)!r}"
        for key, value in (expect or {}).items()
        if manifest.get(key) != value
    ]
    if wrong:
        raise ArtifactError(
            f"{path} was made for something else: {'; '.join(wrong)}; use another --out or delete it"
        )
    if file_sha256(_tensor_file(path)) != manifest["tensors_file_sha256"]:
        raise ArtifactError(
            f"{_tensor_file(path)} is damaged: its SHA-256 is not the recorded one; delete it and run again"
        )
    try:
        with reading(_tensor_file(path)), safe_open(_tensor_file(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, manifest
    except SafetensorError as error:
        raise ArtifactError(f"{_tensor_file(path)} is not a safetensors file ({error}); delete it") from error


def kept_artifact(
    folder: Path,
    name: str,
    made_from: object,
    make: Callable[[], tuple[Mapping[str, torch.Tensor], Mapping[str, object]]],
) -> tuple[dict[str, torch.Tensor], dict]:
    """Read an artifact back if it was stored before, else make and store it first.

    Args:
        folder: where it lies.
        name: what its file's name begins with.
        made_from: JSON-able values of all it depends on; their digest is its key.
        make: gives tensors and manifest; called only if nothing is stored under the key.

    Returns:
        Tensors and manifest as `load_artifact` gives them, the same when made and when read back.

    Raises:
        ArtifactError: what is stored is damaged.
    """
    key = digest(made_from)
    path = folder / f"{file_stem(name)}-{key[:16]}"
    if not artifact_exists(path):
        tensors, facts = make()
        save_artifact(path, tensors, {"key": key, **facts})
    return load_artifact(path, expect={"key": key})


def _tensor_file(path: Path) -> Path:
    return path.with_name(path.name + ".safetensors")


def _manifest_file(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _raw(chunk: torch.Tensor) -> bytes:
    """The bytes of a float16 tensor."""
    return chunk.detach().to("cpu", torch.float16).contiguous().numpy().tobytes()
