"""A page of scored images: a table with pictures that sorts and filters, for people, in one closed file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from moleflow_lib.inference import LearnedDetector
from moleflow_lib.reporting.pages.index import page_environment
from moleflow_lib.reporting.pages.report import TEMPLATES, page_css
from moleflow_lib.reporting.tables import number
from moleflow_lib.rows import Row, Rows

__all__ = ["ACCEPTED", "ACCEPTED_WORDS", "ROWS", "Gallery", "limit_rows", "suspicion"]

ROWS = 5000  # on a page; all images are in the CSV file beside it
ACCEPTED = ("yes", "no")  # how `accepted` is shown; a dash where a task cannot tell
ACCEPTED_WORDS = (
    "Defective: above the threshold. Not accepted: farther from the task than its own held-out training "
    "images, so another product or a strong defect; unknown, if the score is below the threshold."
)
_WORDS = ("name", "decision")  # columns with a look of their own


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What a page shows.

    Attributes:
        title: of the page.
        lead: how many images of which kind.
        alert: what must not be overlooked; empty if nothing.
        notes: further sentences above the table.
        left_out: which images the table leaves out; empty if none.
        filters: key of a row → its values, one choice each.
        columns: key of a row → head.
        picture_head: head of the column of pictures.
        caption: sentences that say how to read the table.
        rows: one an image, in the order shown; besides the columns `decision` and `name`.
        pictures: position of a row → its picture as a data address.
        limits: see `limit_rows`.
        bar: a colour bar as a data address; empty if none.
        ends: what its ends mean.
        errors: images that could not be scored, `name` and `error`.
        failed: how many there are, listed or not.
        back: the report that the page belongs to, and `table`, the CSV file beside it; empty if none.
    """

    title: str
    lead: str
    alert: str = ""
    notes: Sequence[str] = ()
    left_out: str = ""
    filters: Mapping[str, Sequence[str]]
    columns: Mapping[str, str]
    picture_head: str
    caption: Sequence[str]
    rows: Rows
    pictures: Mapping[int, str]
    limits: Sequence[Row]
    bar: str = ""
    ends: tuple[str, str] = ("", "")
    errors: Rows = ()
    failed: int = 0
    back: str = ""
    table: str = ""

    def html(self) -> str:
        """The page; its one script is allowed by hash, and whatever it is given stays text."""
        script = "".join((TEMPLATES / name).read_text() for name in ("report.js", "scores.js"))
        facts = {**vars(self), "rows": [self._row(place, row) for place, row in enumerate(self.rows)]}
        return (
            page_environment()
            .get_template("scores.html.j2")
            .render(
                css=Markup(page_css()),
                script=Markup(script),
                script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
                **facts,
            )
        )

    def _row(self, place: int, row: Row) -> dict[str, object]:
        return {
            "decision": row["decision"],
            "picture": self.pictures.get(place, ""),
            "alt": f"{row['name']}: {self.picture_head}",
            "filters": {key: number(row[key]) for key in self.filters},
            "cells": [_cell(key, row[key]) for key in self.columns],
        }


def limit_rows(learned: LearnedDetector, rate: float) -> list[Row]:
    """Threshold of each task, and the false-alarm rate that its training images can promise."""
    calibration = learned.calibration
    return [
        {
            "task": name,
            "threshold": number(threshold),
            "images": len(calibration.tasks[index].scores),
            "folds": calibration.tasks[index].folds,
            "promised": number(100 * max(rate, calibration.smallest_rate(index)), 1),
        }
        for index, (name, threshold) in enumerate(learned.thresholds(rate).items())
    ]


def suspicion(row: Row) -> tuple[float, float, str]:
    """Sorts images, most suspicious first: by the rate at which each would be flagged."""
    return row["smallest_rate"], row["threshold"] - row["score"], str(row["name"])


def _cell(key: str, value: object) -> dict[str, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"kind": "number", "text": number(value), "value": repr(float(value))}
    return {"kind": key if key in _WORDS else "", "text": number(value), "value": ""}
