"""A disk that is full at every file in turn: once there is room, the same call goes on to equal numbers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import DiskError
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import load_detector, save_detector
from moleflow_lib.storage import disk


def _made(config: ExperimentConfig) -> tuple[object, ...]:
    """All that a run leaves: hashes, R matrices, and what the saved detector says of the test images."""
    experiment = Experiment(config)
    result = experiment.evaluate()
    detector = load_detector(save_detector(experiment), "cpu")
    told = [
        image.row() for task in experiment.tasks for image in detector.score([r.image for r in task.test])
    ]
    return experiment.hashes(), result, told


def _tensors(out: str) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in Path(out).rglob("*.safetensors")}


def test_a_full_disk_at_any_file_costs_no_number(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"classes": ("leather", "nut"), "epochs": 1, "score_parts": "flow,memory", "memory_size": 32}
    undisturbed = tiny_config(**options, out_dir=str(tmp_path / "whole"))
    whole = _made(undisturbed)
    real, refused = os.replace, set()

    def replace(source: str, target: Path) -> None:
        if str(target) not in refused:
            refused.add(str(target))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    monkeypatch.setattr(disk.os, "replace", replace)
    config = tiny_config(**options, out_dir=str(tmp_path / "full"))
    stops = 0
    while True:
        try:
            found = _made(config)
            break
        except DiskError as error:
            stops += 1
            assert "the disk is full; free space there" in str(error) and stops < 100
    notes = [path for path in refused if "/hashes/" in path]  # cost time alone, so they stop nothing
    assert stops == len(refused) - len(notes) > 12, "each file was refused once"
    assert found == whole
    assert _tensors(config.run.out_dir) == _tensors(undisturbed.run.out_dir)
    assert not list(Path(config.run.out_dir).rglob(f"{disk.UNFINISHED}*"))
