"""Which notebooks cannot succeed after another has failed, since both take the step that failed.

Notebooks share nothing but what they ask of an experiment, so one that fails in its own figures stops no
other. Where the experiment itself fails, those that ask the same of it would fail anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from papermill.exceptions import PapermillExecutionError

__all__ = ["resting_on"]

_STEPS = {  # in the order in which they rest on each other: the calls in notebooks that take a step
    "opened": r"\bExperiment\(",
    "extracted": r"\bexperiment\.features\(",
    "learned": r"\bexperiment\.(learn|evaluate)\(|\bexperiment\.evaluators\b",
    "saved": r"\bsaved?_detector\(experiment\b",
}
_FRAMES = {  # the functions whose frames a traceback holds if the step failed
    "opened": r"\bExperiment\.__init__\(",
    "extracted": r"\bExperiment\.features\(",
    "learned": r"\bExperiment\.learn\(",
    "saved": r"\bsaved?_detector\(",
}
_ORDER = list(_STEPS)
_BASE_ALONE = "experiment.learn(upto=1)"  # what a notebook calls that asks for the base task only
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def resting_on(error: PapermillExecutionError, failed: Path, later: Sequence[Path]) -> list[Path]:
    """The notebooks that take the step in which another failed, on the same tasks or more.

    Args:
        error: of the one that failed.
        failed: its file.
        later: those that have not run yet.
    """
    step = _failed_step(error)
    if not step:
        return []
    all_fail = step == "opened" or _asks_for_base_alone(failed)
    return [
        book
        for book in later
        if _ORDER.index(step) <= _deepest(book) and (all_fail or not _asks_for_base_alone(book))
    ]


def _failed_step(error: PapermillExecutionError) -> str:
    """The step of the experiment that failed; empty if it was something else, a control or a baseline too."""
    if not any(re.search(call, error.source) for call in _STEPS.values()):
        return ""
    trace = _COLOURS.sub("", "\n".join(error.traceback))
    last = {step: [found.start() for found in re.finditer(frame, trace)] for step, frame in _FRAMES.items()}
    taken = [step for step in _ORDER if last[step]]
    return max(taken, key=lambda step: last[step][-1], default="")


def _deepest(book: Path) -> int:
    """The last step that a notebook takes, by number; -1 if it takes none."""
    code = _code(book)
    return max((n for n, call in enumerate(_STEPS.values()) if re.search(call, code)), default=-1)


def _asks_for_base_alone(book: Path) -> bool:
    return _BASE_ALONE in _code(book)


def _code(book: Path) -> str:
    cells = nbformat.read(book, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")
