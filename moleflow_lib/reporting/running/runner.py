"""Runs notebooks in order with papermill and leaves one report each, and an index that never lies.

The index is written anew after every notebook, so a run that was killed shows what it finished and
that it did not finish the rest. Results of an earlier run are removed before a notebook starts.
A run that measures nothing leaves the index of one that does as it is.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import shared_line, unused_line
from moleflow_lib.errors import DiskError, MoLEFlowError, counted
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.pages.index import STRIP, Entry, write_index
from moleflow_lib.reporting.pages.report import notebook_title, render_report
from moleflow_lib.reporting.parameters import read_parameters
from moleflow_lib.reporting.running.checks import ablation_notes, checked_experiment
from moleflow_lib.reporting.running.dependence import resting_on
from moleflow_lib.reporting.running.kernels import Kernels
from moleflow_lib.reporting.running.notebooks import measures
from moleflow_lib.reporting.running.run_log import RunLog, earlier_seconds
from moleflow_lib.reporting.running.skeleton import require_skeletons
from moleflow_lib.runtime import busy_line
from moleflow_lib.storage.disk import Room, clean_up, make_folder, read_json, room_kept, writing
from moleflow_lib.storage.run_lock import run_lock

__all__ = ["run_notebooks"]


def run_notebooks(
    params: Mapping[str, object],
    notebooks: Sequence[Path],
    single_file: bool = False,
    kernels: Kernels | None = None,
) -> int:
    """Run notebooks and render their reports.

    Args:
        params: parameters as for `ExperimentConfig.from_params`; `out_dir` is where everything goes.
        notebooks: from `available_notebooks`.
        single_file: hold plotly.js in every report, so that each can be sent alone.
        kernels: open, with some started already; ended by who opened them. None: opened and ended here.

    Returns:
        How many notebooks failed; those that were not run since another failed do not count.

    Raises:
        MoLEFlowError: a notebook, parameters, dataset or backbone are unusable, or another run is going on
            in the folder; then nothing was run or removed.
    """
    require_skeletons(notebooks)
    config = read_parameters(params)
    executed = Path(config.run.out_dir) / "executed"
    log = RunLog({book.stem: earlier_seconds(executed / book.name) for book in notebooks}, sys.stderr)
    with log.listening(), nullcontext(kernels) if kernels else Kernels() as opened:
        for book in notebooks[:1]:
            opened.start_ahead(book)
        return _run_checked(config, params, notebooks, single_file, log, opened)


def _run_checked(
    config: ExperimentConfig,
    params: Mapping[str, object],
    notebooks: Sequence[Path],
    single_file: bool,
    log: RunLog,
    kernels: Kernels,
) -> int:
    """See whether all is there, then run."""
    experiment = checked_experiment(config, notebooks)
    out = Path(config.run.out_dir)
    logging.getLogger("papermill").setLevel(
        logging.ERROR
    )  # it warns of every option that a parameters cell does not list
    with run_lock(out), room_kept(out) as room:
        clean_up(out)
        if config.run.store_dir:
            make_folder(config.run.feature_folder)
            clean_up(config.run.feature_folder)
        make_folder(out / "executed")
        experiment.record_order()
        tasks = [task.name for task in experiment.tasks]
        _say(f"{counted(len(tasks), 'task')} in order of arrival: {', '.join(tasks)}")
        notes = [unused_line(experiment.unused), shared_line(experiment.products), busy_line()]
        for told in filter(None, [*notes, *ablation_notes(config, notebooks)]):
            _say(told)
        entries = [_entry(book) for book in notebooks]
        page = _Page(out, config, tasks, entries, room, log, kernels, _tells_of_others(out, notebooks))
        return _run_all(page, params, single_file)


@dataclass
class _Page:
    """A run as its index shows it."""

    out: Path
    config: ExperimentConfig
    tasks: list[str]
    entries: list[Entry]
    room: Room
    log: RunLog
    kernels: Kernels
    kept: bool  # the index of an earlier run stays

    @property
    def first(self) -> Path:
        """What a reader opens: the index, or the report of a run that leaves the index alone."""
        return self.out / (f"{self.entries[0].name}.html" if self.kept else "index.html")

    def write(self) -> None:
        """Write the index as things stand; on a full disk, into the room kept for it."""
        if self.kept:
            return
        try:
            write_index(self.out, self.config, self.tasks, self.entries)
        except DiskError:
            with self.room.lent():
                write_index(self.out, self.config, self.tasks, self.entries)


def _tells_of_others(out: Path, notebooks: Sequence[Path]) -> bool:
    """Whether an index lies in the folder beside reports of measurements, and this run measures nothing."""
    if any(measures(book) for book in notebooks) or not (out / "index.html").is_file():
        return False
    return any(measures(report) for report in out.glob("[0-9][0-9]_*.html"))


def _run_all(page: _Page, params: Mapping[str, object], single_file: bool) -> int:
    """Run every notebook, but those that rest on what failed in another; returns how many failed."""
    for entry in page.entries:
        for ending in (".html", ".result.json", ".images.json", ".images.csv", ".images.html", STRIP):
            stale = page.out / f"{entry.name}{ending}"
            with writing(stale, "removed"):
                stale.unlink(missing_ok=True)
    for entry, later in zip_longest(page.entries, page.entries[1:]):
        if entry.state == "waiting":
            _run_one(entry, later, page, params, single_file)
    page.write()
    _say(f"report: {page.first}")
    return sum(entry.state == "failed" for entry in page.entries)


def _run_one(
    entry: Entry, later: Entry | None, page: _Page, params: Mapping[str, object], single_file: bool
) -> None:
    """Run one notebook while the later one's kernel starts; mark those that cannot succeed if it failed."""
    entry.state = "running"
    page.write()
    name = page.log.begin(entry.name)
    _say(f"{name}: {entry.question} ({page.log.times()})")
    try:
        with page.kernels.kernel(entry.source) as kernel:
            if later and later.state == "waiting":
                page.kernels.start_ahead(later.source)
            error = _run(entry, params, page.out, single_file, kernel)
    except KeyboardInterrupt:
        entry.state = "stopped"
        page.write()
        raise
    finally:
        page.log.end()
    told = f": {entry.error}" if entry.error else ""
    _say(f"{entry.name}: {entry.state} after {entry.seconds:.0f} s{told}")
    if isinstance(error, PapermillExecutionError):
        _mark_dependents(page.entries, entry, error)


