"""Score tails: quantiles against hand-made scores, defect patches against hand-drawn masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.ablation.tail import defect_patches, tail_gap, tail_rows, tail_summary, task_tail


def test_a_tail_by_hand() -> None:
    normal = np.arange(1001.0)  # quantile q % is 10·q
    tail = tail_summary(normal / 2, normal, np.array([0.0, 998.0, 1000.0, 2000.0]))
    assert tail["normal"] == pytest.approx({"50": 500.0, "95": 950.0, "99": 990.0, "99.9": 999.0})
    assert tail["train"]["99"] == pytest.approx(495.0)
    assert tail["width"] == 450.0 and tail["reach"] == pytest.approx(499 / 450)
    assert tail["beyond"] == 0.5 and tail["defects"] == 999.0


def test_what_is_not_there_is_undefined() -> None:
    tail = tail_summary(np.arange(10.0), np.empty(0), np.arange(3.0))
    assert tail["normal"]["99"] is None and tail["reach"] is None and tail["beyond"] is None
    assert tail_summary(np.arange(10.0), np.arange(10.0), np.empty(0))["beyond"] is None
    assert tail_summary(np.ones(10), np.ones(10), np.empty(0))["reach"] is None, (
        "a tail of equal scores has no unit"
    )


def test_a_quarter_of_a_patch_makes_it_a_defect_patch() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[:2, :2] = True  # 4 of the first patch's 16 pixels
    mask[4:5, 4:7] = True  # 3 of the last one's
    assert defect_patches(mask, (2, 2)).tolist() == [[True, False], [False, False]]


def test_rows_are_relative_to_the_median(row: Callable[..., dict]) -> None:
    train, test = tail_rows([row("preset", 0, 0.5, order=("nut",))], ["preset"])
    assert (train["images"], train["99.9 %"], train["defects"], train["reach"]) == (
        "training",
        4.0,
        None,
        None,
    )
    assert (test["images"], test["95 %"], test["defects"], test["reach"], test["beyond"]) == (
        "normal test",
        1.0,
        3.0,
        4.0,
        0.25,
    )


def test_a_learned_task_has_a_tail(learned: Experiment) -> None:
    tail = task_tail(learned, 1)
    values = list(tail["normal"].values())
    assert (
        values == sorted(values) and tail["train"]["50"] < tail["train"]["99.9"] and 0 <= tail["beyond"] <= 1
    )


def test_the_gap_is_paired_by_seed(row: Callable[..., dict]) -> None:
    rows = [row(variation, seed, 0.5) for variation in ("preset", "tail_weight=0") for seed in (0, 1)]
    for own, reach in zip(rows, (3.0, 4.0, 5.0, 7.0), strict=True):
        for name in own["tail"]:
            own["tail"][name] = {**own["tail"][name], "reach": reach}
    gap = tail_gap(rows, "tail_weight=0", "reach")
    assert gap["difference"] == pytest.approx(-2.5) and gap["spread"] == pytest.approx(0.5**0.5)
