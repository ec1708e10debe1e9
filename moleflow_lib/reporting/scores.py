"""Scores of new images as files: a table for programs, heat maps, and one page for people."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from moleflow_lib.artifacts import SCHEMA_VERSION, write_bytes, write_json
from moleflow_lib.errors import ConfigError
from moleflow_lib.inference import DECISIONS, LearnedDetector, ScoredImage
from moleflow_lib.inference.folder import writing
from moleflow_lib.inference.images import Images
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.figures.heat_maps import photo_and_map
from moleflow_lib.reporting.figures.style import composed, png_bytes
from moleflow_lib.reporting.report import TEMPLATES
from moleflow_lib.reporting.tables import Table, number
from moleflow_lib.rows import Row, Rows
from moleflow_lib.runtime import provenance

__all__ = ["write_scores"]

_PICTURES = 200  # on the page; all others are in `maps`
_ROWS = 5000  # on the page; all others are in `scores.csv`
_THUMB = 96  # side of a picture on the page, pixels


def write_scores(
    learned: LearnedDetector,
    images: Images,
    out: Path,
    task: str | None = None,
    false_alarm_rate: float = 0.01,
) -> Counter[str]:
    """Score images and write `scores.csv`, `scores.json`, `scores.html`, and a heat map an image to `maps`.

    A heat map is the image beside itself under its map. Its colours run from the median of the chosen task's
    maps of normal training images to twice as far as their maximum, so a colour means the same on every image
    of a task, whatever else is scored.

    Args:
        learned: what scores them.
        images: see `named_images`.
        out: a folder that is new or empty.
        task: score all under this task; None: the router chooses.
        false_alarm_rate: of the decisions.

    Returns:
        How many images got each decision, and how many `failed`.

    Raises:
        ConfigError: the folder holds something, or see `LearnedDetector.score_stream`.
        DataError: there is no image.
        ArtifactError: something cannot be written.
    """
    stream = learned.score_stream(images, task=task, false_alarm_rate=false_alarm_rate)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"--out {out} holds something already; expected a new or empty folder")
    rows = []
    for count, image in enumerate(stream):
        picture = _picture(learned, image)
        heat_map = "" if picture is None else f"maps/{count:06}-{_plain(image.name)}.png"
        if picture is not None:
            with writing(out / heat_map):
                write_bytes(out / heat_map, png_bytes(picture))
        told = {"name": visible(image.name), "error": visible(image.error)}
        rows.append({**image.row(), **told, "heat_map": heat_map})
    with writing(out):
        _write_tables(learned, rows, out, false_alarm_rate)
    return Counter("failed" if row["error"] else row["decision"] for row in rows)


def _write_tables(learned: LearnedDetector, rows: Rows, out: Path, rate: float) -> None:
    facts = {
        "schema": SCHEMA_VERSION,
        "tasks": list(learned.tasks),
        "false_alarm_rate": rate,
        "thresholds": learned.thresholds(rate),
        "image_unit": learned.config.score.image_unit,
        "backbone": learned.extractor.tag,
        "provenance": provenance(str(learned.detector.device)),
    }
    write_json(out / "scores.json", {**facts, "images": rows})
    write_bytes(out / "scores.csv", Table(rows, "").to_csv().encode())
    write_bytes(out / "scores.html", _page(learned, rows, out, rate).encode())


def _page(learned: LearnedDetector, rows: Rows, out: Path, rate: float) -> str:
    """The gallery, most suspicious first: by the rate at which each image would be flagged."""
    good = sorted((row for row in rows if not row["error"]), key=_suspicion)
    shown = [
        _shown(row, _thumbnail(out / row["heat_map"]) if place < _PICTURES else "")
        for place, row in enumerate(good[:_ROWS])
    ]
    return _rendered(
        rows=shown,
        errors=[row for row in rows if row["error"]],
        tasks=learned.tasks,
        decisions=DECISIONS,
        counts=Counter(row["decision"] for row in good),
        total=len(rows),
        rate=number(100 * rate, 1),
        limits=_limits(learned, rate),
        unit=learned.config.score.image_unit,
        pictures=min(_PICTURES, len(shown)),
        hidden=len(good) - len(shown),
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
    return row["smallest_rate"], row["threshold"] - row["score"], row["name"]


def _picture(learned: LearnedDetector, image: ScoredImage) -> np.ndarray | None:
    """The image, and the image under its map; None if it could not be scored."""
    if image.map is None:
        return None
    return composed([photo_and_map(learned, image)], 2, len(image.map))


def _thumbnail(path: Path) -> str:
    """A heat map made small, as a data address."""
    with Image.open(path) as picture:
        small = picture.resize((2 * _THUMB, _THUMB), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", Path(name).stem)[-60:]
