"""Exact curves against definitions read literally and independent implementations, streamed or not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_precision_recall_curve,
)

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics import pixel_metrics
from moleflow_lib.metrics.curve import curve_values
from moleflow_lib.metrics.streaming import score_keys, streamed_curve
from tests.metrics.twins import area_below, literal_curves

FEW_SCORES = arrays(
    np.float32, (2, 4, 5), elements=st.sampled_from([-3.5, -1.0, -0.0, 0.0, 0.25, 1.0, 1.0000001, 7e4])
)
ANY_SCORES = arrays(np.float32, (2, 4, 5), elements=st.floats(-1e6, 1e6, width=32))
MASKS = arrays(np.bool_, (2, 4, 5))


def _both(masks: np.ndarray) -> bool:
    return bool(masks.any() and not masks.all())


@given(st.one_of(FEW_SCORES, ANY_SCORES), MASKS)
def test_one_walk_gives_what_every_threshold_in_turn_gives(maps: np.ndarray, masks: np.ndarray) -> None:
    assume(_both(masks))
    assert streamed_curve([(maps, masks)]) == pytest.approx(literal_curves(maps, masks), abs=1e-12)


@given(st.one_of(FEW_SCORES, ANY_SCORES), MASKS, st.integers(1, 50))
def test_streaming_in_tiny_ranges_changes_nothing(maps: np.ndarray, masks: np.ndarray, limit: int) -> None:
    assume(_both(masks))
    images = [(maps[n : n + 1], masks[n : n + 1]) for n in range(2)]
    assert streamed_curve(images, limit) == pytest.approx(streamed_curve([(maps, masks)]), abs=1e-12)


def test_crowded_keys_are_counted_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    from moleflow_lib.metrics import streaming

    random, seen = np.random.default_rng(0), []
    maps = random.choice(np.float32([1, 1.0001, 1.0002, 5, -2]), (20, 8, 8))  # three scores share a bucket
    masks = random.random((20, 8, 8)) < 0.1
    for name in ("_sort_range", "_count_range"):
        inner = getattr(streaming, name)
        monkeypatch.setattr(
            streaming, name, lambda *a, name=name, inner=inner: seen.append(name) or inner(*a)
        )
    assert streamed_curve([(maps, masks)], limit=400) == pytest.approx(literal_curves(maps, masks), abs=1e-12)
    assert sorted(seen) == ["_count_range", "_sort_range", "_sort_range"]


class Source:
    """Images made anew at every reading, which counts its readings and the largest block."""

    def __init__(self, images: int) -> None:
        self.images, self.readings = images, 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.readings += 1
        for seed in range(self.images):
            random = np.random.default_rng(seed)
            mask = random.random((1, 16, 16)) < 0.1
            yield (random.random((1, 16, 16)) + mask).astype(np.float32), mask


def test_the_number_of_readings_follows_the_limit_and_memory_does_not_follow_the_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from moleflow_lib.metrics import streaming

    held, inner = [], streaming.descend_sorted
    monkeypatch.setattr(
        streaming, "descend_sorted", lambda w, n, d, s: held.append(len(n) + len(d)) or inner(w, n, d, s)
    )
    source = Source(40)
    assert pixel_metrics(source) and source.readings == 2
    assert sum(held) == 40 * 256
    held.clear()
    source.readings = 0
    values = pixel_metrics(source, limit=2000)
    assert max(held) <= 2000 and source.readings == 1 + len(held) > 5
    assert values == pytest.approx(pixel_metrics(list(source)), abs=1e-12)


def test_a_source_that_can_be_read_once_is_refused() -> None:
    with pytest.raises(MetricError, match="pass a list"):
        pixel_metrics(iter(Source(1)))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=9))
def test_keys_sort_as_scores_do(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float32)
    keys = score_keys(scores)
    assert ((scores[:, None] < scores) == (keys[:, None] < keys)).all()
    assert ((scores[:, None] == scores) == (keys[:, None] == keys)).all()


@given(arrays(np.float32, 40, elements=st.floats(0, 1, width=32)), arrays(np.bool_, 40))
def test_agrees_with_torchmetrics(scores: np.ndarray, labels: np.ndarray) -> None:
    assume(_both(labels))
    values, preds, target = (
        curve_values(scores[~labels], scores[labels]),
        torch.tensor(scores),
        torch.tensor(labels).int(),
    )
    precision, recall, _ = binary_precision_recall_curve(preds, target)
    f1 = (2 * precision * recall / (precision + recall).clamp(min=1e-12)).max()
    expected = {
        "auroc": binary_auroc(preds, target),
        "ap": binary_average_precision(preds, target),
        "f1max": f1,
    }
    assert {name: values[name] for name in expected} == pytest.approx(
        {n: v.item() for n, v in expected.items()}, abs=1e-5
    )


def test_trapezoid_average_precision_is_another_number() -> None:
    scores, labels = np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])
    precision, recall, _ = binary_precision_recall_curve(torch.tensor(scores), torch.tensor(labels).int())
    trapezoid = -np.trapezoid(precision.numpy(), recall.numpy())
    assert curve_values(scores[~labels], scores[labels])["ap"] == pytest.approx(5 / 6)
    assert abs(trapezoid - 5 / 6) > 0.03


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Thin diagonal scratches, hard to see, and blots, easier to see."""
    random = np.random.default_rng(3)
    masks = np.zeros((3, 24, 24), dtype=bool)
    lift = np.zeros(masks.shape)
    for n in range(3):
        masks[n, np.arange(4, 14), np.arange(4, 14) + n] = True  # touches by corners alone
        masks[n, 17:22, 2 : 8 + n] = True
        lift[n, 17:22, 2 : 8 + n] = 1.5
    return (random.normal(size=masks.shape) + lift).astype(np.float32), masks


