"""The gallery of scored images: one page for people, usable however many there are."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from moleflow_lib.errors import counted
from moleflow_lib.inference import DECISIONS, LearnedDetector
from moleflow_lib.reporting.figures.sheets import data_address
from moleflow_lib.reporting.scores.gallery import (
    ACCEPTED,
    ACCEPTED_WORDS,
    ROWS,
    Gallery,
    limit_rows,
    suspicion,
)
from moleflow_lib.reporting.scores.plan import Plan
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.thresholds import trained_warning
from moleflow_lib.rows import Row

__all__ = ["scores_page"]

_PICTURES = 200  # on the page
_ERRORS = 500  # on the page
_THUMB = 96  # side of a picture on the page, pixels
_COLUMNS = {
    "name": "image",
    "task": "task",
    "decision": "decision",
    "accepted": "accepted",
    "score": "score",
    "threshold": "threshold",
    "smallest_rate": "rate",
    "rank": "rank",
    "margin": "margin",
}


def scores_page(plan: Plan, learned: LearnedDetector) -> str:
    """The gallery, most suspicious first: by the rate at which each image would be flagged.

    Args:
        plan: all of it scored.
        learned: what scored it.
    """
    counts = Counter(str(row["decision"] or "failed") for row in plan.rows())
    refused = sum(row["accepted"] is False for row in plan.rows())
    good = heapq.nsmallest(ROWS, (row for row in plan.rows() if not row["error"]), key=suspicion)
    errors = heapq.nsmallest(_ERRORS, (row for row in plan.rows() if row["error"]), key=_name)
    rate = plan.request.false_alarm_rate
    drawn = [place for place, row in enumerate(good) if row["heat_map"]][:_PICTURES]
    failed = f"{counted(counts['failed'], 'image')} could not be scored"
    trained = trained_warning(learned.trained_thresholds())
    return Gallery(
        title=f"scores of {counted(counts.total(), 'image')}",
        lead=f"{counts['defective']} defective, {counts['unknown']} unknown, {counts['normal']} normal, "
        f"{counts['failed']} could not be scored. {refused} accepted by no task, whatever the decision. "
        f"False-alarm rate asked for: {number(100 * rate, 1)} %.",
        alert=f"{failed}; see Errors." if counts["failed"] else "",
        notes=[trained] if trained else [],
        left_out=_left_out(len(good), counts.total() - counts["failed"]),
        filters={"task": learned.tasks, "decision": DECISIONS, "accepted": ACCEPTED},
        columns=_COLUMNS,
        picture_head="picture",
        caption=_caption(plan, learned, len(drawn), len(good)),
        rows=good,
        pictures={place: _thumbnail(plan.request.out / str(good[place]["heat_map"])) for place in drawn},
        limits=limit_rows(learned, rate),
        errors=errors,
        failed=counts["failed"],
    ).html()


def _left_out(shown: int, scored: int) -> str:
    if shown == scored:
        return ""
    rest = counted(scored - shown, "further image")
    return (
        f"This page holds the {shown} most suspicious images; {rest} left out. "
        "scores.csv and scores.json hold all."
    )


def _caption(plan: Plan, learned: LearnedDetector, drawn: int, shown: int) -> Sequence[str]:
    """How to read the table."""
    asked = {
        "none": "No heat maps were asked for.",
        "flagged": "Heat maps were asked for of images that are not called normal.",
        "all": "",
    }
    return [
        "Most suspicious first. Left the image as the backbone sees it, right its map: colours run from the "
        "median of the task's normal training maps to twice as far as their maximum, alike for all images of "
        "a task.",
        ACCEPTED_WORDS,
        f"Score and threshold: {learned.config.score.image_unit}.",
        "Rate: the smallest false-alarm rate at which the image would count as defective.",
        "Rank: share of the task's training images that score lower.",
        "Margin: distance to the nearest other task over the distance to this one.",
        asked[plan.request.heat_maps],
        f"Rows with pictures: {drawn}; all heat maps are in maps/." if 0 < drawn < shown else "",
    ]


def _name(row: Row) -> str:
    return str(row["name"])


def _thumbnail(path: Path) -> str:
    """A heat map made small, as a data address."""
    with Image.open(path) as picture:
        thumbnail = picture.resize((2 * _THUMB, _THUMB), Image.Resampling.BILINEAR)
        return data_address(np.asarray(thumbnail), quality=80)