def _mark_dependents(entries: Sequence[Entry], failed: Entry, error: PapermillExecutionError) -> None:
    later = [entry for entry in entries if entry.state == "waiting"]
    stopped = resting_on(error, failed.source, [entry.source for entry in later])
    for entry in later:
        if entry.source in stopped:
            entry.state, entry.error = (
                "not run",
                f"{failed.name} failed, in a step that this notebook takes too",
            )
    if stopped:
        names = ", ".join(book.stem for book in stopped)
        _say(f"not run, since {failed.name} failed, in a step that they take too: {names}")


def _run(
    entry: Entry, params: Mapping[str, object], out: Path, single_file: bool, kernel: AsyncKernelManager
) -> Exception | None:
    """Execute and render one notebook; whatever goes wrong ends up in its entry, and is returned."""
    problem = None
    executed, report = out / "executed" / entry.source.name, out / f"{entry.name}.html"
    start = time.perf_counter()
    try:
        with writing(executed):
            executed.unlink(missing_ok=True)
            _execute(entry.source, executed, params, kernel)
        summary = read_json(out / f"{entry.name}.result.json")["summary_text"]
        render_report(executed, report, single_file=single_file)
        entry.state, entry.summary = "done", summary
    except PapermillExecutionError as error:
        problem = error
        entry.state, entry.error = "failed", f"{error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that died, a full disk, a missing result: the index must say so
        entry.state, entry.error = "failed", f"{type(error).__name__}: {error}"
    if entry.state == "failed":
        _render_failure(entry, executed, report, single_file)
    entry.seconds = time.perf_counter() - start
    return problem


def _execute(source: Path, into: Path, params: Mapping[str, object], kernel: AsyncKernelManager) -> None:
    options = {"kernel_name": "python3", "progress_bar": False, "stderr_file": sys.stderr, "km": kernel}
    papermill.execute_notebook(source, into, dict(params), **options)


def _render_failure(entry: Entry, executed: Path, report: Path, single_file: bool) -> None:
    """Leave the report of a notebook that failed, where there is enough of it."""
    report.unlink(missing_ok=True)
    if not executed.is_file():
        return
    try:
        render_report(executed, report, failure=entry.error, single_file=single_file)
    except MoLEFlowError as error:  # a full disk leaves half a notebook, and no room for a report
        entry.error += f" (and no report of it: {error})"


def _entry(book: Path) -> Entry:
    content = nbformat.read(book, as_version=4)
    lines = content.cells[0].source.splitlines()
    question = next(
        (line.removeprefix("**Question.**").strip() for line in lines if line.startswith("**Question.**")), ""
    )
    return Entry(source=book, title=notebook_title(content), question=question)


def _say(text: str) -> None:
    print(f"[moleflow] {visible(text)}", file=sys.stderr, flush=True)
