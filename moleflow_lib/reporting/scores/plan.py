"""What is to be scored, in chunks, and what of it was scored before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from moleflow_lib.artifacts import UNFINISHED, digest, read_json, write_json
from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.inference.folder import writing
from moleflow_lib.inference.images import NamedImage
from moleflow_lib.reporting.scores.request import ScoreRequest

__all__ = ["Chunk", "Plan", "opened_plan", "state_of"]

_CHUNK = 64  # images: whole batches, so that a GPU rounds alike wherever they are scored


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some images that are scored together.

    Attributes:
        request: how.
        first: position of the first image among all.
        images: what is scored, their files under absolute paths.
        state: of their files when they were planned, see `state_of`.
    """

    request: ScoreRequest
    first: int
    images: tuple[NamedImage, ...]
    state: str
    name = "scores"  # where jobs are listed

    @property
    def key(self) -> str:
        """The position of its first image."""
        return f"{self.first:09}"

    @property
    def path(self) -> Path:
        """The file of its rows."""
        return self.request.plan.with_name(f"{self.key}.json")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All chunks in order."""

    request: ScoreRequest
    chunks: Sequence[Chunk]

    def pending(self) -> list[Chunk]:
        """The chunks that are not finished."""
        return [chunk for chunk in self.chunks if not chunk.path.is_file()]

    def rows(self) -> Iterator[dict[str, object]]:
        """One row an image, in order; at most those of a chunk are in memory.

        Raises:
            ArtifactError: the rows of a chunk are not there, or damaged.
        """
        for chunk in self.chunks:
            if not chunk.path.is_file():
                raise ArtifactError(f"{chunk.path} is not there; give the same command again")
            yield from read_json(chunk.path)["rows"]

    def finish(self) -> None:
        """Take away what only an unfinished scoring needs."""
        for folder in (self.request.out, self.request.out / "maps"):
            for stale in folder.glob(f"{UNFINISHED}*"):
                stale.unlink(missing_ok=True)
        shutil.rmtree(self.request.plan.parent, ignore_errors=True)


def opened_plan(request: ScoreRequest, images: Sequence[NamedImage]) -> Plan:
    """Begin a folder of results, or continue one whose scoring was interrupted.

    Args:
        request: its `out` is new, empty, or left by the same request for the same images.
        images: files under absolute paths.

    Raises:
        ConfigError: the folder holds something else.
        ArtifactError: it cannot be written.
    """
    chunks = [_chunk(request, images, first) for first in range(0, len(images), _CHUNK)]
    wanted = {**request.asked(), "images": digest([chunk.state for chunk in chunks])}
    with writing(request.out):
        request.out.mkdir(parents=True, exist_ok=True)
        if not request.plan.is_file():
            _begin(request, wanted)
    known = read_json(request.plan)
    differ = [name for name, value in wanted.items() if known.get(name) != value]
    if differ:
        raise ConfigError(
            f"--out {request.out} holds the unfinished scores of another command (other "
            f"{', '.join(differ)}); give that command again, choose another --out, or delete the folder"
        )
    return Plan(request=request, chunks=chunks)


def state_of(images: Sequence[NamedImage]) -> str:
    """A hash over names, sizes and times of files, which tells whether two machines see the same ones."""
    return digest([[image.name, *_size_and_time(image)] for image in images])


def _begin(request: ScoreRequest, wanted: dict[str, object]) -> None:
    if any(entry != request.plan.parent for entry in request.out.iterdir()):
        raise ConfigError(
            f"--out {request.out} holds something already; expected a new or empty folder, or one that an "
            "interrupted `score` left; choose another, or delete it"
        )
    write_json(request.plan, {"kind": "unfinished scores", "threads": torch.get_num_threads(), **wanted})


def _chunk(request: ScoreRequest, images: Sequence[NamedImage], first: int) -> Chunk:
    own = tuple(images[first : first + _CHUNK])
    return Chunk(request=request, first=first, images=own, state=state_of(own))


def _size_and_time(image: NamedImage) -> tuple[str, int, int]:
    path = os.fspath(image.source)
    try:
        found = os.stat(path)
    except OSError:
        return path, -1, 0
    return path, found.st_size, found.st_mtime_ns
