"""Runs notebooks in order with papermill and leaves one report each, and an index that never lies.

The index is written anew after every notebook, so a run that was killed shows what it finished and
that it did not finish the rest. Results of an earlier run are removed before a notebook starts.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import nbformat
import papermill
from markupsafe import Markup, escape
from papermill.exceptions import PapermillExecutionError

from moleflow_lib.artifacts import read_json, write_bytes
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import NotebookError
from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.notebook import provenance_table
from moleflow_lib.reporting.report import TEMPLATES, notebook_title, render_report
from moleflow_lib.runtime import resolve_device
from moleflow_lib.studies.ablation import planned_runs
from moleflow_lib.studies.ablation.cluster import Cluster

__all__ = ["NOTEBOOKS", "available_notebooks", "run_notebooks"]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


@dataclass(kw_only=True)
class _Entry:
    """One notebook of a run, as the index shows it."""

    source: Path
    title: str
    question: str
    state: str = "waiting"  # waiting, running, done, failed
    seconds: float = 0.0
    error: str = ""
    summary: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.source.stem


def available_notebooks(chosen: Sequence[str] = ()) -> list[Path]:
    """The notebooks to run, in order.

    Args:
        chosen: their numbers or names (`01`, `03_continual_tasks`); empty means all.

    Raises:
        NotebookError: one is unknown, or the notebooks are not beside the package.
    """
    books = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not books:
        raise NotebookError(f"expected the notebooks in {NOTEBOOKS}, found none; install the package with pip install -e .")
    unknown = [name for name in chosen if not any(_named(book, name) for book in books)]
    if unknown:
        raise NotebookError(f"no notebook {', '.join(unknown)}; there are {', '.join(book.stem for book in books)}")
    return [book for book in books if not chosen or any(_named(book, name) for name in chosen)]


def run_notebooks(params: Mapping[str, object], notebooks: Sequence[Path]) -> int:
    """Run notebooks and render their reports.

    Args:
        params: parameters as for `ExperimentConfig.from_params`; `out_dir` is where everything goes.
        notebooks: from `available_notebooks`.

    Returns:
        How many notebooks failed.

    Raises:
        MoLEFlowError: parameters, dataset or backbone are unusable; then nothing was run or removed.
    """
    config = ExperimentConfig.from_params(params)
    tasks = _checked_inputs(config)
    out = Path(config.run.out_dir)
    (out / "executed").mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of every option that a parameters cell does not list
    entries = [_entry(book) for book in notebooks]
    for entry in entries:
        for stale in (f"{entry.name}.html", f"{entry.name}.result.json"):
            (out / stale).unlink(missing_ok=True)
    for entry in entries:
        entry.state = "running"
        _write_index(out, config, tasks, entries)
        _say(f"{entry.name}: {entry.question}")
        _run(entry, params, out)
        _say(f"{entry.name}: {entry.state} after {entry.seconds:.0f} s" + (f": {entry.error}" if entry.error else ""))
    _write_index(out, config, tasks, entries)
    _say(f"report: {out / 'index.html'}")
    return sum(entry.state == "failed" for entry in entries)


def _checked_inputs(config: ExperimentConfig) -> list[str]:
    """Fail before anything runs if the data or the backbone cannot be used; returns the task names."""
    resolve_device(config.run.device)
    planned_runs(config)
    if config.run.scheduler:
        Cluster(config.run.scheduler).close()
    if config.study.ablation_classes:
        open_dataset(config.run.dataset_root, config.study.ablation_classes)
    return [task.name for task in Experiment(config.with_(device="cpu")).tasks]


def _run(entry: _Entry, params: Mapping[str, object], out: Path) -> None:
    """Execute and render one notebook; whatever goes wrong ends up in its entry."""
    executed, report, start = out / "executed" / entry.source.name, out / f"{entry.name}.html", time.perf_counter()
    try:
        papermill.execute_notebook(
            entry.source, executed, dict(params), kernel_name="python3", progress_bar=False, stderr_file=sys.stderr
        )
        summary = read_json(out / f"{entry.name}.result.json")["summary_text"]
        render_report(executed, report)
        entry.state, entry.summary = "done", summary
    except PapermillExecutionError as error:
        entry.state, entry.error = "failed", f"{error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that died, a full disk, a missing result: the index must say so
        entry.state, entry.error = "failed", f"{type(error).__name__}: {error}"
    if entry.state == "failed" and executed.is_file():
        render_report(executed, report, failure=entry.error)
    entry.seconds = time.perf_counter() - start


def _write_index(out: Path, config: ExperimentConfig, tasks: Sequence[str], entries: Sequence[_Entry]) -> None:
    failed = [entry.name for entry in entries if entry.state == "failed"]
    finished = all(entry.state in ("done", "failed") for entry in entries)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    table, own = provenance_table(config), {f"{entry.name}.html" for entry in entries} | {"index.html"}
    earlier = sorted(path.name for path in out.glob("[0-9][0-9]_*.html") if path.name not in own)
    html = environment.get_template("run_index.html.j2").render(
        config=config, tasks=tasks, failed=failed, css=Markup((TEMPLATES / "style.css").read_text()),
        state="failed" if failed else "done" if finished else "running", entries=[_row(entry, out) for entry in entries],
        earlier=earlier, device=str(resolve_device(config.run.device)), provenance_html=Markup(table._repr_html_()),
    )
    write_bytes(out / "index.html", html.encode())


def _row(entry: _Entry, out: Path) -> dict[str, object]:
    report, summary = f"{entry.name}.html", [_code_marked(text) for text in entry.summary]
    return {
        "title": entry.title, "question": entry.question, "state": entry.state, "error": entry.error,
        "seconds": entry.seconds, "summary": summary, "report": report if (out / report).is_file() else "",
        "result": f"{entry.name}.result.json", "notebook": f"executed/{entry.name}.ipynb",
    }


def _code_marked(sentence: str) -> Markup:
    """A sentence as HTML, what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))


def _entry(book: Path) -> _Entry:
    content = nbformat.read(book, as_version=4)
    lines = content.cells[0].source.splitlines()
    question = next((line.removeprefix("**Question.**").strip() for line in lines if line.startswith("**Question.**")), "")
    return _Entry(source=book, title=notebook_title(content), question=question)


def _named(book: Path, name: str) -> bool:
    return book.stem == name or book.stem.split("_")[0] == name.zfill(2)


def _say(text: str) -> None:
    print(f"[moleflow] {text}", file=sys.stderr, flush=True)
