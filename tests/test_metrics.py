"""Metrics against hand-computed cases and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from moleflow_lib.metrics import auroc_and_ap, continual_summary, detection_metrics, routing_summary


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=60))
def test_agrees_with_scikit_learn_ties_included(pairs: list[tuple[int, bool]]) -> None:
    scores, labels = (np.array(column) for column in zip(*pairs, strict=True))
    if labels.all() or not labels.any():
        return
    auroc, ap = auroc_and_ap(scores.astype(np.float32), labels)
    assert auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ap == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


def test_hand_computed() -> None:
    # ranks from the top: 1 0 1 0 → AUROC 3/4; precision at the hits 1 and 2/3 → AP 5/6
    assert auroc_and_ap(np.array([4.0, 3, 2, 1]), np.array([1, 0, 1, 0])) == pytest.approx((0.75, 5 / 6))


def test_constant_scores_are_chance() -> None:
    assert auroc_and_ap(np.zeros(10), np.arange(10) < 3) == pytest.approx((0.5, 0.3))


def test_without_masks_pixel_metrics_are_undefined_not_zero() -> None:
    values = detection_metrics(np.array([0.0, 1.0]), np.array([0, 1]))
    assert values == {"image_auroc": 1.0, "pixel_auroc": None, "pixel_ap": None}


def test_with_one_kind_of_image_the_image_metric_is_undefined() -> None:
    assert detection_metrics(np.array([0.0, 1.0]), np.array([1, 1]))["image_auroc"] is None


def test_continual_summary_by_hand() -> None:
    matrix = [[0.9, None, None], [0.95, 0.8, None], [0.6, 0.7, 0.5]]
    summary = continual_summary(matrix)
    assert summary["acc"] == pytest.approx(0.6)
    assert summary["fm_max"] == pytest.approx(((0.95 - 0.6) + (0.8 - 0.7)) / 2)
    assert summary["bwt"] == pytest.approx(((0.6 - 0.9) + (0.7 - 0.8)) / 2)


def test_continual_summary_leaves_out_what_is_undefined() -> None:
    assert continual_summary([[0.9, None], [0.8, None]])["acc"] == pytest.approx(0.8)
    assert continual_summary([[0.9]]) == {"acc": 0.9, "fm_max": None, "bwt": None}


def test_routing_summary_by_hand() -> None:
    row = routing_summary(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2, np.array([0, 1, 1, 0]))
    assert row["accuracy"] == 0.75 and row["accuracy_macro"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["accuracy_normal"] == 1.0 and row["accuracy_anomalous"] == 0.5
    assert row["confusion"] == [[2, 1], [0, 1]]
