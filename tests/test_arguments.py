"""Command lines: a misspelt option is named first, `~` is one's home in every command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_prep.cli import main as prepare
from moleflow_lib.cli import main
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import save_detector


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["run", "--presett", "demo"], "unknown option --presett, did you mean --preset?"),
        (["score", "--false-alarm=0.1", "--outt", "x"], "unknown option --outt, did you mean --out?"),
        (["learn", "--clases=nut"], "unknown option --clases, did you mean --classes?"),
        (["compare", "--zzz"], "unknown option --zzz"),
    ],
)
def test_a_misspelt_option_is_named_before_missing_ones(
    command: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as left:
        main(command)
    error = capsys.readouterr().err
    assert left.value.code == 2 and told in error and "required" not in error


def test_the_other_program_names_it_too(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as left:
        prepare(["check", "--jsn", "x"])
    assert left.value.code == 2 and "unknown option --jsn, did you mean --json?" in capsys.readouterr().err


def test_a_start_of_an_option_is_still_that_option(capsys: pytest.CaptureFixture) -> None:
    assert main(["params", "--pre", "demo"]) == 0 and "filterbank" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--run", "--out"])
def test_an_empty_folder_is_refused(option: str, capsys: pytest.CaptureFixture) -> None:
    given = {"--run": "a", "--out": "b", option: " "}
    with pytest.raises(SystemExit) as left:
        main(["score", *(word for pair in given.items() for word in pair), "photos"])
    assert left.value.code == 2 and f"argument {option}: expected a file or folder" in capsys.readouterr().err


def test_home_is_home_in_every_command(
    learned: Experiment,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    shutil.copytree(save_detector(learned), tmp_path / "run" / "detector")
    (tmp_path / "data").symlink_to(tiny_data)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "run")
    photo = next((tiny_data / "nut" / "test" / "good").iterdir())
    (tmp_path / "photo.png").symlink_to(photo)
    assert main(["score", "--run=~/run", "--out=~/scored", "--device", "cpu", "~/photo.png"]) == 0
    assert main(["export", "--run=~/run", "--task", "nut", "--out=~/exported"]) == 0
    learn = ["learn", "--run=~/run", "--dataset-root=~/data", "--classes", "grid", "--device", "cpu"]
    assert main(learn) == 0
    assert main(["compare", "~/run", "~/other", "--out=~/compared"]) == 2
    assert f"{tmp_path / 'run'}" in capsys.readouterr().err, "a run that is not finished, under its own path"
    assert (tmp_path / "scored" / "scores.csv").is_file() and (tmp_path / "exported" / "nut.pt2").is_file()
    assert not list(Path.cwd().glob("~*"))


@pytest.mark.parametrize("device", ["gpu", "mps", "0", "CPU", "meta", "xpu", "cpu:3"])
def test_a_device_of_another_kind_is_refused_before_anything_is_removed(
    device: str, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "02_base_task.html").write_text("an earlier report")
    words = ["run", "--dataset-root", str(tmp_path), "--out", str(tmp_path / "out"), "--device", device]
    assert main(words) == 2
    assert f"device: expected auto, cpu, cuda or cuda:N, got {device!r}" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["02_base_task.html"]
