"""Runs that share a store extract once and agree; each keeps all else in its own folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moleflow_lib.cli import main

SMALL = "image_size=56 eval_size=56 coupling_layers=2 lora_rank=4 dia_blocks=1 epochs=1".split()
_OF_THIS_RUN = {"out_dir", "time_utc", "second", "seconds", "summary_text", "tiles", "text"}


def _words(data: Path, out: Path, store: Path, notebooks: str) -> list[str]:
    where = ["run", "--preset", "demo", "--dataset-root", str(data), "--out", str(out), "--store", str(store)]
    given = [
        "--backbone",
        "filterbank",
        "--device",
        "cpu",
        "--classes",
        "leather,nut",
        "--notebooks",
        notebooks,
    ]
    return [*where, *given, *(word for option in SMALL for word in ("-p", option))]


def _log(data: Path, out: Path, store: Path, notebooks: str) -> str:
    """What a run leaves in the log of a batch system."""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), os.getenv("PYTHONPATH"))))}
    command = [sys.executable, "-m", "moleflow_lib", *_words(data, out, store, notebooks)]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, env=here)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stderr.decode()


def _numbers(value: object) -> object:
    """A result without what tells one run from another."""
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items() if name not in _OF_THIS_RUN}
    return [_numbers(item) for item in value] if isinstance(value, list) else value


def _results(out: Path) -> dict[str, object]:
    return {path.name: _numbers(json.loads(path.read_text())) for path in sorted(out.glob("0*.result.json"))}


def test_a_second_run_extracts_nothing_and_its_log_has_lines_with_times_and_no_bars(
    tiny_data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = _log(tiny_data, tmp_path / "one", store, "00,01,02")
    files = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert len(files) == 2 * 2 * 2, "a tensor file and a manifest for two products and two splits, no lock"
    assert not (tmp_path / "one/store/features").exists() and (tmp_path / "one/store/tasks").is_dir()
    second = _log(tiny_data, tmp_path / "two", store, "00,01,02")
    assert "[stage] features " in first and "[stage] features " not in second
    assert "[stage] training leather: 1 of 1 after " in second
    assert files == {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    results = _results(tmp_path / "one")
    assert len(results) == 3 and results == _results(tmp_path / "two")
    for log in (first, second):
        assert "notebook 2 of 3, 01_feature_extraction: " in log
        assert "\r" not in log and "%|" not in log and not re.search("[█▏▎▍▌▋▊▉]", log)
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \S", line) for line in log.splitlines())
    assert not re.search(r"about .* left", first)
    again = _log(tiny_data, tmp_path / "two", store, "01")
    assert re.search(r"notebook 1 of 1, .* \(\d+ s so far, about \d+ s left\)", again)
    page = (tmp_path / "one/02_base_task.html").read_text()
    assert "[stage]" not in page and "message(s) on standard error" not in page
    assert str(store) not in page, "a place is no part of the provenance"


@pytest.mark.parametrize(
    ("store", "told"),
    [("file", "file is a file; --store needs a folder"), (" ", "--store: expected a folder")],
)
def test_a_store_that_cannot_be_one_is_refused(
    tiny_data: Path, tmp_path: Path, store: str, told: str, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    words = _words(tiny_data, tmp_path / "out", Path("x"), "01")
    words[words.index("--store") + 1] = str(tmp_path / store) if store.strip() else store
    assert main(words) == 2
    assert told in capfd.readouterr().err and not (tmp_path / "out").exists()
