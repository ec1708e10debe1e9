"""A detector's folder: tensor files named by their content, and a manifest that lists them with their hashes.

A tensor file is written once and never changed, since its name carries its hash. The manifest is exchanged
last and whole, so that a folder holds the old detector or the new one at every moment. Nothing in it names a
path of the machine it was learned on, so it can be moved.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from moleflow_lib.errors import ArtifactError
from moleflow_lib.storage.disk import read_json, write_bytes, write_json

__all__ = [
    "DETECTOR",
    "MANIFEST",
    "SCHEMA",
    "detector_folder",
    "read_manifest",
    "read_tensors",
    "write_manifest",
    "write_tensors",
]

DETECTOR = "detector"  # the folder's name within a run
SCHEMA = 4
_KIND = "moleflow detector"
MANIFEST = "manifest.json"
_PARTS = {  # what a manifest must have, and what each of these must have
    "base": ("file", "sha256"),
    "backbone": ("name", "identity", "key"),
    "config": (),
    "provenance": (),
}
_OF_A_TASK = ("file", "sha256", "name", "key", "history", "limit")


def detector_folder(path: str | Path) -> Path:
    """The folder of a detector, given itself or the run that it lies in.

    Raises:
        ArtifactError: neither lies there.
    """
    given = Path(path)
    for folder in (given, given / DETECTOR):
        if (folder / MANIFEST).is_file():
            return folder
    what = "holds no detector" if given.is_dir() else "is no folder"
    raise ArtifactError(
        f"{given} {what}: expected {DETECTOR}/{MANIFEST} in it, which a finished run leaves "
        "(`python -m moleflow_lib run` with notebook 03, or save_detector(experiment))"
    )


def write_tensors(folder: Path, stem: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Write one tensor file, unless it is there already.

    Args:
        folder: of the detector.
        stem: what the file's name begins with.
        tensors: name to tensor, any device.

    Returns:
        `file` and `sha256`, for the manifest.

    Raises:
        ArtifactError: the file cannot be written.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', stem)[:80]}-{sha256[:12]}.safetensors"
    if not (path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256):
        write_bytes(path, data)
    return {"file": path.name, "sha256": sha256}


def write_manifest(folder: Path, facts: Mapping[str, object], files: Iterable[str]) -> None:
    """Exchange the manifest, then remove tensor files that it no longer lists.

    Args:
        folder: of the detector.
        facts: JSON values; kind and schema are added.
        files: names of the tensor files that belong to it.

    Raises:
        ArtifactError: it cannot be written.
    """
    path = folder / MANIFEST
    write_json(path, {"kind": _KIND, "schema": SCHEMA, **facts})
    kept = set(files)
    for stale in folder.glob("*.safetensors"):
        if stale.name not in kept:
            stale.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict:
    """The manifest of a detector's folder.

    Raises:
        ArtifactError: it is damaged, of something else, or of a schema that this version does not know.
    """
    path = folder / MANIFEST
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("kind") != _KIND:
        raise ArtifactError(f"{path} is not the manifest of a detector; expected kind {_KIND!r} in it")
    schema = manifest.get("schema")
    if schema != SCHEMA:
        raise ArtifactError(
            f"{path} has schema {schema}, this version of moleflow_lib reads {SCHEMA}; save it again "
            "from its run (notebook 03), or use the version that wrote it"
        )
    if missing := _missing(manifest):
        raise ArtifactError(
            f"{path} is damaged, it lacks {', '.join(missing)}; copy the detector folder again"
        )
    return manifest


def read_tensors(folder: Path, entry: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The tensors of one file, on the CPU, after checking that it is the one the manifest lists.

    Args:
        folder: of the detector.
        entry: `file` and `sha256`, from the manifest.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    path = folder / Path(entry["file"]).name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); copy the whole detector folder again"
        ) from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise ArtifactError(
            f"{path} is damaged: its SHA-256 is not the recorded one; copy it again or learn again"
        )
    try:
        return load(data)
    except SafetensorError as error:
        raise ArtifactError(
            f"{path} is not a safetensors file ({error}); copy it again or learn again"
        ) from error


def _missing(manifest: Mapping[str, object]) -> list[str]:
    """Names of entries that a manifest should have and has not, or that are no objects."""
    wanted = [((part,), manifest.get(part), names) for part, names in _PARTS.items()]
    tasks = manifest.get("tasks")
    listed = tasks if isinstance(tasks, list) and tasks else [None]
    wanted += [(("tasks", str(index)), task, _OF_A_TASK) for index, task in enumerate(listed)]
    missing = []
    for where, entry, names in wanted:
        lacking = (
            [(*where, name) for name in names if name not in entry] if isinstance(entry, dict) else [where]
        )
        missing += [".".join(path) for path in lacking]
    return missing
