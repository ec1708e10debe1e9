"""Notebook 03's rows of thresholds: what was asked, what came, and on whose images they rest."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import calibration_rows, learned_detector
from moleflow_lib.reporting.text.thresholds import threshold_caption, threshold_rows, trained_warning


def test_rows_are_those_of_the_experiments_own_detector(learned: Experiment) -> None:
    rows = threshold_rows(learned)
    assert [(row["task"], row["asked"]) for row in rows] == [
        (name, rate) for rate in (0.01, 0.05) for name in ("leather", "nut", "board", "all")
    ]
    full = calibration_rows(learned.evaluators, learned_detector(learned), 0.05)
    assert [row["over threshold"] for row in rows[4:]] == [row["over threshold"] for row in full]
    for row in full[:3]:
        flagged = round((row["over threshold"] - row["false alarms"]) * row["normal"])
        assert -row["refused normal"] <= flagged <= 0, "what is refused is flagged whatever its score"
    json.dumps(rows, allow_nan=False)


def test_the_caption_says_the_rates_and_whose_images_they_rest_on(learned: Experiment) -> None:
    rows = threshold_rows(learned)
    caption = threshold_caption(rows)
    assert "The thresholds of leather, nut, board rest on images that the flow was trained on" in caption
    for row in (rows[3], rows[7]):
        assert f"asked for {100 * row['asked']:.1f} %, {100 * row['over threshold']:.1f} % of 12 " in caption
    assert "rest on" not in threshold_caption([{**row, "folds": 5} for row in rows])
    assert trained_warning(()) == ""


@pytest.mark.parametrize(("folds", "used"), [(2, 6), (6, 6)])
def test_the_option_holds_images_out(
    folds: int, used: int, tiny_config: Callable[..., ExperimentConfig]
) -> None:
    experiment = Experiment(tiny_config(classes=("nut",), epochs=1, calibration_folds=folds))
    rows = threshold_rows(experiment)
    assert [row["folds"] for row in rows] == [used, used] and "rest on" not in threshold_caption(rows)
    assert learned_detector(experiment).trained_thresholds() == ()


def test_a_task_too_small_for_any_is_named(learned: Experiment) -> None:
    detector = learned_detector(learned)
    assert detector.trained_thresholds() == ("leather", "nut", "board")
    assert "where none could be held out" in trained_warning(detector.trained_thresholds())
