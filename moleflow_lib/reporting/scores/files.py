"""From photos to a folder of results."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.errors import RunError, counted, problem_list
from moleflow_lib.inference.images import named_images
from moleflow_lib.reporting.scores.chunks import score_elsewhere, score_here
from moleflow_lib.reporting.scores.page import scores_page
from moleflow_lib.reporting.scores.plan import Photo, Plan, opened_plan
from moleflow_lib.reporting.scores.request import ScoreRequest
from moleflow_lib.reporting.scores.tables import write_csv, write_json_rows
from moleflow_lib.reporting.text.thresholds import trained_warning
from moleflow_lib.storage.disk import write_bytes, writing

__all__ = ["write_scores"]


def write_scores(
    request: ScoreRequest, photos: str | Path | Sequence[str | Path], scheduler: str = ""
) -> tuple[Counter[str], int]:
    """Score photos and write `scores.csv`, `scores.json`, `scores.html`, and heat maps to `maps`.

    A heat map is the image beside itself under its map. Its colours run from the median of the chosen task's
    maps of normal training images to twice as far as their maximum, so a colour means the same on every image
    of a task, whatever else is scored.

    An interrupted call leaves `unfinished` in the folder; the same call continues with the chunks that are
    missing. Whatever the number of photos, two batches and a chunk of rows are in memory, and the names.

    Args:
        request: how, by which detector, and where to.
        photos: a folder, a file, or several of them; see `named_images`.
        scheduler: address of a Dask scheduler, whose workers score instead, each chunk as it would be here;
            they must see the photos, the run and the results under the same paths.

    Returns:
        How many images got each decision and how many `failed`, and how many no task accepts, whatever the
        decision.

    Raises:
        ConfigError: the folder holds something else, the scheduler does not answer, an unknown task, or a
            rate that is no share.
        DataError: there is no image.
        ArtifactError: something cannot be written.
        RunError: workers could not score some chunks; the others are kept.
    """
    learned = request.detector()
    learned.thresholds(request.false_alarm_rate)
    if request.task is not None:
        learned.task_index(request.task)
    plan = opened_plan(request, _absolute(photos))
    _warn(request)
    _score(plan, scheduler)
    out = request.out
    with writing(out):
        write_csv(plan, out / "scores.csv")
        write_json_rows(plan, learned, out / "scores.json")
        write_bytes(out / "scores.html", scores_page(plan, learned).encode())
    counts = Counter(str(row["decision"] or "failed") for row in plan.rows())
    refused = sum(row["accepted"] is False for row in plan.rows())
    plan.finish()
    return counts, refused


def _warn(request: ScoreRequest) -> None:
    """Say which thresholds cannot be relied on, once the request is known to be sound."""
    learned = request.detector()
    rate = learned.rate_warning(request.false_alarm_rate, request.task)
    for told in filter(None, (rate, trained_warning(learned.trained_thresholds()))):
        print(f"moleflow_lib: {told}", file=sys.stderr)


def _absolute(photos: str | Path | Sequence[str | Path]) -> list[Photo]:
    """The photos' names, and their files under paths that mean the same everywhere."""
    return [Photo(name=image.name, path=Path(str(image.source)).absolute()) for image in named_images(photos)]


def _score(plan: Plan, scheduler: str) -> None:
    pending = plan.pending()
    left = sum(len(chunk.photos) for chunk in pending)
    total = sum(len(chunk.photos) for chunk in plan.chunks)
    if left < total:
        print(
            f"moleflow_lib: {total - left} of {counted(total, 'image')} were scored before", file=sys.stderr
        )
    if pending and not scheduler:
        score_here(pending)
    elif pending:
        _refuse_lost(plan, score_elsewhere(pending, scheduler))


def _refuse_lost(plan: Plan, failures: dict[str, str]) -> None:
    lost = plan.pending()
    if not lost:
        return
    left = f"its rows were not left in {plan.request.out}, which all workers must share"
    raise RunError(
        problem_list(
            f"{len(lost)} of {len(plan.chunks)} chunks of images were not scored; the others are kept, and "
            "the same command continues with these:",
            [f"images from {chunk.photos[0].name} on: {failures.get(chunk.key, left)}" for chunk in lost],
        )
    )
