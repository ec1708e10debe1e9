"""The three tiny tasks of `learned`, saved once."""

from __future__ import annotations

from pathlib import Path

import pytest

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
