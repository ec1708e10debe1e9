"""A product more, without the earlier images: earlier scores stay, as if all were learned at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import BusyError, ConfigError, DataError
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import (
    LearnedDetector,
    ScoredImage,
    learn_further,
    learn_into,
    load_detector,
    save_detector,
)
from moleflow_lib.storage.keys import file_sha256
from moleflow_lib.storage.run_lock import LOCK, run_lock


def _scores(detector: LearnedDetector, folder: Path) -> list[ScoredImage]:
    return detector.score(folder)


def _facts(images: list[ScoredImage]) -> list[tuple]:
    return [
        (image.name, image.task, image.score, image.rank, image.threshold, image.map.tobytes())
        for image in images
    ]


@pytest.mark.parametrize(
    "more", [{}, {"router_covariance": "tied", "memory_size": 64, "prototype_weight": 0.3}]
)
def test_with_the_training_images_gone(
    more: dict,
    tiny_config: Callable[..., ExperimentConfig],
    tiny_data: Path,
    tmp_path: Path,
    learned: Experiment,
) -> None:
    root = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, root / name)
    photos = Path(
        shutil.copytree(
            tiny_data, tmp_path / "photos", ignore=shutil.ignore_patterns("train", "ground_truth")
        )
    )
    config = tiny_config(dataset_root=str(root), classes=("leather", "nut"), **more)
    saved = save_detector(Experiment(config))
    run = tmp_path / "moved"
    shutil.move(saved, run / "detector")
    shutil.rmtree(config.run.out_dir)
    shutil.rmtree(root)
    detector = load_detector(run, "cpu")
    before = [_facts(detector.score(photos / name)) for name in ("leather", "nut")]
    files = {path.name: file_sha256(path) for path in (run / "detector").glob("*.safetensors")}
    shutil.copytree(tiny_data / "board" / "train", tmp_path / "new" / "board" / "train")
    grown = learn_into(run, tmp_path / "new", ["board"], "cpu")
    again = load_detector(run, "cpu")
    assert grown.tasks == again.tasks == ("leather", "nut", "board")
    for one in (grown, again):
        assert [_facts(one.score(photos / name)) for name in ("leather", "nut")] == before
        assert {image.task for image in one.score(photos / "board")} == {"board"}
    after = {path.name: file_sha256(path) for path in (run / "detector").glob("*.safetensors")}
    assert after.items() > files.items() and len(after) == len(files) + 1
    assert not (run / "store").exists()
    if not more:
        whole = load_detector(save_detector(learned, tmp_path / "whole"), "cpu")
        assert _facts(whole.score(photos)) == _facts(again.score(photos)), (
            "one after another is as good as at once"
        )
        assert whole.calibration.limits.tolist() == again.calibration.limits.tolist()
        assert again.config.data.classes == whole.config.data.classes


def test_a_run_that_is_continued_trains_nothing_again(
    tiny_config: Callable[..., ExperimentConfig], tiny_data: Path
) -> None:
    config = tiny_config(classes=("leather", "nut"))
    save_detector(Experiment(config))
    learn_into(config.run.out_dir, tiny_data, ["board"], "cpu")
    histories = Experiment(config.with_(classes=("leather", "nut", "board"))).learn()
    assert [history.resumed for history in histories] == [True] * 3


def test_what_was_learned_stays_as_it_was(loaded: LearnedDetector, tiny_data: Path) -> None:
    grown = learn_further(loaded, tiny_data, ["grid"])
    assert loaded.tasks == ("leather", "nut", "board") and grown.tasks == (*loaded.tasks, "grid")


def test_what_cannot_be_learned_leaves_the_folder(saved: Path, tiny_data: Path, tmp_path: Path) -> None:
    manifest = (saved / "manifest.json").read_text()
    (tmp_path / "one").mkdir()
    shutil.copytree(tiny_data / "grid" / "train", tmp_path / "one" / "grid" / "train")
    for path in sorted((tmp_path / "one" / "grid" / "train" / "good").iterdir())[1:]:
        path.unlink()
    for classes, error, told in [
        (["nut"], ConfigError, "nut: learned already"),
        (["grid+nut"], ConfigError, "nut: learned already"),
        ([], ConfigError, "expected the new products"),
        (["screw"], DataError, "screw"),
        (["grid"], DataError, "needs at least 2 training images, found 1"),
    ]:
        root = tmp_path / "one" if "found 1" in told else tiny_data
        with pytest.raises(error, match=told):
            learn_into(saved, root, classes, "cpu")
    assert (saved / "manifest.json").read_text() == manifest and json.loads(manifest)["tasks"]


@pytest.mark.parametrize("named", [".", "detector"])
def test_learning_waits_for_nobody_and_writes_beside_nobody(
    named: str, saved: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run / "detector")
    before = (run / "detector" / "manifest.json").read_bytes()
    with run_lock(run), pytest.raises(BusyError, match="learn into another --run"):  # as `run` and `learn` do
        learn_into(run / named, tiny_data, ["grid"], "cpu")
    assert (run / "detector" / "manifest.json").read_bytes() == before
    held = []

    def watched(*given: object) -> LearnedDetector:
        held.append((run / LOCK).is_file())
        with pytest.raises(BusyError, match="give another --out"), run_lock(run):
            pass
        return learn_further(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("moleflow_lib.inference.new_tasks.learn_further", watched)
    learn_into(run / named, tiny_data, ["grid"], "cpu")
    assert held == [True] and not (run / LOCK).exists()
