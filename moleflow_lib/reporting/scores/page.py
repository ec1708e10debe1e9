"""The gallery of scored images: one page for people, usable however many there are."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
from collections import Counter
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from moleflow_lib.inference import DECISIONS, LearnedDetector
from moleflow_lib.reporting.report import TEMPLATES
from moleflow_lib.reporting.scores.plan import Plan
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.thresholds import trained_warning
from moleflow_lib.rows import Row

__all__ = ["scores_page"]

_PICTURES = 200  # on the page
_ROWS = 5000  # on the page; all others are in `scores.csv`
_ERRORS = 500  # on the page
_THUMB = 96  # side of a picture on the page, pixels


def scores_page(plan: Plan, learned: LearnedDetector) -> str:
    """The gallery, most suspicious first: by the rate at which each image would be flagged.

    Args:
        plan: all of it scored.
        learned: what scored it.
    """
    counts = Counter(str(row["decision"] or "failed") for row in plan.rows())
    good = heapq.nsmallest(_ROWS, (row for row in plan.rows() if not row["error"]), key=_suspicion)
    errors = heapq.nsmallest(_ERRORS, (row for row in plan.rows() if row["error"]), key=_name)
    rate = plan.request.false_alarm_rate
    pictures = [place for place, row in enumerate(good) if row["heat_map"]][:_PICTURES]
    drawn = set(pictures)
    rows = [
        _shown(row, _thumbnail(plan.request.out / str(row["heat_map"])) if place in drawn else "")
        for place, row in enumerate(good)
    ]
    return _rendered(
        rows=rows,
        errors=errors,
        tasks=learned.tasks,
        decisions=DECISIONS,
        counts=counts,
        total=counts.total(),
        rate=number(100 * rate, 1),
        limits=_limits(learned, rate),
        trained=trained_warning(learned.trained_thresholds()),
        unit=learned.config.score.image_unit,
        pictures=len(pictures),
        heat_maps=plan.request.heat_maps,
    )


def _rendered(**facts: object) -> str:
    """The page's template filled in, its one script allowed by hash."""
    script = (TEMPLATES / "scores.js").read_text()
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    css = Markup((TEMPLATES / "style.css").read_text())
    template = environment.get_template("scores.html.j2")
    return template.render(css=css, script=Markup(script), script_sha256=allowed, **facts)


def _limits(learned: LearnedDetector, rate: float) -> list[dict[str, object]]:
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


def _shown(row: Row, picture: str) -> dict[str, object]:
    numbers = {name: number(row[name]) for name in ("score", "threshold", "rank", "margin", "smallest_rate")}
    return {**row, **numbers, "accepted": number(row["accepted"]), "picture": picture}


def _suspicion(row: Row) -> tuple[float, float, str]:
    return row["smallest_rate"], row["threshold"] - row["score"], _name(row)


def _name(row: Row) -> str:
    return str(row["name"])


def _thumbnail(path: Path) -> str:
    """A heat map made small, as a data address."""
    with Image.open(path) as picture:
        small = picture.resize((2 * _THUMB, _THUMB), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
