"""Runs that share a store extract once and agree; each keeps all else in its own folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.ablation import planned_runs, run_ablation

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
    assert len(files) == 2 * 2 * 3, "tensors, manifest, noted hashes for two products and two splits; no lock"
    assert not (tmp_path / "one/store/features").exists() and (tmp_path / "one/store/tasks").is_dir()
    shutil.copytree(tmp_path / "one/executed", tmp_path / "two/executed")
    second = _log(tiny_data, tmp_path / "two", store, "01,02")
    assert "[stage] features " in first and "[stage] features " not in second
    assert re.search(r"\[stage\] training leather: (\d+) of \1 after ", second)
    assert files == {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    results, others = _results(tmp_path / "one"), _results(tmp_path / "two")
    assert len(others) == 2 and others.items() <= results.items()
    assert "notebook 2 of 3, 01_feature_extraction: " in first
    for log in (first, second):
        assert "\r" not in log and "%|" not in log and not re.search("[█▏▎▍▌▋▊▉]", log)
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \S", line) for line in log.splitlines())
    assert not re.search(r"about .* left", first)
    assert re.search(r"notebook 1 of 2, .* \(\d+ s so far, about .* left\)", second), "from earlier copies"
    page = (tmp_path / "one/02_base_task.html").read_text()
    assert "[stage]" not in page and "on standard error" not in page
    assert "config: epochs" in page and "config: store_dir" not in page, (
        "a place is no part of the provenance"
    )


def test_numbers_and_hashes_are_equal_and_orders_stay_in_each_folder(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    def learned(out: str, store: str) -> tuple[Experiment, object]:
        config = tiny_config(
            out_dir=str(tmp_path / out), store_dir=store, classes=("leather", "nut"), epochs=1
        )
        experiment = Experiment(config)
        return experiment, (experiment.evaluate().final("image_auroc"), experiment.hashes())

    alone, numbers = learned("alone", "")
    assert alone.config.run.feature_folder == tmp_path / "alone/store/features"
    shared = str(tmp_path / "alone/store")
    for out in ("one", "two"):
        experiment, again = learned(out, shared)
        assert again == numbers and not (tmp_path / out / "store/features").exists()
        experiment.record_order()
        assert (tmp_path / out / "store/sequence.json").is_file()
    assert not (tmp_path / "alone/store/sequence.json").exists()


def test_ablation_runs_find_the_store_from_any_folder(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny_config(store_dir="shared", ablations="top_k=1", ablation_seeds=(0,), epochs=1)
    rows = run_ablation(planned_runs(config), tmp_path / "kept", jobs=2)
    assert len(rows) == 2 and (tmp_path / "shared/features").is_dir()
    assert not (tmp_path / "out/store/features").exists()


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
