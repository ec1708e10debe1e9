"""An exported task says what the detector says, without this package; bad requests leave nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from moleflow_lib.cli import main
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, BackboneError, ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import ScoredImage, export, export_task, load_detector, save_detector
from moleflow_lib.storage.keys import file_sha256
from tests.conftest import TINY

TAG = "vit_tiny_patch16_224"
VIT = {"backbone": TAG, "image_size": 64, "blocks": "1,3"}
VARIANTS = {
    "demo": {},
    "v5_final": {"preset": "v5_final", "dia_blocks": 2, **VIT},
    "recommended": {"preset": "recommended", "memory_size": 64, "steps": 2, "overlap": 2, **VIT},
    "a CNN": {"backbone": "random:resnet10t", "blocks": "1,2", "feature_dim": 32, "whitening": "off"},
}
EXTRA = all(map(find_spec, ("onnx", "onnxscript", "onnxruntime")))


@dataclass(frozen=True)
class Exported:
    """A task of a small run, exported, and what the run's detector says about some images."""

    run: Path
    files: list[Path]
    images: list[ScoredImage]

    def pixels(self, count: int) -> np.ndarray:
        """The first images as a program takes them."""
        return np.stack([image.pixels for image in self.images[:count]]).transpose(0, 3, 1, 2).copy()

    def agrees(self, found: tuple, tolerance: float) -> None:
        """Scores and maps of the first images are the detector's, as shares of the largest value."""
        scores, maps = (np.asarray(values) for values in found)
        images = self.images[: len(scores)]
        assert scores.dtype == maps.dtype == np.float32
        for ours, theirs in ((scores, [i.score for i in images]), (maps, [i.map for i in images])):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def exported(
    request: pytest.FixtureRequest, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    """A run with two tasks under the options of a variant; the second is exported."""
    folder = tmp_path_factory.mktemp("exported")
    options = {"classes": ("leather", "nut"), "epochs": 1, **VARIANTS[request.param]}
    weights = ""
    if options.get("backbone") == TAG:
        weights = str(folder / "model.safetensors")
        torch.manual_seed(0)
        save_file(timm.create_model(TAG, pretrained=False).state_dict(), weights)
    paths = {"dataset_root": str(tiny_data), "out_dir": str(folder / "run"), "backbone_weights": weights}
    save_detector(Experiment(ExperimentConfig.from_params({**TINY, **options, **paths})))
    images = load_detector(folder / "run", "cpu", weights).score(tiny_data / "nut" / "test", task="nut")
    files = export_task(folder / "run", "nut", folder / "new", onnx=EXTRA, backbone_weights=weights)
    return Exported(folder / "run", files, images)


@pytest.mark.parametrize("exported", VARIANTS, indirect=True)
def test_a_program_says_what_the_detector_says(exported: Exported) -> None:
    program = torch.export.load(exported.files[0]).module()
    for count in (1, 3, 8):
        exported.agrees(program(torch.from_numpy(exported.pixels(count))), 1e-5)


@pytest.mark.parametrize("exported", VARIANTS, indirect=True)
def test_onnx_says_what_the_detector_says(exported: Exported) -> None:
    if not EXTRA:
        pytest.skip("the extra `onnx` is not installed")
    import onnxruntime

    assert [path.name for path in exported.files] == ["nut.pt2", "nut.onnx", "nut.json"]
    session = onnxruntime.InferenceSession(exported.files[1])
    for count in (1, 3, 8):  # features are rounded to 16 bits, where a last bit may fall either way
        exported.agrees(session.run(["score", "map"], {"images": exported.pixels(count)}), 1e-3)


@pytest.mark.parametrize("exported", ["demo"], indirect=True)
def test_the_program_needs_no_moleflow_lib(exported: Exported, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", exported.pixels(8))
    code = (
        "import sys, numpy as np, torch; program = torch.export.load(sys.argv[1]).module(); "
        "score, maps = program(torch.from_numpy(np.load('images.npy'))); "
        "np.savez('found.npz', score=score, map=maps); assert 'moleflow_lib' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(exported.files[0])]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    exported.agrees((found["score"], found["map"]), 1e-5)


@pytest.mark.parametrize("exported", ["demo"], indirect=True)
def test_the_sidecar_says_how_to_use_it(exported: Exported) -> None:
    *programs, sidecar = exported.files
    detector = load_detector(exported.run, "cpu")
    facts = json.loads(sidecar.read_text())
    assert facts["task"] == "nut" and facts["files"] == {path.name: file_sha256(path) for path in programs}
    assert facts["input"]["images"] == ["batch", 3, 56, 56] and facts["output"]["map"] == ["batch", 56, 56]
    assert facts["input"]["mean"] == detector.extractor.mean.flatten().tolist()
    assert facts["run_manifest_sha256"] == file_sha256(exported.run / "detector" / "manifest.json")
    assert "torch.export.load('nut.pt2')" in facts["use"][0] and "(batch, 3, 56, 56) uint8" in facts["use"][1]
    assert facts["provenance"]["torch"] and facts["backbone"]["tag"] == "filterbank"
    for entry in facts["thresholds"]:
        assert entry["threshold"] == detector.thresholds(entry["false_alarm_rate"])["nut"]


@pytest.mark.parametrize("exported", ["demo"], indirect=True)
def test_what_is_there_is_not_written_over(exported: Exported) -> None:
    before = [file_sha256(path) for path in exported.files]
    for out in (exported.files[0], exported.files[0].parent):
        assert main(["export", "--run", str(exported.run), "--task", "nut", "--out", str(out)]) == 2
    with pytest.raises(ConfigError, match=r"nut\.pt2, .*nut\.json exist already"):
        export_task(exported.run, "nut", exported.files[0])
    assert before == [file_sha256(path) for path in exported.files]


def test_the_command_names_what_it_wrote(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(export, "_exported", lambda learned, task: None)
    monkeypatch.setattr(export, "_saved", lambda program: b"program")
    assert main(["export", "--run", str(saved), "--task", "nut", "--out", str(tmp_path)]) == 0
    assert f"nut: {tmp_path / 'nut.pt2'}, {tmp_path / 'nut.json'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "words", "told"),
    [
        ("saved", ["--task", "screw"], "expected one of leather, nut, board, got 'screw'"),
        ("tmp", ["--task", "nut"], "expected detector/manifest.json"),
        ("saved", ["--task", "nut", "--backbone-weights", "none"], "filterbank takes no weights"),
    ],
)
def test_requests_that_cannot_be_met(
    run: str, words: list[str], told: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    where = saved if run == "saved" else tmp_path
    assert main(["export", "--run", str(where), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("exported", ["v5_final"], indirect=True)
def test_weights_that_are_not_at_hand_are_named(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=rf"needs the weights of {TAG} .*no file .*none\.safetensors"):
        export_task(exported.run, "nut", tmp_path / "out", backbone_weights=tmp_path / "none.safetensors")


def test_without_the_extra_onnx_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"--onnx needs onnx and onnxscript; pip install .*\[onnx\]"):
        export_task(tmp_path, "nut", tmp_path / "out", onnx=True)


def test_what_cannot_be_written_whole_is_not_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(draft: str, path: Path) -> None:
        if path.suffix == ".json":
            raise OSError(28, "No space left on device")
        replace(draft, path)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(export, "_exported", lambda learned, task: None)
    monkeypatch.setattr(export, "_saved", lambda program: b"program")
    with pytest.raises(ArtifactError, match=r"nut\.json cannot be written: the disk is full"):
        export_task(saved, "nut", tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"nut\.pt2 cannot be written"):
        export_task(saved, "nut", tmp_path / "file")
