"""Scoring chunks of images, here one after another or by Dask workers; each is kept when it is whole."""

from __future__ import annotations

import re
import socket
import threading
import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from moleflow_lib.errors import ArtifactError, FalseAlarmRateWarning, MoLEFlowError
from moleflow_lib.inference import LearnedDetector, ScoredImage
from moleflow_lib.inference.images import NamedImage
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.figures.heat_maps import photo_and_map
from moleflow_lib.reporting.figures.style import composed, png_bytes
from moleflow_lib.reporting.scores.plan import Chunk, state_of
from moleflow_lib.reporting.scores.request import made_by
from moleflow_lib.runtime import progress, quiet, threads
from moleflow_lib.storage.disk import read_json, write_bytes, write_json
from moleflow_lib.studies.ablation.cluster import Cluster

__all__ = ["carry_out", "score_elsewhere", "score_here"]

_ONE_AT_A_TIME = threading.Lock()  # a flow holds one task's parts at a time


def score_here(chunks: Sequence[Chunk]) -> None:
    """Score chunks one after another in one stream, so that reading never waits for a chunk to end.

    Raises:
        ArtifactError: something cannot be written; the chunks before it are kept.
    """
    request = chunks[0].request
    learned = request.detector()
    images = [NamedImage(name=photo.name, source=photo.path) for chunk in chunks for photo in chunk.photos]
    # as many threads as the plan says: their number can move the last bit of a score
    with threads(int(read_json(request.plan)["threads"])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FalseAlarmRateWarning)  # the command has said so, once
            stream = learned.score_stream(
                images, task=request.task, false_alarm_rate=request.false_alarm_rate
            )
        for chunk in chunks:
            _keep(chunk, learned, islice(stream, len(chunk.photos)))


def score_elsewhere(chunks: Sequence[Chunk], scheduler: str) -> dict[str, str]:
    """Have chunks scored by the workers of a Dask scheduler; all must see the same files.

    Returns:
        Key of each chunk that failed, and why.

    Raises:
        ConfigError: the scheduler does not answer, or Dask is missing.
    """
    sizes = {chunk.key: len(chunk.photos) for chunk in chunks}
    failures = {}
    cluster = Cluster(scheduler)
    try:
        with progress((), "scoring", total=sum(sizes.values()), unit="image") as bar:
            for key, problem in cluster.outcomes(chunks, carry_out):
                failures |= {key: problem} if problem else {}
                bar.update(sizes[key])
    finally:
        cluster.close()
    return failures


def carry_out(chunk: Chunk) -> tuple[str, str]:
    """Score one chunk in a worker and keep it; one that is kept already is not scored again.

    Returns:
        Its key, and what went wrong, empty if nothing: no error is raised, so one chunk's failure leaves the
        others alone.
    """
    try:
        with _ONE_AT_A_TIME, quiet():
            _check_place(chunk)
            if not chunk.path.is_file():
                score_here([chunk])
        return chunk.key, ""
    except MoLEFlowError as error:
        return chunk.key, f"{type(error).__name__}: {error}"
    except Exception as error:  # a chunk's failure is reported, not raised
        return chunk.key, f"{socket.gethostname()}: {type(error).__name__}: {error}"


def _check_place(chunk: Chunk) -> None:
    """Refuse to work where other files are seen than the machine that gave the command sees."""
    host = socket.gethostname()
    if not chunk.request.plan.is_file():
        raise ArtifactError(
            f"{host} does not see {chunk.request.plan}; every worker must reach --run, --out and the photos "
            "under the same paths, e.g. on a shared file system"
        )
    planned = read_json(chunk.request.plan)
    here = {"detector": chunk.request.detector_sha256(), **made_by()}
    differ = [name for name, value in here.items() if planned[name] != value]
    differ += ["photos"] if state_of(chunk.photos) != chunk.state else []
    if differ:
        raise ArtifactError(
            f"{host} has another {', '.join(differ)} than the machine that gave the command; give all "
            "workers the same environment and files, and leave the files alone while they are scored"
        )


def _keep(chunk: Chunk, learned: LearnedDetector, images: Iterable[ScoredImage]) -> None:
    """Write the heat maps of a chunk, then its rows."""
    rows = []
    for place, image in enumerate(images, chunk.first):
        heat_map = f"maps/{place:06}-{_plain(image.name)}.png" if _is_drawn(chunk, image) else ""
        if heat_map:
            path = chunk.request.out / heat_map
            write_bytes(path, png_bytes(_picture(learned, image)))
        told = {"name": visible(image.name), "error": visible(image.error)}
        rows.append({**image.row(), **told, "heat_map": heat_map})
    write_json(chunk.path, {"rows": rows})


def _is_drawn(chunk: Chunk, image: ScoredImage) -> bool:
    wanted = {"all": True, "flagged": image.decision != "normal", "none": False}
    return image.map is not None and wanted[chunk.request.heat_maps]


def _picture(learned: LearnedDetector, image: ScoredImage) -> np.ndarray:
    """The image, and the image under its map."""
    return composed([photo_and_map(learned, image)], 2, learned.config.score.eval_size)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", Path(name).stem)[-60:]