def test_four_neighbours_move_aupro(scene: tuple[np.ndarray, np.ndarray]) -> None:
    ours, four = streamed_curve([scene])["aupro"], literal_curves(*scene, neighbours=4)["aupro"]
    assert ours == pytest.approx(literal_curves(*scene)["aupro"], abs=1e-12)
    assert ours - four > 0.1  # every pixel of a scratch has become a region of its own


def test_two_hundred_thresholds_move_aupro(scene: tuple[np.ndarray, np.ndarray]) -> None:
    maps, masks = scene[0].copy(), scene[1]
    maps[0, 0, 0] = 1000.0  # one outlier is enough to leave evenly spaced thresholds nothing to resolve
    coarse = _aupro_on_a_grid(maps, masks, 200, rescaled=False)
    assert abs(streamed_curve([(maps, masks)])["aupro"] - coarse) > 0.05


def test_a_rescaled_rate_moves_aupro(scene: tuple[np.ndarray, np.ndarray]) -> None:
    rounded = np.round(scene[0]), scene[1]  # so that no threshold comes close to the limit
    plain, rescaled = (_aupro_on_a_grid(*rounded, 3000, rescaled=flag) for flag in (False, True))
    ours = streamed_curve([rounded])["aupro"]
    assert ours == pytest.approx(plain, abs=1e-12)  # enough thresholds to meet every score
    assert ours - rescaled > 0.05  # the end of the curve was cut off and the rest stretched


def _aupro_on_a_grid(maps: np.ndarray, masks: np.ndarray, count: int, rescaled: bool) -> float:
    """As in copies that go round: evenly spaced thresholds; rates up to 0.3 kept, stretched over [0, 1]."""
    from moleflow_lib.metrics.regions import region_weights

    weights, rates, overlaps = region_weights(masks), [0.0], [0.0]
    for threshold in np.linspace(maps.max(), maps.min(), count):
        hot = maps >= threshold
        rates.append(hot[~masks].mean())
        overlaps.append(weights[hot[masks]].sum() / weights.sum())
    if not rescaled:
        return area_below(rates, overlaps, 0.3)
    kept = np.array(rates) < 0.3
    x = np.array(rates)[kept]
    return float(np.trapezoid(np.array(overlaps)[kept], (x - x.min()) / (x.max() - x.min())))
