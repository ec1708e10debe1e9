"""Runs side by side as files: one page for people, one table for programs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from moleflow_lib.errors import ConfigError, MoLEFlowError
from moleflow_lib.metrics import HEADLINES, METRICS
from moleflow_lib.reporting.compare.comparable import check_comparable
from moleflow_lib.reporting.compare.differences import (
    MEAN,
    Disagreement,
    Measured,
    csv_rows,
    disagreements,
    headlines,
    measured,
    metric_rows,
    option_rows,
    provenance_rows,
    verdict,
)
from moleflow_lib.reporting.compare.finished import FinishedRun, finished_runs
from moleflow_lib.reporting.compare.maps import disagreement_sheet
from moleflow_lib.reporting.definitions import definition_of
from moleflow_lib.reporting.figures.compare import difference_intervals
from moleflow_lib.reporting.figures.static import as_svg
from moleflow_lib.reporting.pages.embedding import picture_source
from moleflow_lib.reporting.pages.index import page_environment
from moleflow_lib.reporting.pages.report import TEMPLATES, page_css
from moleflow_lib.reporting.tables import Table, number
from moleflow_lib.reporting.text.words import title, within
from moleflow_lib.storage.disk import write_bytes, writing

__all__ = ["write_comparison"]

_LISTED = 20  # images in the table
_SHOWN = 8  # of these, with their maps


def write_comparison(folders: Sequence[str | Path], out: Path, dataset_root: str = "") -> str:
    """Set finished runs side by side in `compare.html` and `compare.csv`.

    Args:
        folders: of the runs; the first is the reference.
        out: a folder that is new or empty.
        dataset_root: where the images lie now; empty: where each run read them. Only heat maps need them.

    Returns:
        Why the page shows no heat maps; empty where it shows them.

    Raises:
        ArtifactError: a folder holds no finished run, or the files cannot be written.
        ConfigError: the runs cannot be compared, or `out` holds something.
    """
    runs = finished_runs([Path(folder) for folder in folders])
    check_comparable(runs)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"--out {out} holds something already; expected a new or empty folder")
    found = measured(runs)
    images = disagreements(runs, _LISTED)
    maps, missing = _maps(runs, images[:_SHOWN], dataset_root)
    page = _page(runs, found, images, maps, missing)
    with writing(out):
        write_bytes(out / "compare.csv", Table(csv_rows(runs, found, images), "").to_csv().encode())
        write_bytes(out / "compare.html", page.encode(errors="backslashreplace"))
    return missing


def _maps(runs: Sequence[FinishedRun], images: Sequence[Disagreement], root: str) -> tuple[str, str]:
    """The sheet of heat maps, or why there is none."""
    if not images:
        return "", ""
    try:
        return disagreement_sheet(runs, images, root)._repr_html_(), ""
    except MoLEFlowError as error:
        return "", str(error)


def _page(
    runs: Sequence[FinishedRun],
    found: Sequence[Measured],
    images: Sequence[Disagreement],
    maps: str,
    missing: str,
) -> str:
    script = (TEMPLATES / "report.js").read_text()
    labels = [run.label for run in runs]
    figures = [difference_intervals(found, [metric], labels).update_layout(width=450) for metric in HEADLINES]
    others = [metric for metric in METRICS if metric not in HEADLINES]
    template = page_environment().get_template("compare.html.j2")
    return template.render(
        css=Markup(page_css()),
        script=Markup(script),
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        runs=[_run(run) for run in runs],
        answers=headlines(runs, found, HEADLINES),
        tiles=_tiles(runs, found),
        options=_table(option_rows(runs), "Options that are not the same in all runs."),
        provenance=_table(provenance_rows(runs), "What else was not the same: versions, machine, commit."),
        leading=[_metric(runs, found, metric) for metric in HEADLINES],
        others=[_metric(runs, found, metric) for metric in others],
        pictures=[picture_source(as_svg(figure)) for figure in figures],
        figures=[figure.to_dict()["layout"]["meta"] for figure in figures],
        images=_table(_image_rows(runs, images), _IMAGES),
        maps=Markup(maps),
        missing=missing,
        definitions=[definition_of(name) for name in (*METRICS, "routed")],
        single_seed=all(len(run.seeds) == 1 for run in runs),
        same_seeds=len({run.seeds for run in runs}) == 1,
    )


_IMAGES = (
    "Test images that the runs judge most differently: first those on which their decisions differ (at 1 % "
    "false alarms; where a run stored none, defective images), then by rank and normalised score. Rank: "
    "share of the chosen task's training images that score lower. Normalised: the score in standard "
    "deviations of those images' scores, from their mean."
)


def _table(rows: Sequence[dict[str, object]], caption: str) -> Markup:
    return Markup(Table(rows, caption)._repr_html_())


def _metric(runs: Sequence[FinishedRun], found: Sequence[Measured], metric: str) -> dict[str, object]:
    caption = f"{title(metric)}, routed, after the last task. Differences with paired 95 % intervals."
    return {"definition": definition_of(metric), "table": _table(metric_rows(runs, found, metric), caption)}


def _tiles(runs: Sequence[FinishedRun], found: Sequence[Measured]) -> list[dict[str, str]]:
    """Mean over tasks of each headline metric: each later run minus the first."""
    tiles = []
    for row in found:
        if row.task != MEAN or row.metric not in HEADLINES:
            continue
        for run, own, gap in zip(runs[1:], row.values[1:], row.differences, strict=True):
            if gap.value is not None:
                against = f"{within(own)} against {number(row.values[0].value)}"
                told = f"{run.label}: {verdict(gap)}" if len(runs) > 2 else verdict(gap)
                ends = f"{gap.interval[0]:+.3f} … {gap.interval[1]:+.3f}" if gap.interval else ""
                value = f"{gap.value:+.3f}"
                facts = {"label": title(row.metric), "value": value, "interval": ends, "against": against}
                tiles.append({**facts, "verdict": told})
    return tiles


def _run(run: FinishedRun) -> dict[str, object]:
    return {
        "label": run.label,
        "folder": run.folder,
        "preset": run.config.get("preset"),
        "backbone": run.config.get("backbone"),
        "seeds": ", ".join(map(str, run.seeds)),
        "tasks": " → ".join(run.tasks),
        "routing": number(run.result["routing"].get("accuracy")),
    }


def _image_rows(runs: Sequence[FinishedRun], images: Sequence[Disagreement]) -> list[dict[str, object]]:
    rows = []
    for one in images:
        row: dict[str, object] = {"image": one.name, "task": one.task, "largest difference": one.size[0]}
        for run, seen in zip(runs, one.seen, strict=True):
            row[f"rank {run.label}"] = seen["rank"]
            row[f"normalised {run.label}"] = seen["normalised"]
            row[f"chosen {run.label}"] = seen["chosen"]
            row[f"decision {run.label}"] = seen.get("decision")
        rows.append(row)
    return rows
