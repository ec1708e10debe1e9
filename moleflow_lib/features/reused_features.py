"""Features that an earlier file of the same product holds: groups of images that were extracted together."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from moleflow_lib.errors import ArtifactError
from moleflow_lib.storage.artifacts import load_artifact

__all__ = ["Group", "earlier_groups", "grouped"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is kept of images that went through the network at once."""

    patches: torch.Tensor  # (B, H, W, D) float16, memory-mapped
    seconds: float  # that their extraction took


def grouped(items: Sequence[T], together: int) -> list[tuple[T, ...]]:
    """Items in groups, the last one smaller where they do not divide.

    >>> grouped("abcde", 2)
    [('a', 'b'), ('c', 'd'), ('e',)]
    """
    return [tuple(items[start : start + together]) for start in range(0, len(items), together)]


def earlier_groups(
    folder: Path, stem: str, identity: Mapping[str, object], together: int, wanted: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], Group]:
    """The wanted groups that earlier files hold, each of the very same images in the same order.

    Files of another backbone, of another grouping or damaged ones are passed over: then the images are
    extracted.

    Args:
        folder: of the features.
        stem: what the files' names begin with.
        identity: of the backbone.
        together: images that went through the network at once.
        wanted: the SHA-256 of each image of each group.
    """
    missing = set(wanted)
    found: dict[tuple[str, ...], Group] = {}
    for file in sorted(folder.glob(f"{glob.escape(stem)}-{'[0-9a-f]' * 12}.json")):
        if not missing:
            break
        try:
            tensors, manifest = load_artifact(
                file.with_suffix(""), expect={"identity": identity, "together": together}
            )
        except ArtifactError:
            continue
        patches = tensors["patches"]
        for place, group in enumerate(grouped(manifest["sha256"], together)):
            if group in missing:
                own = patches[place * together : place * together + len(group)]
                found[group] = Group(patches=own, seconds=len(group) / manifest["images_per_second"])
                missing.discard(group)
    return found
