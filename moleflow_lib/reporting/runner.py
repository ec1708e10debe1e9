"""Runs notebooks in order with papermill and leaves one report each, and an index that never lies.

The index is written anew after every notebook, so a run that was killed shows what it finished and
that it did not finish the rest. Results of an earlier run are removed before a notebook starts.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from moleflow_lib.artifacts import read_json
from moleflow_lib.config import ExperimentConfig, check_baselines
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import NotebookError
from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.index import Entry, write_index
from moleflow_lib.reporting.report import notebook_title, render_report
from moleflow_lib.reporting.skeleton import require_skeletons
from moleflow_lib.runtime import resolve_device
from moleflow_lib.studies.ablation import planned_runs
from moleflow_lib.studies.ablation.cluster import Cluster

__all__ = ["NOTEBOOKS", "available_notebooks", "run_notebooks"]

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def available_notebooks(chosen: Sequence[str] = ()) -> list[Path]:
    """The notebooks to run, in order.

    Args:
        chosen: their numbers or names (`01`, `03_continual_tasks`); empty means all.

    Raises:
        NotebookError: one is unknown, or the notebooks are not beside the package.
    """
    books = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not books:
        raise NotebookError(
            f"expected the notebooks in {NOTEBOOKS}, found none; install the package with pip install -e ."
        )
    unknown = [name for name in chosen if not any(_named(book, name) for book in books)]
    if unknown:
        raise NotebookError(
            f"no notebook {', '.join(unknown)}; there are {', '.join(book.stem for book in books)}"
        )
    return [book for book in books if not chosen or any(_named(book, name) for name in chosen)]


def run_notebooks(params: Mapping[str, object], notebooks: Sequence[Path], single_file: bool = False) -> int:
    """Run notebooks and render their reports.

    Args:
        params: parameters as for `ExperimentConfig.from_params`; `out_dir` is where everything goes.
        notebooks: from `available_notebooks`.
        single_file: hold plotly.js in every report, so that each can be sent alone.

    Returns:
        How many notebooks failed.

    Raises:
        MoLEFlowError: a notebook, parameters, dataset or backbone are unusable; then nothing was run or
            removed.
    """
    require_skeletons(notebooks)
    config = ExperimentConfig.from_params(params)
    tasks = _checked_inputs(config)
    out = Path(config.run.out_dir)
    (out / "executed").mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(
        logging.ERROR
    )  # it warns of every option that a parameters cell does not list
    entries = [_entry(book) for book in notebooks]
    for entry in entries:
        for stale in (f"{entry.name}.html", f"{entry.name}.result.json", f"{entry.name}.images.json"):
            (out / stale).unlink(missing_ok=True)
    for entry in entries:
        entry.state = "running"
        write_index(out, config, tasks, entries)
        _say(f"{entry.name}: {entry.question}")
        _run(entry, params, out, single_file)
        _say(
            f"{entry.name}: {entry.state} after {entry.seconds:.0f} s"
            + (f": {entry.error}" if entry.error else "")
        )
    write_index(out, config, tasks, entries)
    _say(f"report: {out / 'index.html'}")
    return sum(entry.state == "failed" for entry in entries)


def _checked_inputs(config: ExperimentConfig) -> list[str]:
    """Fail before anything runs if the data or the backbone cannot be used; returns the task names."""
    resolve_device(config.run.device)
    planned_runs(config)
    check_baselines(config.study.baselines)
    if config.run.scheduler:
        Cluster(config.run.scheduler).close()
    if config.study.ablation_classes:
        open_dataset(config.run.dataset_root, config.study.ablation_classes)
    return [task.name for task in Experiment(config.with_(device="cpu")).tasks]


def _run(entry: Entry, params: Mapping[str, object], out: Path, single_file: bool) -> None:
    """Execute and render one notebook; whatever goes wrong ends up in its entry."""
    executed, report, start = (
        out / "executed" / entry.source.name,
        out / f"{entry.name}.html",
        time.perf_counter(),
    )
    try:
        papermill.execute_notebook(
            entry.source,
            executed,
            dict(params),
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,
        )
        summary = read_json(out / f"{entry.name}.result.json")["summary_text"]
        render_report(executed, report, single_file=single_file)
        entry.state, entry.summary = "done", summary
    except PapermillExecutionError as error:
        entry.state, entry.error = "failed", f"{error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that died, a full disk, a missing result: the index must say so
        entry.state, entry.error = "failed", f"{type(error).__name__}: {error}"
    if entry.state == "failed" and executed.is_file():
        render_report(executed, report, failure=entry.error, single_file=single_file)
    entry.seconds = time.perf_counter() - start


def _entry(book: Path) -> Entry:
    content = nbformat.read(book, as_version=4)
    lines = content.cells[0].source.splitlines()
    question = next(
        (line.removeprefix("**Question.**").strip() for line in lines if line.startswith("**Question.**")), ""
    )
    return Entry(source=book, title=notebook_title(content), question=question)


def _named(book: Path, name: str) -> bool:
    return book.stem == name or book.stem.split("_")[0] == name.zfill(2)


def _say(text: str) -> None:
    print(f"[moleflow] {visible(text)}", file=sys.stderr, flush=True)
