"""The runner on disks and in hands that fail: nothing is lost, and what happened is said."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from moleflow_lib.cli import main
from moleflow_lib.reporting.running import runner
from moleflow_lib.stopping import Terminated
from moleflow_lib.storage import disk
from moleflow_lib.storage.run_lock import LOCK, run_lock
from tests import trees

Execute = Callable[[Path, Path, dict], None]
SMALL = "image_size=56 eval_size=56 coupling_layers=2 lora_rank=4 dia_blocks=1 epochs=1".split()


def _executed(source: Path, into: Path, params: dict) -> None:
    """What papermill would leave, without a kernel."""
    book = nbformat.read(source, as_version=4)
    nbformat.write(book, into)
    result = {"summary_text": ["An answer."], "tiles": []}
    disk.write_json(Path(params["out_dir"]) / f"{source.stem}.result.json", result)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return trees.mvtec(tmp_path / "data")


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The `run` command on two tiny products, notebooks not executed but by `execute`."""

    def act(*words: str, execute: Execute = _executed, out: str = "", notebooks: str = "01,02") -> int:
        monkeypatch.setattr(runner, "_execute", lambda source, into, params, _: execute(source, into, params))
        options = [word for option in SMALL for word in ("-p", option)]
        where = ["--dataset-root", str(data), "--out", out or str(tmp_path / "out")]
        given = ["--backbone", "filterbank", "--device", "cpu", "--notebooks", notebooks]
        return main(["run", *where, *given, *options, *words])

    return act


def test_the_quickstart_alone_leaves_the_index_of_a_run_that_measured(
    run: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    index = tmp_path / "out/index.html"
    assert run(notebooks="00") == 0 and "00 · Quickstart" in index.read_text(), "where there is no other"
    assert run(notebooks="01,02") == 0
    measured = index.read_bytes()
    capfd.readouterr()
    assert run(notebooks="00") == 0 and index.read_bytes() == measured
    assert (tmp_path / "out/00_quickstart.html").is_file()
    assert capfd.readouterr().err.rstrip().endswith("00_quickstart.html")
    assert b'href="00_quickstart.html"' in measured, "its report is linked already"
    assert run(notebooks="00,01") == 0 and index.read_bytes() != measured


def test_a_run_says_its_order_and_what_it_does_not_use(
    run: Callable, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (data / "nut/test/unlabelled").mkdir()
    (data / "nut/test/unlabelled/IMG_9.HEIC").write_bytes(b"something")
    whole = trees.picture(data / "nut/test/unlabelled/new.png", 7)
    cut = trees.picture(data / "nut/test/unlabelled/cut.png", 8)
    cut.write_bytes(cut.read_bytes()[:200])
    assert run() == 0 and whole.is_file()
    told = capfd.readouterr().err
    assert "2 tasks in order of arrival: bolt, nut" in told
    assert (
        "2 images not used: 1 in a format that is not read (.heic), 1 that cannot be read (cut.png)" in told
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []
    trees.product(data / "axle", seed=9)
    assert run() == 0
    assert "3 tasks in order of arrival: bolt, nut, axle" in capfd.readouterr().err


def test_a_second_run_in_the_same_folder_is_refused(
    run: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert run() == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")}
    with run_lock(tmp_path / "out"):
        assert run("-p", "seed=7") == 2
        assert f"process {os.getpid()} on" in capfd.readouterr().err
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.*")}
    assert after == {name: time for name, time in before.items()}, "nothing was removed or replaced"
    assert run("-p", "seed=7") == 0


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_stopped_run_says_so_in_its_index(
    run: Callable, tmp_path: Path, stop: type, status: int, capfd: pytest.CaptureFixture
) -> None:
    def stopped(*_: object) -> None:
        raise stop

    assert run(execute=stopped) == status
    assert "the same command continues" in capfd.readouterr().err
    assert "This run was stopped and is not finished" in (tmp_path / "out/index.html").read_text()
    assert not (tmp_path / "out" / LOCK).exists()
    assert run() == 0 and "All notebooks of this run finished" in (tmp_path / "out/index.html").read_text()


def test_leftovers_of_a_killed_run_are_removed(run: Callable, tmp_path: Path) -> None:
    left = tmp_path / "out/store/tasks" / f".writing-{disk._machine()}-{_dead_process()}-abc"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert run() == 0 and not left.exists()


def _dead_process() -> int:
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return process


def _full(path: Path, allowed: int) -> Callable[..., None]:
    """`os.replace` on a disk that holds `allowed` bytes below a folder."""
    real = os.replace

    def replace(source: str, target: Path) -> None:
        used = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if used > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    return replace


def test_a_disk_that_fills_up_is_named_and_the_index_says_failed(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"

    def filling(source: Path, into: Path, params: dict) -> None:
        if "01" in source.name:
            _executed(source, into, params)
            used = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
            monkeypatch.setattr(disk.os, "replace", _full(out, used))
        disk.write_bytes(out / "more", bytes(1 << 17))

    assert run(execute=filling) == 1
    told, index = capfd.readouterr().err, (out / "index.html").read_text()
    assert "/out/more cannot be written: the disk is full; free space there" in told
    assert "Traceback" not in told and "Errno" not in told
    assert "This run FAILED: 01_feature_extraction, 02_base_task" in index and "the disk is full" in index
    monkeypatch.undo()


def test_a_notebook_that_a_full_disk_cut_off_fails_with_the_cause(
    run: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    def cut_off(source: Path, into: Path, params: dict) -> None:
        into.write_text('{"cells": [')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run(execute=cut_off, notebooks="01") == 1
    told, index = capfd.readouterr().err, (tmp_path / "out/index.html").read_text()
    assert "01_feature_extraction.ipynb cannot be written: the disk is full" in told
    assert "This run FAILED" in index and "the disk is full" in index


def _file(out: Path) -> str:
    out.write_text("a file")
    return str(out)


def _below_a_file(out: Path) -> str:
    return _file(out) + "/deep/er"


def _folder_for_a_report(out: Path) -> str:
    (out / "01_feature_extraction.html").mkdir(parents=True)
    (out / "index.html").mkdir()
    return str(out)


def _file_for_the_store(out: Path) -> str:
    out.mkdir()
    (out / "store").touch()
    return str(out)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_file, "is a file; expected a folder"),
        (_below_a_file, "is a file; expected a folder"),
        (_folder_for_a_report, "01_feature_extraction.html is a folder; a run writes a file there"),
        (_file_for_the_store, "store is a file; a run keeps a folder there"),
        (lambda _: " ", "--out: expected a folder, got an empty text"),
        (lambda _: "/proc/nowhere/x", "cannot be made"),
    ],
)
def test_an_out_that_cannot_take_a_run_is_one_sentence(
    run: Callable, tmp_path: Path, make: Callable[[Path], str], told: str, capfd: pytest.CaptureFixture
) -> None:
    out = make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    assert run(out=out) == 2
    said = capfd.readouterr().err
    assert told in said and "Traceback" not in said and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["-p", "control_backbone=resnet_nonsense"],
            "control_backbone: timm knows no model 'resnet_nonsense'",
        ),
        (
            ["-p", "ablations=backbone=resnet_nonsense"],
            "ablation backbone=resnet_nonsense: timm knows no model",
        ),
        (["-p", "ablations=overlap=2"], "overlap=2: backbone=filterbank has no such option"),
        (["--device", "mps"], "device: expected auto, cpu, cuda or cuda:N, got 'mps'"),
        (["--device", "meta"], "got 'meta', which is not supported"),
        (["--device", "cpu:3"], "got 'cpu:3'"),
        (["--device", "0"], "got '0'"),
        (["-p", "smoothing_sigma=1e9"], "smoothing_sigma: expected 0 … 256"),
    ],
)
def test_what_a_later_notebook_needs_is_asked_for_before_the_first_runs(
    run: Callable, tmp_path: Path, words: list[str], told: str, capfd: pytest.CaptureFixture
) -> None:
    plain = ["-p", "ablations=top_k=1"] if "ablations" not in str(words) else []
    assert run(*words, *plain, notebooks="01,03,05") == 2
    assert told in capfd.readouterr().err and not (tmp_path / "out").exists()


