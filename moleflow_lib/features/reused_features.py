"""Features that an earlier file of the same product holds: groups of images that were extracted together."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from moleflow_lib.errors import ArtifactError
from moleflow_lib.storage.artifacts import load_artifact

__all__ = ["Group", "earlier_groups", "groups_of"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """What is kept of images that went through the network at once."""

    patches: torch.Tensor  # (B, H, W, D) float16, memory-mapped
    seconds: float  # that their extraction took


def groups_of(contents: Sequence[str], at_most: int) -> list[slice]:
    """Where images in a row are cut into groups that go through the network at once.

    A group ends behind an image whose own hash says so (one in `at_most`), and where it is full. So the cuts
    follow from the images, and one image more changes the group that it falls into and none far from it.

    Args:
        contents: the SHA-256 of each image.
        at_most: images of a full group.

    >>> groups_of(["0a", "0b", "0c", "0d"], 3)
    [slice(0, 3, None), slice(3, 4, None)]
    >>> groups_of(["0f", "0a", "0b", "0c", "0d"], 3)  # 0x0f is a multiple of 3
    [slice(0, 1, None), slice(1, 4, None), slice(4, 5, None)]
    """
    cuts = [0]
    for place, sha256 in enumerate(contents, start=1):
        if place - cuts[-1] == at_most or int(sha256, 16) % at_most == 0 or place == len(contents):
            cuts.append(place)
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def earlier_groups(
    folder: Path, stem: str, made_by: Mapping[str, object], at_most: int, wanted: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], Group]:
    """The wanted groups that earlier files hold, each of the very same images in the same order.

    Files of another backbone, made in other circumstances, or damaged ones are passed over: then the images
    are extracted.

    Args:
        folder: of the features.
        stem: what the files' names begin with.
        made_by: what their manifests must say of backbone and circumstances.
        at_most: images that went through the network at once.
        wanted: the SHA-256 of each image of each group.
    """
    missing = set(wanted)
    found: dict[tuple[str, ...], Group] = {}
    for file in sorted(folder.glob(f"{glob.escape(stem)}-{'[0-9a-f]' * 12}.json")):
        if not missing:
            break
        try:
            tensors, manifest = load_artifact(file.with_suffix(""), expect=made_by)
        except ArtifactError:
            continue
        for place in groups_of(manifest["sha256"], at_most):
            group = tuple(manifest["sha256"][place])
            if group in missing:
                seconds = len(group) / manifest["images_per_second"]
                found[group] = Group(patches=tensors["patches"][place], seconds=seconds)
                missing.discard(group)
    return found
