"""Products that teach nothing, as of a camera with its cap on, are learned to finite numbers."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.text.inputs import inputs_result
from moleflow_lib.studies.features_and_latents import class_separation, mean_separation

RECOMMENDED = {
    "whitening": "full",
    "score_parts": "flow,gaussian,memory",
    "image_parts": "flow,memory",
    "memory_size": 64,
}


@pytest.mark.parametrize(
    "options", [{}, {**RECOMMENDED, "router_covariance": "tied"}], ids=["published", "recommended"]
)
@pytest.mark.parametrize("order", [("cap", "nut"), ("nut", "cap")])
def test_a_black_product_is_learned(
    tiny_data: Path, tiny_config: Callable[..., ExperimentConfig], tmp_path: Path, options: dict, order: tuple
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data / "nut", data / "nut")
    shutil.copytree(tiny_data / "leather", data / "cap")
    for path in (data / "cap/train/good").glob("*.png"):
        Image.new("RGB", (64, 64)).save(path)
    experiment = Experiment(tiny_config(dataset_root=str(data), classes=order, epochs=1, **options))
    result = experiment.evaluate()
    for metric in ("image_auroc", "pixel_ap", "aupro"):
        assert all(math.isfinite(value) for value in result.final(metric))
    assert experiment.unchanged()
    features = [experiment.features(task, "train") for task in experiment.tasks]
    for shown in (features, features[:1] * 2, [features[order.index("cap")]] * 2):
        json.dumps(inputs_result(experiment, shown, shown, class_separation(shown)), allow_nan=False)


def test_two_products_without_spread_have_no_distance() -> None:
    same = np.ones((3, 4))
    distances = mean_separation([same, same * 2, np.eye(3, 4)])
    assert np.isnan(distances[0, 1]) and np.isfinite(distances[2]).all() and not distances.diagonal().any()