def test_what_no_chosen_notebook_needs_is_not_asked_for(run: Callable) -> None:
    assert run("-p", "control_backbone=resnet_nonsense", "-p", "ablations=overlap=2", notebooks="01") == 0


def test_a_bad_photo_among_new_ones_stops_nothing_and_one_in_training_stops_all(
    run: Callable, data: Path, capfd: pytest.CaptureFixture
) -> None:
    photo = data / "nut/train/good/000.png"
    Image.open(photo).convert("RGBA").save(photo)
    pixels = Image.open(photo)
    pixels.putalpha(9)
    pixels.save(photo)
    assert run() == 2 and "train/good/000.png" in capfd.readouterr().err
    (data / "nut/test/unlabelled").mkdir()
    shutil.move(photo, data / "nut/test/unlabelled/new.png")
    assert run() == 0 and "1 that cannot be read (new.png)" in capfd.readouterr().err


def test_a_finished_run_is_read_where_nothing_can_be_written(
    tiny_config: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moleflow_lib.experiment import Experiment
    from moleflow_lib.studies.ablation import planned_runs, run_ablation

    config = tiny_config(classes=(), ablations="top_k=1", ablation_seeds=(0,), ablation_orders=()).with_(
        classes=("leather", "nut")
    )
    folder = Path(config.run.out_dir) / "store/ablations"

    def numbers() -> str:
        experiment = Experiment(config)
        rows = run_ablation(planned_runs(config), folder, jobs=1)
        return json.dumps([experiment.evaluate().final("image_auroc"), experiment.hashes(), rows])

    first = numbers()

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("replace", "mkdir", "unlink"):
        monkeypatch.setattr(disk.os, name, refused)
    assert numbers() == first


def test_a_report_that_cannot_be_written_is_one_sentence(
    run: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert run(notebooks="01") == 0
    notebook = str(tmp_path / "out/executed/01_feature_extraction.ipynb")
    (tmp_path / "file").touch()
    assert main(["report", notebook, "--into", str(tmp_path / "file/report.html")]) == 2
    told = capfd.readouterr().err
    assert "is a file, not a folder" in told or "a file lies where a folder is needed" in told
