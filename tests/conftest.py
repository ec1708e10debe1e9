"""A tiny drawn dataset and experiments on it, shared by the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.draw import draw_demo
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment

TINY = {
    "preset": "demo",
    "image_size": 56,
    "eval_size": 56,
    "epochs": 2,
    "steps": 0,
    "batch_size": 8,
    "lr": 3e-3,
    "patch_share": 1.0,
    "whitening": "layer_norm",
    "coupling_layers": 2,
    "dia_blocks": 4,
    "use_mixer": True,
    "lora_rank": 4,
    "score_parts": ("flow",),
    "image_parts": (),
    "median_share": 0.0,
    "compress_scores": False,
    "prototype_weight": 0.0,
    "router_covariance": "ridge",
    "baselines": ("memory_bank", "gaussian", "fine_tune", "separate", "joint", "padim", "adapter_only"),
    "control_backbone": "",
    "calibration_folds": 0,  # as many trainings more, where a test does not ask for them
    "device": "cpu",
    "ablation_jobs": 1,  # starting workers takes longer than tiny runs do
    "classes": ("leather", "nut", "board"),
    "ablation_classes": ("leather", "nut"),
    "ablations": "dia_blocks=0; top_k=1",
    "ablation_seeds": (0, 1),
}


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn products of 64 pixels, 6 training and 8 test images each."""
    return draw_demo(tmp_path_factory.mktemp("drawn") / "demo", train=6, test_good=4, test_defect=4, size=64)


@pytest.fixture
def tiny_config(tiny_data: Path, tmp_path: Path) -> Callable[..., ExperimentConfig]:
    """Makes configs for the tiny data; results go to the test's own folder unless told otherwise."""

    def make(**changes: object) -> ExperimentConfig:
        return ExperimentConfig.from_params(
            {**TINY, "dataset_root": str(tiny_data), "out_dir": str(tmp_path / "out"), **changes}
        )

    return make


@pytest.fixture(scope="session")
def learned(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Three tiny tasks, learned once; tests must not change it."""
    out = tmp_path_factory.mktemp("learned")
    experiment = Experiment(
        ExperimentConfig.from_params({**TINY, "dataset_root": str(tiny_data), "out_dir": str(out)})
    )
    experiment.learn()
    return experiment
