"""A run's folder keeps the order of tasks it began with; another base task is asked for, never slipped in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.training.sequence import record_order, settled_order


def test_new_products_come_last_and_the_base_stays(tmp_path: Path) -> None:
    assert settled_order(tmp_path, ["axle", "bolt", "nut"]) == ("axle", "bolt", "nut")
    record_order(tmp_path, ["nut", "bolt+pin"], replace=True)
    assert settled_order(tmp_path, ["axle", "bolt", "nut", "pin"]) == ("nut", "bolt+pin", "axle")
    assert settled_order(tmp_path, ["axle", "bolt", "nut"]) == ("nut", "axle", "bolt")
    with pytest.raises(ConfigError, match="began with the base task nut, which the dataset does not hold"):
        settled_order(tmp_path, ["axle", "bolt"])


def test_an_order_named_for_one_run_does_not_replace_what_is_recorded(tmp_path: Path) -> None:
    record_order(tmp_path, ["bolt", "nut"], replace=False)
    record_order(tmp_path, ["nut"], replace=False)
    assert settled_order(tmp_path, ["axle", "bolt", "nut"]) == ("bolt", "nut", "axle")
    record_order(tmp_path, ["bolt", "nut", "axle"], replace=True)
    assert settled_order(tmp_path, ["aaa", "axle", "bolt", "nut"]) == ("bolt", "nut", "axle", "aaa")


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"tasks": 3}', '{"tasks": ["a", 1]}', "{"])
def test_a_damaged_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "sequence.json").write_text(text)
    with pytest.raises(ArtifactError, match="delete it and run again"):
        settled_order(tmp_path, ["bolt"])


def test_a_folder_that_sorts_first_trains_nothing_again(
    tiny_data: Path, tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, data / name)
    config = tiny_config(dataset_root=str(data), classes=()).with_(classes=())
    first = Experiment(config).learn()
    assert [(one.name, one.resumed) for one in first] == [("leather", False), ("nut", False)]
    shutil.copytree(tiny_data / "board", data / "board")
    later = Experiment(config).learn()
    assert [(one.name, one.resumed) for one in later] == [("leather", True), ("nut", True), ("board", False)]
    assert [one.state_sha256 for one in later[:2]] == [one.state_sha256 for one in first]
    asked = Experiment(config.with_(classes=("board", "leather"))).learn(1)
    assert [(one.name, one.resumed) for one in asked] == [("board", False)], "asked for, it is the base"
    assert [task.name for task in Experiment(config).tasks] == ["leather", "nut", "board"]


def test_what_another_device_learned_is_read_back(
    tiny_config: Callable[..., ExperimentConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(classes=("leather", "nut"))

    class Played(str):
        type = "cuda"

    monkeypatch.setattr(ContinualDetector, "device", property(lambda _: Played("cpu")))
    there = Experiment(config).learn()
    assert [(one.device, one.resumed) for one in there] == [("cuda", False)] * 2
    monkeypatch.undo()
    here = Experiment(config)
    assert [(one.device, one.resumed) for one in here.learn()] == [("cuda", True)] * 2
    assert [one.state_sha256 for one in here.learn()] == [one.state_sha256 for one in there]
    assert here.hashes()["device that nut was learned on"] == "cuda"
