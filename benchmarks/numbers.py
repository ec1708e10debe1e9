"""`python -m benchmarks.numbers`: what the code computes, as hashes.

Three drawn products of 64 pixels under each preset, a few steps: what every task learned, every score, every
metric, the baselines, a saved detector. Run it before and after a change that should change no number, and
compare the two outputs. They compare on one machine alone.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from pathlib import Path

import torch

from data_prep.draw import draw_demo
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import load_detector, save_detector
from moleflow_lib.runtime import quiet
from moleflow_lib.storage.artifacts import tensors_sha256
from moleflow_lib.studies.baselines.comparison import compare

SMALL = {
    "classes": ("leather", "nut", "board"),
    "image_size": 64,
    "eval_size": 56,
    "batch_size": 8,
    "lora_rank": 4,
    "coupling_layers": 2,
    "dia_blocks": 2,
    "memory_size": 64,
    "control_backbone": "none",
    "device": "cpu",
}
PRESETS = {  # what each has besides: a step or two, and a backbone that needs no file
    "v5_final": {"epochs": 2, "backbone": "random:vit_tiny_patch16_224"},
    "recommended": {"steps": 3, "backbone": "random:vit_tiny_patch16_224"},
    "demo": {"steps": 3, "image_size": 56},
}


def main() -> None:
    """Print one line a preset and quantity."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = draw_demo(Path(folder) / "drawn", train=12, test_good=4, test_defect=4, size=64)
        for preset, changes in PRESETS.items():
            options = {"preset": preset, "dataset_root": str(root), "out_dir": f"{folder}/{preset}"}
            config = ExperimentConfig.from_params({**options, **SMALL, **changes})
            for name, value in _numbers(config, root).items():
                print(f"{preset:12}{name:34}{value}", flush=True)


def _numbers(config: ExperimentConfig, root: Path) -> dict[str, str]:
    experiment = Experiment(config)
    found = {}
    for task, run in zip(experiment.tasks, experiment.evaluators, strict=True):
        found[f"parts of {task.name}"] = experiment.trainer.state_sha256(task.index)[0][:16]
        patches = experiment.features(task, "test").patches
        scores = experiment.detector.scores(patches, run.image_means, task.index)
        routes = experiment.detector.router.route(run.image_means)
        found[f"scores of {task.name}"] = tensors_sha256(
            {"patch": scores[0], "image": scores[1], "route": torch.as_tensor(routes)}
        )[:16]
    for name, runs in compare(experiment).runs.items():
        found[f"metrics of {name}"] = _hash([run.result.matrices for run in runs])
    save_detector(experiment)
    scored = load_detector(config.run.out_dir).score(root / "nut" / "test")
    found["scores of the saved detector"] = _hash([(image.task, image.score) for image in scored])
    return found


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
