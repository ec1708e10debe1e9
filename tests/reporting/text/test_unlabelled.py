"""Unlabelled images: scored, ranked among training images, and told apart from products that were never
learned.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.text.unlabelled import unlabelled_rows
from moleflow_lib.scoring.memory_bank import calibration_subset


@pytest.mark.parametrize("kind", ["euclidean", "tied"])
def test_an_unknown_product_is_not_accepted(
    kind: str, tiny_config: Callable[..., ExperimentConfig], tiny_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, root / name)
    asked = root / "leather" / "test" / "unlabelled"
    asked.mkdir()
    for product, name in (("leather", "known"), ("board", "unknown")):
        for index, path in enumerate(sorted((tiny_data / product / "test" / "good").iterdir())):
            shutil.copy(path, asked / f"{name}{index}{path.suffix}")
    experiment = Experiment(
        tiny_config(dataset_root=str(root), classes=("leather", "nut"), router_covariance=kind)
    )
    experiment.learn()
    rows = unlabelled_rows(experiment)
    near = {
        name: [row["accepted"] for row in rows if row["image"].startswith(name)]
        for name in ("known", "unknown")
    }
    assert near["unknown"] == [False] * 4
    assert sum(near["known"]) >= 2, "with six training images one in seven is refused"
    evaluator = experiment.evaluators[0]
    scores = evaluator.image_scores(experiment.detector.route(evaluator.image_means))[evaluator.labels == -1]
    assert [row["score"] for row in rows] == sorted(scores.tolist(), reverse=True)
    known = [row for row in rows if row["chosen"] == "leather"]
    patches = experiment.features(experiment.tasks[0], "train").patches
    subset = calibration_subset(len(patches))
    training = experiment.detector.scorer(0).training_scores(patches, subset)[1].numpy()
    assert [row["rank"] for row in known] == [
        float(np.mean(training < row["score"])) for row in known
    ] and json.dumps(rows)


def test_without_any_there_are_no_rows(learned: Experiment) -> None:
    assert unlabelled_rows(learned) == []
