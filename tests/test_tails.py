"""Tail probabilities of patch scores: right for laws that are known, monotone, and measured on training images alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.memory import probed
from moleflow_lib.scoring import image_scores
from moleflow_lib.tails import TailCalibration

Configs = Callable[..., ExperimentConfig]


@pytest.mark.parametrize("at", [0.1, 1.0, 3.0, 6.0, 9.0])
def test_an_exponential_law_is_found_far_beyond_what_was_seen(at: float) -> None:
    torch.manual_seed(0)
    draws = torch.distributions.Exponential(1.0).sample((40_000,))
    surprise = TailCalibration.measured(draws).surprise(torch.tensor([at]))
    assert surprise.item() == pytest.approx(at, rel=0.1, abs=0.02)


def test_a_heavy_tail_surprises_less() -> None:
    torch.manual_seed(0)
    uniform = torch.rand(40_000)
    pareto = uniform.pow(-0.25) - 1  # P(> x) = (1 + x)^-4, shape 1/4
    calibration = TailCalibration.measured(pareto)
    assert calibration.tail[1] == pytest.approx(0.25, abs=0.1)
    assert calibration.surprise(torch.tensor([9.0])).item() == pytest.approx(4 * math.log(10), rel=0.15)


def test_the_order_of_patches_stays() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 8, 8)
    values = torch.linspace(-4, 9, 500)
    surprise = TailCalibration.measured(scores).surprise(values)
    assert surprise.isfinite().all() and (surprise.diff() >= 0).all() and surprise[0] == 0
    assert (surprise[values > 3].diff() > 0).all(), "above all training patches it still tells scores apart"


def test_equal_patches_are_no_division_by_zero() -> None:
    surprise = TailCalibration.measured(torch.ones(2, 4, 4)).surprise(torch.tensor([0.0, 1.0, 2.0]))
    assert surprise.isfinite().all() and surprise[0] < surprise[2]


def test_the_detector_calibrates_by_training_images_without_their_own_patches(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), memory_size=20, compress_scores=True, calibrated_tails=True)
    experiment = Experiment(config)
    experiment.learn(upto=1)
    train, test = (experiment.features(experiment.tasks[0], split) for split in ("train", "test"))
    detector, means = experiment.detector, test.image_means()
    early = detector.image_scores(detector.patch_scores(test.patches, 0), means, 0)
    experiment.learn()
    scores = detector.patch_scores(test.patches, 0)
    assert torch.equal(detector.image_scores(scores, means, 0), early), "later tasks change nothing"
    own = TailCalibration.measured(detector.training_scores(train.patches, probed(len(train.patches)), 0))
    assert torch.equal(early, image_scores(own.surprise(scores), "top_k", 3))
    assert config.image_score_unit == "nats of tail probability"
    assert config.with_(prototype_weight=0.3).image_score_unit == "standard deviations of training images"
    assert any(name.startswith("tails of nut") for name in experiment.hashes())
    other = Experiment(config.with_(memory_weight=1.0))
    other.learn()
    assert not torch.equal(other.detector.tails[0].quantiles, own.quantiles), "other patch scores are kept under another key"
    again = Experiment(config)
    again.learn()
    assert torch.equal(again.detector.tails[1].quantiles, detector.tails[1].quantiles)
