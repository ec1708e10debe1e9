"""The GPU benchmark runs where only the numerical packages are installed; its path runs here, on the CPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import gpu

_BLOCKED = (
    "plotly papermill nbconvert nbformat jupyterlab ipywidgets ipykernel IPython pooch requests distributed"
)
_PROGRAM = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {_BLOCKED.split()!r}:
            raise ImportError("not installed: " + name)
sys.meta_path.insert(0, Blocked())
import benchmarks.gpu
from moleflow_lib import Experiment, ExperimentConfig, load_detector, save_detector
"""


def test_learning_and_scoring_need_neither_notebooks_nor_figures() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_check_of_the_path_passes_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    small = ["gpu", "--device", "cpu", "--backbone", "filterbank", "--image-size", "56", "--train", "6"]
    monkeypatch.setattr(sys, "argv", small)
    monkeypatch.setattr(gpu, "STEPS", 1)
    monkeypatch.setattr(
        gpu, "CHANGES", {"steps": 2, "coupling_layers": 1, "memory_size": 24, "eval_size": 56}
    )
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    table = capsys.readouterr().out
    assert ended.value.code == 0, table
    assert table.count("| ok |") == 2 * 10 and "FAILED" not in table
