"""What a run says before its first notebook: products learned twice, a machine that is busy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.reporting.running import runner
from moleflow_lib.reporting.running.checks import ablation_notes
from moleflow_lib.reporting.running.notebooks import available_notebooks
from moleflow_lib.reporting.running.runner import run_notebooks
from moleflow_lib.runtime import busy_line
from tests.conftest import TINY


def _said(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, load: float
) -> str:
    monkeypatch.setattr(runner, "_run_all", lambda *_: 0)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    params = {name: list(value) if isinstance(value, tuple) else value for name, value in TINY.items()}
    classes = sorted(path.name for path in root.iterdir())
    params |= {"dataset_root": str(root), "out_dir": str(out), "classes": classes}
    assert run_notebooks(params, available_notebooks(["02"])) == 0
    return capfd.readouterr().err


def test_a_copied_product_and_a_busy_machine_are_told(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    for name, source in (("leather", "leather"), ("nut", "nut"), ("screw", "nut")):
        shutil.copytree(tiny_data / source, tmp_path / "data" / name)
    told = _said(tmp_path / "data", tmp_path / "out", monkeypatch, capfd, 1e6)
    assert "6 of 6 training images of screw are also those of nut" in told
    assert "this machine is busy already (load average 1000000.0" in told and "OMP_NUM_THREADS=1" in told
    shutil.rmtree(tmp_path / "data" / "screw")
    told = _said(tmp_path / "data", tmp_path / "other", monkeypatch, capfd, 0.0)
    assert "also those of" not in told and "busy" not in told


def test_variations_that_the_backbone_cannot_run_are_told_with_their_notebook() -> None:
    config = ExperimentConfig.from_params({"preset": "recommended", "backbone": "filterbank"})
    assert ablation_notes(config, available_notebooks(["03"])) == []
    (told,) = ablation_notes(config, available_notebooks(["05"]))
    assert told.startswith("Left out: block_norm=false; overlap=2: backbone=filterbank")


def test_one_thread_needs_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert busy_line() == ""
