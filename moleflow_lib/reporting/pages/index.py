"""The first page of a run: whether it went well, the verdict in numbers and pictures, each notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import counted
from moleflow_lib.reporting.escaping import html_text, sentence_html
from moleflow_lib.reporting.notebook import provenance_table
from moleflow_lib.reporting.pages.report import TEMPLATES, page_css
from moleflow_lib.reporting.tables import Table
from moleflow_lib.runtime import resolve_device
from moleflow_lib.storage.disk import read_json, write_bytes

__all__ = ["STRIP", "Entry", "page_environment", "write_index"]

STRIP = ".images.strip.json"  # pictures for the first page, which notebook 03 leaves


@dataclass(kw_only=True)
class Entry:
    """One notebook of a run, as the index shows it."""

    source: Path
    title: str
    question: str
    state: str = "waiting"  # waiting, running, done, failed, stopped, not run
    seconds: float = 0.0
    error: str = ""
    summary: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The notebook's name without suffix."""
        return self.source.stem


def write_index(out: Path, config: ExperimentConfig, tasks: Sequence[str], entries: Sequence[Entry]) -> None:
    """Write `index.html` into a run's folder, as things stand.

    Args:
        out: the folder.
        config: of the run.
        tasks: their names, in order of arrival.
        entries: one a notebook, in order.
    """
    failed = [entry.name for entry in entries if entry.state == "failed"]
    own = {f"{entry.name}{ending}" for entry in entries for ending in (".html", ".images.html")}
    page = (
        page_environment()
        .get_template("run_index.html.j2")
        .render(
            config=config,
            tasks=tasks,
            failed=failed,
            entries=[_row(entry, out) for entry in entries],
            state=_state(entries),
            css=Markup(page_css()),
            earlier=sorted(path.name for path in out.glob("[0-9][0-9]_*.html") if path.name not in own),
            device=str(resolve_device(config.run.device)),
            provenance_html=Markup(provenance_table(config)._repr_html_()),
        )
    )
    write_bytes(out / "index.html", page.encode(errors="backslashreplace"))


def _state(entries: Sequence[Entry]) -> str:
    """Of the whole run: what most needs to be known of its notebooks."""
    states = {entry.state for entry in entries}
    urgent = (state for state in ("failed", "stopped") if state in states)
    return next(urgent, "done" if states <= {"done"} else "running")


def page_environment() -> jinja2.Environment:
    """Templates that escape whatever they are given, control characters included."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, finalize=_finalized)
    environment.filters["counted"] = counted
    return environment


def _finalized(value: object) -> object:
    return value if isinstance(value, Markup) else Markup(html_text(value))


def _row(entry: Entry, out: Path) -> dict[str, object]:
    report = f"{entry.name}.html"
    images = f"{entry.name}.images"
    answer, *rest = [Markup(sentence_html(text)) for text in entry.summary] or [""]
    return {
        "title": entry.title,
        "question": entry.question,
        "state": entry.state,
        "error": entry.error,
        "seconds": f"{entry.seconds:.0f}",
        "answer": answer,
        "rest": rest,
        "tiles": _tiles(out, entry),
        "matrix": _matrix(out, entry),
        "report": report if (out / report).is_file() else "",
        "strip": _strip(out, entry),
        "images": images if (out / f"{images}.html").is_file() else "",
        "result": f"{entry.name}.result.json",
        "notebook": f"executed/{entry.name}.ipynb",
    }


def _result(out: Path, entry: Entry) -> dict[str, Any]:
    path = out / f"{entry.name}.result.json"
    return read_json(path) if entry.state == "done" and path.is_file() else {}


def _strip(out: Path, entry: Entry) -> dict[str, Any]:
    """The clearest detection and the worst errors as pictures; empty where the notebook left none."""
    path = out / f"{entry.name}{STRIP}"
    return read_json(path) if entry.state == "done" and path.is_file() else {}


def _matrix(out: Path, entry: Entry) -> Markup:
    """R of image AUROC, routed, as a table: a row a task learned, a column a task tested; empty without R."""
    result = _result(out, entry)
    if "R" not in result:
        return Markup("")
    names, values = result["classes"], result["R"]["image_auroc"]["routed"]
    rows = [
        {"after learning": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, values, strict=True)
    ]
    caption = "Image AUROC of each product after each was learned, routed. A column that falls is forgetting."
    return Markup(Table(rows, caption)._repr_html_())


def _tiles(out: Path, entry: Entry) -> list[dict[str, object]]:
    """The headline numbers that a notebook's result file lists: label, value, interval, against."""
    tiles = _result(out, entry).get("tiles") or []
    keys = ("label", "value", "interval", "against")
    return [
        {**{key: _shown(tile.get(key)) for key in keys}, "others": tile.get("others") or []} for tile in tiles
    ]


def _shown(value: object) -> str:
    """A number or an interval as readers expect it; text as it is."""
    if isinstance(value, (list, tuple)):
        return " … ".join(_shown(end) for end in value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else str(value)
