"""What a run says while it goes: lines with their time in a log, one line kept up to date on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from moleflow_lib.reporting.running.run_log import RunLog, earlier_seconds, is_progress
from moleflow_lib.runtime import progress
from moleflow_lib.stages import STAGE_LINES

_STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \S")
NAMES = {"01_a": 60.0, "02_b": 120.0, "03_c": 3600.0}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_log_every_line_has_its_time_and_no_bar_comes_through() -> None:
    stream = io.StringIO()
    log = RunLog(NAMES, stream)
    with log.listening():
        print(log.begin("02_b"), file=sys.stderr)
        sys.stderr.write("fetching:  10%|#   | 1/10\rfetching: 100%|####| 10/10\na warn")
        sys.stderr.write("ing\x1b[31m\n\n")
        for _ in progress(range(40), "training nut"):
            pass
        sys.stderr.write("cut off")
    told = stream.getvalue()
    lines = told.splitlines()
    assert all(_STAMPED.match(line) for line in lines) and told.endswith("cut off\n")
    assert "\r" not in told and "%|" not in told and "\x1b" not in told
    texts = [line[21:] for line in lines]
    assert texts[:2] == ["notebook 2 of 3, 02_b", "a warning\\x1b[31m"]
    assert texts[2] == "[stage] training nut: 0 of 40"
    assert re.fullmatch(r"\[stage\] training nut: 40 of 40 after \d\.\d s", texts[3])


def test_on_a_terminal_one_line_is_kept_up_to_date_below_the_others() -> None:
    stream = _Terminal()
    log = RunLog(NAMES, stream)
    with log.listening():
        log.begin("02_b")
        print("[moleflow] a line", file=sys.stderr)
        print("[stage] training nut: 0 of 40", file=sys.stderr)
        log.end()
    drawn = stream.getvalue().split("\r\x1b[K")
    assert "[moleflow] a line\n" in drawn
    assert any(re.match(r"notebook 2 of 3, 02_b · 0 s so far, about 1 h 02 min left", line) for line in drawn)
    assert any("left · train" in line for line in drawn), "the stage that the kernel is at"
    assert drawn[-1] == "", "nothing of it is left on the screen"


def test_time_left_is_told_only_where_it_is_known() -> None:
    log = RunLog({"01_a": 60.0, "02_b": None, "03_c": 30.0}, io.StringIO())
    log.begin("01_a")
    assert log.left() is None and "left" not in log.times()
    log.begin("03_c")
    assert log.left() == 30
    log.begun -= 100
    assert log.left() == 0 and "left" not in log.times()


def test_kernels_are_told_and_the_environment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STAGE_LINES, raising=False)
    before = sys.stderr
    with pytest.raises(KeyboardInterrupt), RunLog(NAMES, io.StringIO()).listening():
        assert os.environ[STAGE_LINES] and sys.stderr is not before
        raise KeyboardInterrupt
    assert STAGE_LINES not in os.environ and sys.stderr is before


def test_without_a_runner_there_are_bars(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv(STAGE_LINES, raising=False)
    assert list(progress(range(3), "training")) == [0, 1, 2]
    assert "100%|" in capsys.readouterr().err


def test_a_stage_that_fails_says_how_far_it_came(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv(STAGE_LINES, "1")
    with pytest.raises(ZeroDivisionError), progress(None, "runs", total=9, initial=2) as bar:
        bar.update(3)
        raise ZeroDivisionError
    first, last = capsys.readouterr().err.splitlines()
    assert first == "[stage] runs: 2 of 9" and last.startswith("[stage] runs: 5 of 9 after ")
    assert is_progress(first) and is_progress("a: 50%|##  |") and not is_progress("50 % of it")


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        ({"duration": 12.5, "exception": None}, 12.5),
        ({"duration": 12.5, "exception": True}, None),
        ({"duration": None, "exception": None}, None),
        ({}, None),
    ],
)
def test_earlier_seconds_are_those_of_a_notebook_that_came_to_its_end(
    tmp_path: Path, facts: dict, seconds: float | None
) -> None:
    book = tmp_path / "01_a.ipynb"
    assert earlier_seconds(book) is None
    book.write_text(json.dumps({"cells": [], "metadata": {"papermill": facts}}))
    assert earlier_seconds(book) == seconds
    book.write_text('{"cells": [')
    assert earlier_seconds(book) is None
