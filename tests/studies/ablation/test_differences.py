"""Differences are paired by seed, and their intervals are Student's."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.studies.ablation.differences import class_differences, paired_differences, paired_gap


def test_the_interval_by_hand() -> None:
    gap = paired_gap({0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.5, 2: 0.3})  # 0.1, 0.2, 0.3: mean 0.2, s = 0.1
    half = 4.302652729911275 * 0.1 / 3**0.5  # t quantile of 97.5 % with 2 degrees of freedom
    assert (
        gap["difference"] == pytest.approx(0.2) and gap["spread"] == pytest.approx(0.1) and gap["seeds"] == 3
    )
    assert (gap["low"], gap["high"]) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert gap["sign"] == 0


def test_the_sign_says_whether_zero_is_excluded() -> None:
    assert paired_gap({0: 0.5, 1: 0.51}, {0: 0.4, 1: 0.4})["sign"] == 1
    assert paired_gap({0: 0.4, 1: 0.4}, {0: 0.5, 1: 0.51})["sign"] == -1


def test_one_seed_has_a_difference_and_no_interval() -> None:
    gap = paired_gap({0: 0.5}, {0: 0.4})
    assert gap["difference"] == pytest.approx(0.1)
    assert gap["low"] is gap["high"] is gap["sign"] is gap["spread"] is None


def test_seeds_that_only_one_side_has_and_undefined_values_are_left_out() -> None:
    gap = paired_gap({0: 0.5, 1: 0.9, 2: None, 3: 0.2}, {0: 0.4, 2: 0.1, 3: None})
    assert gap["difference"] == pytest.approx(0.1) and gap["seeds"] == 1
    assert paired_gap({0: None}, {0: 0.1})["difference"] is None


def test_variations_are_paired_with_the_preset_of_their_seed(row: Callable[..., dict]) -> None:
    rows = [
        row("preset", 0, 0.5),
        row("preset", 1, 0.9),
        row("dia_blocks=0", 1, 0.8),
        row("dia_blocks=0", 0, 0.4),
    ]
    first, second = paired_differences(rows, "image_auroc")
    assert first["variation"] == "preset" and first["difference"] == 0
    assert second["difference"] == pytest.approx(-0.1) and second["spread"] == pytest.approx(0, abs=1e-12)
    assert second["sign"] is None and second["low"] is None, (
        "an interval without width claims more than two equal steps can show"
    )


def test_classes_are_compared_one_by_one(row: Callable[..., dict]) -> None:
    rows = [row("preset", 0, 0.5), row("dia_blocks=0", 0, 0.4)]
    rows[1]["per_class"]["nut"]["image_auroc"] = 0.7
    gaps = {gap["class"]: gap["difference"] for gap in class_differences(rows, "image_auroc")}
    assert gaps == {"nut": pytest.approx(0.2), "grid": pytest.approx(-0.1)}
