"""A detector's folder: whole, movable, refused when it is damaged or of something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, BackboneError, ConfigError, MissingWeightsError
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, learn_into, load_detector, save_detector, saved_detector
from moleflow_lib.inference.calibration import Calibration
from moleflow_lib.inference.detector_folder import SCHEMA
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.task_parts import TaskParts
from moleflow_lib.storage.artifacts import tensors_sha256
from moleflow_lib.storage.keys import file_sha256
from tests.conftest import TINY


@pytest.fixture
def moved(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "elsewhere" / "detector"))


def _edited(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_loaded_is_what_was_learned(learned: Experiment, moved: Path) -> None:
    loaded = load_detector(moved.parent, "cpu")
    assert loaded.tasks == ("leather", "nut", "board") and "leather, nut, board; filterbank on cpu" in repr(
        loaded
    )
    assert tensors_sha256(loaded.detector.flow.state_dict()) == tensors_sha256(
        learned.detector.flow.state_dict()
    )
    for ours, theirs in zip(loaded.detector.tasks, learned.detector.tasks, strict=True):
        assert ours.hashes() == theirs.hashes() and ours.key == theirs.key
        assert replace(ours.history, resumed=False) == replace(theirs.history, resumed=False)
        assert tensors_sha256(ours.prototype.state()) == tensors_sha256(theirs.prototype.state())
    groups = ("data", "features", "flow", "train", "score", "router", "study")
    assert loaded.config.group(*groups) == learned.config.group(*groups)


def test_every_field_of_a_task_is_stored(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    config = tiny_config(
        classes=("leather", "nut"),
        whitening="full",
        score_parts="flow,gaussian,memory",
        memory_size=32,
        prototype_weight=0.3,
        compress_scores=True,
        epochs=1,
    )
    experiment = Experiment(config)
    loaded = load_detector(save_detector(experiment, tmp_path / "saved"), "cpu").detector
    for ours, theirs in zip(loaded.tasks, experiment.detector.tasks, strict=True):
        assert ours.hashes() == theirs.hashes() and len(ours.hashes()) == 3
        assert all(getattr(ours, field.name) is not None for field in fields(TaskParts))
    patches = experiment.evaluators[0].features.patches
    assert torch.equal(loaded.patch_scores(patches, 1), experiment.detector.patch_scores(patches, 1))


def test_another_task_changes_no_byte_of_the_others(
    learned: Experiment, loaded: LearnedDetector, tmp_path: Path
) -> None:
    fewer = ContinualDetector(
        learned.detector.flow, learned.config, learned.detector.tasks[:2], learned.detector.reference
    )
    calibration = Calibration.of(loaded.calibration.tasks[:2], learned.config)
    folder = save_detector(LearnedDetector(fewer, loaded.extractor, calibration), tmp_path / "grown")
    before = {
        path.name: (file_sha256(path), path.stat().st_mtime_ns) for path in folder.glob("*.safetensors")
    }
    save_detector(loaded, folder)
    after = {path.name: (file_sha256(path), path.stat().st_mtime_ns) for path in folder.glob("*.safetensors")}
    assert len(before) == 3 and len(after) == 4 and after.items() >= before.items()
    manifest = json.loads((folder / "manifest.json").read_text())
    listed = {entry["file"]: entry["sha256"] for entry in (manifest["base"], *manifest["tasks"])}
    assert listed == {name: sha256 for name, (sha256, _) in after.items()}


def test_a_folder_that_was_another_detectors_keeps_nothing_of_it(
    loaded: LearnedDetector, moved: Path
) -> None:
    (moved / "task-000-old-0123.safetensors").write_bytes(b"old")
    save_detector(loaded, moved)
    assert len(list(moved.glob("*.safetensors"))) == 4


def test_no_path_of_the_training_machine_is_in_it(saved: Path, tiny_data: Path) -> None:
    for path in saved.iterdir():
        content = path.read_bytes()
        assert not any(
            str(place).encode() in content for place in (tiny_data, saved.parent, Path.home(), Path.cwd())
        )
    names = ("dataset_root", "out_dir", "backbone_weights", "scheduler")
    assert not any(name in (saved / "manifest.json").read_text() for name in names)
    provenance = json.loads((saved / "manifest.json").read_text())["provenance"]
    assert provenance["device"] == "cpu" and provenance["torch"] and provenance["moleflow_lib"]


@pytest.mark.parametrize("path", ["nothing here", "."])
def test_a_folder_that_is_no_run_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"expected detector/manifest.json in it"):
        load_detector(tmp_path / path)


@pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA + 1])
def test_an_older_or_newer_schema_is_refused(moved: Path, schema: int) -> None:
    _edited(moved, schema=schema)
    with pytest.raises(ArtifactError, match=f"schema {schema}, this version of moleflow_lib reads {SCHEMA}"):
        load_detector(moved)


@pytest.mark.parametrize(
    "changes", [{"base": {}}, {"tasks": []}, {"config": None}, {"tasks": [{"name": "nut"}]}]
)
def test_a_manifest_that_lacks_something_is_refused(changes: dict, moved: Path) -> None:
    _edited(moved, **changes)
    with pytest.raises(ArtifactError, match=f"lacks {next(iter(changes))}"):
        load_detector(moved)


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "task"}'])
def test_what_is_no_manifest_is_refused(content: str, moved: Path) -> None:
    (moved / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        load_detector(moved)


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_a_damaged_file_is_named(harm: str, moved: Path) -> None:
    path = next(moved.glob("task-001-nut-*"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.unlink() if harm == "gone" else path.write_bytes(data if harm == "flip" else data[:-5])
    with pytest.raises(ArtifactError, match=path.name):
        load_detector(moved)


def test_options_of_another_version_are_refused(moved: Path) -> None:
    _edited(moved, config={**json.loads((moved / "manifest.json").read_text())["config"], "warp": 3})
    with pytest.raises(ArtifactError, match="another version of moleflow_lib.*warp"):
        load_detector(moved)


def test_weights_of_another_backbone_are_refused(moved: Path) -> None:
    backbone = json.loads((moved / "manifest.json").read_text())["backbone"]
    backbone["identity"]["weights_sha256"] = "0" * 64
    _edited(moved, backbone=backbone)
    with pytest.raises(
        BackboneError, match=r"learned with another backbone .*weights_sha256: expected '0000"
    ):
        load_detector(moved)


def test_weights_that_are_missing_are_named(moved: Path, tmp_path: Path) -> None:
    manifest = json.loads((moved / "manifest.json").read_text())
    tag = "vit_tiny_patch16_224.augreg_in21k"
    _edited(
        moved, config={**manifest["config"], "backbone": tag}, backbone={**manifest["backbone"], "name": tag}
    )
    with pytest.raises(BackboneError, match=rf"needs the weights of {tag} .*no file .*none\.safetensors"):
        load_detector(moved, backbone_weights=tmp_path / "none.safetensors")


def test_a_detector_that_is_there_is_left_as_it_is(
    tiny_config: Callable[..., ExperimentConfig], tiny_data: Path
) -> None:
    config = tiny_config(classes=("leather", "nut"), epochs=1)
    folder = saved_detector(Experiment(config))
    learn_into(folder, tiny_data, ["board"], "cpu")
    assert saved_detector(Experiment(config)) == folder
    assert load_detector(folder, "cpu").tasks == ("leather", "nut", "board")
    manifest = (folder / "manifest.json").read_bytes()
    for changes in ({"top_k": 1}, {"classes": ("nut",)}):
        with pytest.raises(ConfigError, match="holds board, learned into it with `learn`"):
            saved_detector(Experiment(config.with_(**changes)))
        assert (folder / "manifest.json").read_bytes() == manifest
    (folder / "manifest.json").unlink()
    assert load_detector(saved_detector(Experiment(config)), "cpu").tasks == ("leather", "nut")


def test_saving_a_run_again_keeps_what_was_learned_into_its_folder(
    tiny_config: Callable[..., ExperimentConfig], tiny_data: Path
) -> None:
    config = tiny_config(classes=("leather",), epochs=1)
    folder = save_detector(Experiment(config))
    for name in ("nut", "board"):
        learn_into(folder, tiny_data, [name], "cpu")
    files = sorted(path.name for path in folder.iterdir())
    assert save_detector(Experiment(config)) == folder
    assert sorted(path.name for path in folder.iterdir()) == files
    assert load_detector(folder, "cpu").tasks == ("leather", "nut", "board")
    changed = Experiment(config.with_(top_k=1))
    for again, folds in ((changed, None), (Experiment(config), 2)):
        with pytest.raises(ConfigError, match="holds nut, board, learned into it with `learn`; this run's"):
            save_detector(again, calibration_folds=folds)
    save_detector(Experiment(config.with_(classes=("leather", "nut", "board"))))
    assert json.loads((folder / "manifest.json").read_text())["added"] == []
    save_detector(changed)
    assert load_detector(folder, "cpu").tasks == ("leather",)


def test_a_folder_that_cannot_be_written_is_named(loaded: LearnedDetector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"file/base-\w+\.safetensors cannot be written"):
        save_detector(loaded, tmp_path / "file")


def test_without_a_task_there_is_nothing_to_save(loaded: LearnedDetector, tmp_path: Path) -> None:
    config = ExperimentConfig.from_params(TINY)
    empty = LearnedDetector(
        ContinualDetector.untrained(132, config),
        loaded.extractor,
        Calibration(tasks=(), limits=torch.zeros(0)),
    )
    with pytest.raises(ConfigError, match="knows no task"):
        save_detector(empty, tmp_path)
    with pytest.raises(ConfigError, match="folder: expected"):
        save_detector(loaded)


def test_weights_that_cannot_be_had_are_asked_for_by_file_alone(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingWeightsError("the weights of x could not be downloaded; give --backbone-weights FILE")

    monkeypatch.setattr("moleflow_lib.inference.detector_files.build_extractor", missing)
    with pytest.raises(BackboneError, match="needs the weights of .*give --backbone-weights FILE$") as caught:
        load_detector(moved, "cpu")
    assert "--backbone filterbank" not in str(caught.value), "a detector keeps its backbone"
