"""Summaries of a sequence of tasks by hand."""

from __future__ import annotations

import numpy as np
import pytest

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics import continual_summary, routing_summary

MATRIX = [[0.9, None, None], [0.95, 0.8, None], [0.6, 0.7, 0.5]]


def test_continual_summary_by_hand() -> None:
    summary = continual_summary(MATRIX, separate=[0.97, 0.9, 0.4])
    assert summary["acc"] == pytest.approx(0.6)
    assert summary["fm_max"] == pytest.approx(((0.95 - 0.6) + (0.8 - 0.7)) / 2)
    assert summary["bwt"] == pytest.approx(((0.6 - 0.9) + (0.7 - 0.8)) / 2)
    assert summary["fm_first"] == -summary["bwt"] and summary["fm_max"] > summary["fm_first"]
    assert summary["gap_to_separate"] == pytest.approx((0.37 + 0.2 - 0.1) / 3)


def test_what_is_not_known_is_none_and_every_key_is_there() -> None:
    nothing = {"acc": 0.9, "fm_max": None, "fm_first": None, "bwt": None, "gap_to_separate": None}
    assert continual_summary([[0.9]]) == nothing
    assert continual_summary([[None]], [0.8]) == {**nothing, "acc": None}


def test_undefined_tasks_are_left_out() -> None:
    summary = continual_summary([[0.9, None], [0.8, None]], separate=[0.85, 0.7])
    assert summary["acc"] == pytest.approx(0.8) and summary["gap_to_separate"] == pytest.approx(0.05)
    assert continual_summary(MATRIX, [None, 0.8, None])["gap_to_separate"] == pytest.approx(0.1)


def test_separate_scores_of_another_number_of_tasks_are_refused() -> None:
    with pytest.raises(MetricError, match="3 tasks, found 2"):
        continual_summary(MATRIX, [0.9, 0.8])


def test_no_forgetting_is_plain_zero() -> None:
    assert str(continual_summary([[0.9, None], [0.9, 0.8]])["fm_first"]) == "0.0"


def test_routing_summary_by_hand() -> None:
    row = routing_summary(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2, np.array([0, 1, 1, 0]))
    assert row["accuracy"] == 0.75 and row["accuracy_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["accuracy_normal"] == 1.0 and row["accuracy_anomalous"] == 0.5
    assert row["confusion"] == [[2, 1], [0, 1]]
