"""Tiny runs as notebook 03 leaves them, made once; tests that damage one copy it first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import save_detector
from moleflow_lib.reporting.compare.record import save_test_images
from moleflow_lib.reporting.notebook import write_result
from moleflow_lib.reporting.text.continual import continual_result
from moleflow_lib.studies.baselines.comparison import compare
from tests.conftest import TINY

SMALL = {**TINY, "classes": ("leather", "nut"), "epochs": 1, "baselines": "none"}


@pytest.fixture(scope="session")
def finished(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes the folder of a finished run of two products, or gives it back if it was made before."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, dataset_root: Path = tiny_data, **changes: object) -> Path:
        if name not in made:
            params = {**SMALL, "dataset_root": str(dataset_root), "out_dir": str(folder / name), **changes}
            made[name] = _finish(Experiment(ExperimentConfig.from_params(params)))
        return made[name]

    return run


def _finish(experiment: Experiment) -> Path:
    """What the cells of notebook 03 do that leave something in the folder."""
    experiment.learn()
    save_detector(experiment)
    evaluation, comparison = experiment.evaluate(), compare(experiment)
    result = continual_result(experiment, evaluation, comparison, None, experiment.unchanged())
    result["test_images"] = save_test_images(experiment, comparison)
    write_result(experiment.config, "03_continual_tasks", result, ["Done."], experiment.hashes())
    return Path(experiment.config.run.out_dir)


@pytest.fixture(scope="session")
def reference(finished: Callable[..., Path]) -> Path:
    """A run with seed 0."""
    return finished("first")


@pytest.fixture(scope="session")
def other(finished: Callable[..., Path]) -> Path:
    """The same under another seed and a wider low-rank update."""
    return finished("second", seed=1, lora_rank=2)


@pytest.fixture
def copied(reference: Path, tmp_path: Path) -> Path:
    """The first run, to be changed."""
    return Path(shutil.copytree(reference, tmp_path / "copied"))
