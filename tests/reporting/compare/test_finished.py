"""Folders that are no finished run, runs that cannot be compared: each refused, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.reporting.compare.comparable import check_comparable
from moleflow_lib.reporting.compare.finished import finished_runs
from moleflow_lib.reporting.compare.record import NAME
from moleflow_lib.storage.keys import digest, file_sha256

RESULT = "03_continual_tasks.result.json"
Change = Callable[[dict], object]


def edited(run: Path, of_record: Change = dict, of_result: Change = dict) -> Path:
    """A run whose record and result file were changed, the hash between them made right again."""
    record, result = json.loads((run / f"{NAME}.json").read_text()), json.loads((run / RESULT).read_text())
    of_record(record)
    facts = {name: value for name, value in record.items() if name != "manifest_sha256"}
    (run / f"{NAME}.json").write_text(json.dumps({**facts, "manifest_sha256": digest(facts)}))
    result["test_images"]["sha256"] = file_sha256(run / f"{NAME}.json")
    of_result(result)
    (run / RESULT).write_text(json.dumps(result))
    return run


def _refused(*folders: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_comparable(finished_runs(folders))
    return str(caught.value)


def _no_run(*folders: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        finished_runs(folders)
    return str(caught.value)


def test_one_run_is_not_compared(reference: Path) -> None:
    with pytest.raises(ConfigError, match="at least two runs, got 1"):
        finished_runs([reference])


def test_what_is_no_run_is_named_all_at_once(reference: Path, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (copied / RESULT).unlink()
    told = _no_run(reference, tmp_path / "none", tmp_path / "empty", copied)
    assert "none is no folder" in told and "empty holds no run; expected 03_continual" in told
    assert "copied is not finished" in told and str(reference) not in told


def test_a_missing_result_is_named_with_what_makes_it(reference: Path, copied: Path) -> None:
    (copied / "01_feature_extraction.result.json").write_text("{}")
    (copied / RESULT).unlink()
    told = _no_run(reference, copied)
    assert "notebook 03 has left no result; expected 03_continual_tasks.result.json in it" in told
    assert f"--out {copied} --notebooks 03" in told and "is read back" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda result: result.pop("test_images"), "was made by an earlier version"),
        (lambda result: result.update(schema=99), "has schema 99, this version reads 1"),
        (lambda result: result.update(config=[]), "damaged, it lacks config"),
        (lambda result: result["config"].pop("eval_size"), "damaged, it lacks eval_size"),
        (lambda result: result["test_images"].update(sha256="0"), "is not the one that 03_continual"),
    ],
)
def test_a_result_that_cannot_be_used(change: Change, told: str, reference: Path, copied: Path) -> None:
    assert told in _no_run(reference, edited(copied, of_result=change))


def test_files_that_are_damaged_or_missing_are_named(reference: Path, copied: Path) -> None:
    tensors = copied / f"{NAME}.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    assert f"{tensors} is damaged" in _no_run(reference, copied)
    tensors.unlink()
    assert f"{tensors} is missing" in _no_run(reference, copied)
    (copied / RESULT).write_text("{")
    assert "is not valid JSON" in _no_run(reference, copied)


def test_another_evaluation_size_or_cut_is_refused(reference: Path, copied: Path) -> None:
    changed = edited(copied, of_result=lambda result: result["config"].update(eval_size=28, resize="crop"))
    told = _refused(reference, changed)
    assert "eval_size: expected 56, found 28" in told and "resize: expected resize, found crop" in told


def test_another_number_of_tasks_is_refused(reference: Path, copied: Path) -> None:
    told = _refused(reference, edited(copied, of_record=lambda record: record["tasks"].pop()))
    assert "expected 2 tasks, found 1" in told and "lacks tasks: nut" in told
    told = _refused(copied, reference)
    assert "expected 1 task, found 2" in told and "has further tasks: nut" in told


def test_other_products_are_named(reference: Path, copied: Path) -> None:
    told = _refused(
        reference, edited(copied, of_record=lambda record: record["tasks"][1].update(name="bolt"))
    )
    assert "lacks tasks: nut" in told and "has further tasks: bolt" in told and "tasks, found" not in told


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [("mask_sha256", "0", "another mask"), ("label", 0, "another label"), ("sha256", "0", "other content")],
)
def test_images_that_differ_are_named(
    key: str, value: object, told: str, reference: Path, copied: Path
) -> None:
    def change(record: dict) -> None:
        for image in record["tasks"][1]["images"]:
            image[key] = value

    names = [
        f"{i['product']}/{i['defect']}/{i['image']}" for i in _images(reference, "nut") if i[key] != value
    ]
    found = _refused(reference, edited(copied, of_record=change))
    assert f"task nut has test images with {told}: " in found and names[0] in found and "leather" not in found
    assert found.count("nut/") == 3 and f" and {len(names) - 3} more" in found


def test_the_same_images_in_another_order_are_refused(reference: Path, copied: Path) -> None:
    changed = edited(copied, of_record=lambda record: record["tasks"][0]["images"].reverse())
    assert "task leather has its test images in another order" in _refused(reference, changed)


def test_a_real_run_on_other_test_images_is_refused_by_the_command(
    finished: Callable[..., Path],
    reference: Path,
    tiny_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    first, second = sorted((data / "nut" / "test" / "good").glob("*.png"))[:2]
    shutil.copy(second, first)
    next((data / "leather" / "test" / "good").glob("*.png")).unlink()
    run = finished("changed", dataset_root=data)
    assert main(["compare", str(reference), str(run), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert f"task nut has test images with other content: nut/good/{first.name}" in told
    assert "task leather lacks test images: leather/good/" in told and not (tmp_path / "out").exists()


def test_training_images_may_differ(
    finished: Callable[..., Path], reference: Path, tiny_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    next((data / "nut" / "train" / "good").glob("*.png")).unlink()
    check_comparable(finished_runs([reference, finished("fewer", dataset_root=data)]))


def _images(run: Path, task: str) -> list[dict]:
    record = json.loads((run / f"{NAME}.json").read_text())
    return next(entry["images"] for entry in record["tasks"] if entry["name"] == task)
