"""The three tiny tasks of `learned`, saved once, and photos that they have scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, load_detector, save_detector


@pytest.fixture(scope="session")
def saved(learned: Experiment) -> Path:
    """Their detector's folder, in the run's own; tests must not change it."""
    return save_detector(learned)


@pytest.fixture(scope="session")
def loaded(saved: Path) -> LearnedDetector:
    """Their detector, loaded again."""
    return load_detector(saved, "cpu")


@pytest.fixture(scope="session")
def many(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 photos, five chunks of them."""
    folder = tmp_path_factory.mktemp("many")
    known = sorted(path for path in tiny_data.rglob("*.png") if "test" in path.parts)
    for index in range(320):
        shutil.copy(known[index % len(known)], folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def whole(saved: Path, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their results, never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main(["score", "--run", str(saved), "--out", str(out), "--device", "cpu", str(many)]) == 0
    return out
