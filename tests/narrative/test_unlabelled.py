"""Unlabelled images: scored, ranked among training images, and told apart from products that were never learned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.narrative.unlabelled import unlabelled_rows


def test_an_unknown_product_is_not_accepted(tiny_config: Callable[..., ExperimentConfig], tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, root / name)
    asked = root / "leather" / "test" / "unlabelled"
    asked.mkdir()
    for source, name in ((root / "leather" / "train" / "good", "known"), (tiny_data / "board" / "test" / "good", "unknown")):
        first = sorted(source.iterdir())[0]
        shutil.copy(first, asked / f"{name}{first.suffix}")
    experiment = Experiment(tiny_config(dataset_root=str(root), classes=("leather", "nut"), router_covariance="euclidean"))
    experiment.learn()
    rows = {row["image"].split(".")[0]: row for row in unlabelled_rows(experiment)}
    assert {name: row["accepted"] for name, row in rows.items()} == {"known": True, "unknown": False}
    assert rows["known"]["chosen"] == "leather" and json.dumps(rows)
    evaluator = experiment.evaluators[0]
    scores = evaluator.image_scores(experiment.detector.route(evaluator.image_means))[evaluator.labels == -1]
    assert sorted(row["score"] for row in rows.values()) == sorted(scores.tolist())
    training = experiment.training_image_scores(experiment.tasks[0]).numpy()
    assert rows["known"]["rank"] == float(np.mean(training < rows["known"]["score"]))


def test_without_any_there_are_no_rows(learned: Experiment) -> None:
    assert unlabelled_rows(learned) == []
