"""Histograms give the exact values to within the error they state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics.binned import binned_values, image_histograms, score_edges
from moleflow_lib.metrics.streaming import streamed_curve
from tests.metrics.binned_bounds import binned_curve, binned_ranges

MAPS = arrays(np.float32, (3, 5, 6), elements=st.floats(-100, 100, width=32))
MASKS = arrays(np.bool_, (3, 5, 6))


def _scene(seed: int, lift: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    masks = np.zeros((12, 40, 40), dtype=bool)
    for n in range(6):
        y, x = random.integers(0, 30, 2)
        masks[n, y : y + 8, x : x + 9] = True
    return np.exp(random.normal(size=masks.shape) + lift * masks).astype(np.float32), masks


@given(MAPS, MASKS, st.sampled_from([8, 16, 40]))
def test_within_the_stated_error_of_the_exact_value(maps: np.ndarray, masks: np.ndarray, bins: int) -> None:
    assume(masks.any() and not masks.all())
    exact, (values, errors) = streamed_curve([(maps, masks)]), binned_curve([(maps, masks)], bins)
    for name, value in exact.items():
        assert abs(values[name] - value) <= errors[name] + 1e-12, name


@pytest.mark.parametrize("lift", [0.0, 1.0, 3.0])
def test_the_stated_error_is_small_and_shrinks_with_more_bins(lift: float) -> None:
    scene = _scene(7, lift)
    exact, last = streamed_curve([scene]), dict.fromkeys(("auroc", "ap", "f1max", "aupro"), 1.0)
    for bins in (32, 256, 2048):
        values, errors = binned_curve([scene], bins)
        for name, value in exact.items():
            assert abs(values[name] - value) <= errors[name] + 1e-12 and errors[name] < last[name]
        last = errors
    assert max(last.values()) < 0.01


def test_any_order_within_the_bins_stays_in_the_range() -> None:
    # one bin of everything: whatever the model, the range must hold it, and here it can only be loose
    random = np.random.default_rng(0)
    edges = np.float32([0.0])
    for _ in range(20):
        maps, masks = random.random((2, 6, 6)).astype(np.float32), random.random((2, 6, 6)) < 0.2
        rows = next(iter(image_histograms([(maps, masks)], edges))).combined(np.ones((1, 2)))
        for name, (low, high) in binned_ranges(rows).items():
            assert low[0] - 1e-12 <= streamed_curve([(maps, masks)])[name] <= high[0] + 1e-12
            assert high[0] - low[0] > 0.1


def test_one_bin_too_few_is_noticed() -> None:
    # the ranges are no wider than they need be: the two extreme orders reach them for AUROC and AUPRO
    masks = np.arange(10).reshape(1, 2, 5) % 5 == 0
    for sign, end in ((1, 1), (-1, 0)):
        maps = np.where(masks, 5 + sign, 5).astype(np.float32)
        rows = next(iter(image_histograms([(maps, masks)], np.float32([0.0]))))
        exact, ranges = streamed_curve([(maps, masks)]), binned_ranges(rows)
        for name in ("auroc", "aupro"):
            assert ranges[name][end][0] == pytest.approx(exact[name])


def test_few_distinct_scores_lose_nothing() -> None:
    maps = np.random.default_rng(1).integers(0, 30, (4, 9, 9)).astype(np.float32)
    masks = np.random.default_rng(2).random(maps.shape) < 0.2
    values, errors = binned_curve([(maps, masks)], 30)
    assert values == pytest.approx(streamed_curve([(maps, masks)]), abs=1e-12)
    assert errors["auroc"] > 0 and score_edges([(maps, masks)], 30).tolist() == list(range(30))


def test_rows_add_up_image_by_image() -> None:
    scene = _scene(3, 1.0)
    edges = score_edges([scene], 64)
    rows = next(iter(image_histograms([scene], edges)))
    twice = np.concatenate([scene[0], scene[0][:1]]), np.concatenate([scene[1], scene[1][:1]])
    counts = np.ones((1, 12))
    counts[0, 0] = 2
    expected = binned_values(next(iter(image_histograms([twice], edges))).combined(np.ones((1, 13))))
    for name, value in binned_values(rows.combined(counts)).items():
        assert value == pytest.approx(expected[name])
    assert rows.normal.sum() + rows.defect.sum() == scene[0].size and rows.weight.sum() == pytest.approx(6)


def test_undefined_is_none_and_a_generator_is_refused() -> None:
    nothing = np.zeros((1, 3, 3), dtype=bool)
    values, errors = binned_curve([(np.ones((1, 3, 3)), nothing)])
    assert set(values.values()) == set(errors.values()) == {None}
    with pytest.raises(MetricError, match="pass a list"):
        score_edges(iter([(np.ones((1, 3, 3)), nothing)]))


def test_a_separated_scene_has_no_error() -> None:
    maps, masks = np.array([[[3.0, 2.0], [1.0, 0.0]]]), np.array([[[True, False], [False, False]]])
    values, errors = binned_curve([(maps, masks)])
    assert (values["ap"], errors["ap"]) == (1.0, 0.0)
