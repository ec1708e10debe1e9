"""A run's key holds all that decides its numbers: images, labels, masks and options, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.ablation.grid import planned_runs
from moleflow_lib.studies.ablation.measuring import input_keys, measure, run_key


def test_labels_and_masks_are_part_of_the_key(
    tiny_config: Callable[..., ExperimentConfig], tiny_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    config = tiny_config(dataset_root=str(root), classes=("leather",), ablation_classes=("leather",))
    run = planned_runs(config)[0]

    def key() -> str:
        return run_key(run, input_keys(Experiment(config)))

    first = key()
    assert key() == first
    shutil.rmtree(root / "leather" / "ground_truth")
    assert key() != first, "without masks the pixel metrics are others"


def test_stored_patches_are_counted(tiny_config: Callable[..., ExperimentConfig]) -> None:
    config = tiny_config(
        classes=("leather", "nut"), ablation_classes=(), score_parts="flow,memory", memory_size=20
    )
    run = planned_runs(config)[0]
    experiment = Experiment(run.config)
    row = measure(run, experiment)
    assert row["parameters"]["stored_patches"] == 20 * (experiment.detector.dim + 1)
    trained = sum(row["parameters"][part] for part in ("lora", "task_bias", "whitening", "dia"))
    assert row["per_task"] == trained + 20 * (experiment.detector.dim + 1)
