"""What is to be scored, in chunks, and what of it was scored before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.reporting.scores.request import ScoreRequest
from moleflow_lib.storage.disk import UNFINISHED, read_json, write_json, writing
from moleflow_lib.storage.keys import digest

__all__ = ["Chunk", "Photo", "Plan", "opened_plan", "state_of"]

_CHUNK = 64  # images: whole batches, so that a GPU rounds alike wherever they are scored


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A file to be scored, its path absolute, and the name that its result carries."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some photos that are scored together.

    Attributes:
        request: how.
        first: position of the first photo among all.
        photos: what is scored.
        state: of their files when they were planned, see `state_of`.
    """

    request: ScoreRequest
    first: int
    photos: tuple[Photo, ...]
    state: str
    name = "scores"  # where jobs are listed

    @property
    def key(self) -> str:
        """The position of its first photo."""
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


def opened_plan(request: ScoreRequest, photos: Sequence[Photo]) -> Plan:
    """Begin a folder of results, or continue one whose scoring was interrupted.

    Args:
        request: its `out` is new, empty, or left by the same request for the same photos.
        photos: all that is to be scored.

    Raises:
        ConfigError: the folder holds something else.
        ArtifactError: it cannot be written.
    """
    chunks = [_chunk(request, photos, first) for first in range(0, len(photos), _CHUNK)]
    wanted = {**request.asked(), "photos": digest([chunk.state for chunk in chunks])}
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


def state_of(photos: Sequence[Photo]) -> str:
    """A hash over names, sizes and times of files, which tells whether two machines see the same ones."""
    return digest([[photo.name, *_size_and_time(photo.path)] for photo in photos])


def _begin(request: ScoreRequest, wanted: dict[str, object]) -> None:
    if any(entry != request.plan.parent for entry in request.out.iterdir()):
        raise ConfigError(
            f"--out {request.out} holds something already; expected a new or empty folder, or one that an "
            "interrupted `score` left; choose another, or delete it"
        )
    write_json(request.plan, {"kind": "unfinished scores", "threads": torch.get_num_threads(), **wanted})


def _chunk(request: ScoreRequest, photos: Sequence[Photo], first: int) -> Chunk:
    own = tuple(photos[first : first + _CHUNK])
    return Chunk(request=request, first=first, photos=own, state=state_of(own))


def _size_and_time(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), found.st_size, found.st_mtime_ns
