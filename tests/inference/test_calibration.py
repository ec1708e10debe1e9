"""Thresholds come from normal training images alone, keep what they promise, and are checked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import (
    Calibration,
    LearnedDetector,
    TaskCalibration,
    calibration_rows,
    learned_detector,
)
from moleflow_lib.metrics import wilson_interval
from moleflow_lib.scoring.memory_bank import calibration_subset


def _calibration(scores: torch.Tensor) -> Calibration:
    one = TaskCalibration(
        image_means=torch.zeros(2, 1), scores=scores.sort().values, map_range=torch.zeros(2)
    )
    return Calibration(tasks=(one,), limits=torch.tensor([1.0], dtype=torch.float64))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_exchangeable_scores_are_flagged_at_the_rate(rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(4000, 100, generator=generator)
    flagged = [float(draw[99] > _calibration(draw[:99]).threshold(0, rate)) for draw in draws]
    assert abs(sum(flagged) / len(flagged) - rate) < 4 * (rate * (1 - rate) / len(flagged)) ** 0.5


def test_a_decision_and_its_smallest_rate_agree() -> None:
    calibration = _calibration(torch.randperm(30, generator=torch.Generator().manual_seed(1)).float())
    for score in torch.arange(-1.0, 31.0, 0.5).tolist():
        smallest = calibration.false_alarm_rate(0, score)
        for rate in (0.04, 0.1, 0.33, 0.9):
            assert (score > calibration.threshold(0, rate)) == (smallest <= rate + 1e-12), (score, rate)


def test_tasks_with_too_few_images_share_one_sentence_and_the_largest_least_rate() -> None:
    tasks = [_calibration(torch.arange(float(count))).tasks[0] for count in (9, 200, 4)]
    both = Calibration(tasks=tuple(tasks), limits=torch.zeros(3))
    told = both.too_few({"bolt": 0, "nut": 1, "axle": 2}, 0.01)
    assert told.startswith("tasks bolt, axle have too few training images") and told.count("too few") == 1
    assert told.endswith("a false-alarm rate below 0.2 each (n = 4 to 9, least 1/(n + 1))")


def test_few_images_promise_little() -> None:
    calibration = _calibration(torch.arange(9.0))
    assert calibration.smallest_rate(0) == 0.1 and calibration.threshold(0, 0.001) == 8.0
    assert (
        calibration.rank(0, 8.0) == 8 / 9
        and calibration.accepts(0, 1.0) is True
        and calibration.accepts(0, 1.1) is False
    )


def test_scores_are_cross_fitted_over_all_training_images(
    tiny_config: Callable[..., ExperimentConfig], tmp_path
) -> None:
    experiment = Experiment(tiny_config(classes=("nut",), score_parts="memory", memory_size=200, epochs=1))
    own = learned_detector(experiment).calibration.tasks[0]
    patches = experiment.features(experiment.tasks[0], "train").patches
    detector = experiment.detector
    _, unseen = detector.scorer(0).training_scores(patches, calibration_subset(len(patches)))
    assert torch.equal(own.scores, unseen.sort().values)
    _, seen = detector.scores(patches, patches.float().mean(dim=(1, 2)), 0)
    assert own.scores.mean() > seen.mean(), "an image's own stored patches would make it look too normal"
    assert float(own.map_range[0]) < float(own.map_range[1]) and own.image_means.shape == (6, 132)


def test_rows_count_what_the_detector_decides(learned: Experiment, loaded: LearnedDetector) -> None:
    rows = calibration_rows(learned.evaluators, loaded, 0.2)
    assert [row["task"] for row in rows] == ["leather", "nut", "board", "all"]
    for row, evaluator in zip(rows, learned.evaluators, strict=False):
        found = loaded.score([record.image for record in evaluator.task.test], false_alarm_rate=0.2)
        for label, name, count, odd in (
            (0, "false alarms", "normal", "refused normal"),
            (1, "caught", "defective", "refused defective"),
        ):
            own = [image for image, truth in zip(found, evaluator.labels, strict=True) if truth == label]
            hits = sum(image.decision != "normal" for image in own)
            assert row[count] == len(own) == 4 and row[name] == hits / 4
            assert (row[f"{name} low"], row[f"{name} high"]) == wilson_interval(hits, 4)
            assert row[odd] == sum(image.accepted is False for image in own)
        assert row["promised"] == 0.2 and row["training images"] == 6
    assert (
        rows[-1]["normal"] == 12
        and rows[-1]["false alarms"] == sum(row["false alarms"] for row in rows[:3]) / 3
    )
    assert calibration_rows(learned.evaluators[:1], loaded, 0.01)[0]["promised"] == 1 / 7
