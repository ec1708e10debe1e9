"""Intervals: what is drawn, that differences are paired, and that they cover what they say they cover."""

from __future__ import annotations

import numpy as np
import pytest

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics import (
    METRICS,
    image_metrics,
    interval,
    over_seeds,
    pixel_metrics,
    replicate_metrics,
    t_interval,
)
from moleflow_lib.metrics.bootstrap import average, image_draws

LABELS = np.repeat([0, 1], [30, 20])


def _scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image scores, maps and masks of 30 normal and 20 defective images."""
    random = np.random.default_rng(seed)
    masks = np.zeros((50, 12, 12), dtype=bool)
    masks[30:, 3:6, 4:8] = masks[40:, 8:10, 8:] = True
    maps = (random.normal(size=masks.shape) + masks).astype(np.float32)
    return maps.max(axis=(1, 2)), maps, masks


def test_normal_and_defective_images_are_drawn_apart_and_by_name() -> None:
    draws = image_draws(LABELS, "bottle", 100)
    assert (draws[:, LABELS == 0].sum(axis=1) == 30).all() and (draws[:, LABELS == 1].sum(axis=1) == 20).all()
    assert (draws == image_draws(LABELS, "bottle", 100)).all() and (
        draws != image_draws(LABELS, "cable", 100)
    ).any()
    assert draws.mean(axis=0) == pytest.approx(1, abs=0.4) and draws.max() > 3


def test_replicates_are_the_metrics_of_the_drawn_images() -> None:
    scores, maps, masks = _scene()
    found = replicate_metrics(
        scores, LABELS, "bottle", [(maps[:20], masks[:20]), (maps[20:], masks[20:])], rounds=5
    )
    assert tuple(found) == tuple(METRICS)
    for round_, times in enumerate(image_draws(LABELS, "bottle", 5)):
        drawn = np.repeat(np.arange(50), times)
        exact = image_metrics(scores[drawn], LABELS[drawn]) | pixel_metrics([(maps[drawn], masks[drawn])])
        for metric, value in exact.items():
            assert found[metric][round_] == pytest.approx(
                value, abs=1e-12 if metric.startswith("image") else 2e-3
            ), metric


def test_undefined_metrics_have_no_replicates() -> None:
    scores, maps, masks = _scene()
    without = replicate_metrics(scores, LABELS, "bottle", rounds=5)
    assert [metric for metric in METRICS if without[metric] is not None] == [
        "image_auroc",
        "image_ap",
        "image_f1max",
    ]
    one_kind = replicate_metrics(scores[30:], LABELS[30:], "bottle", [(maps[30:], masks[30:])], rounds=5)
    assert [metric for metric in METRICS if one_kind[metric] is None] == [
        "image_auroc",
        "image_ap",
        "image_f1max",
    ]
    assert interval(None) is None and interval(np.full(3, np.nan)) is None


def test_rounds_without_a_marked_defect_are_left_out() -> None:
    scores, maps, masks = _scene()
    masks[31:] = False  # one of twenty defective images is marked: about a third of the rounds miss it
    found = replicate_metrics(scores, LABELS, "bottle", [(maps, masks)], rounds=60)["aupro"]
    assert 5 < np.isnan(found).sum() < 40 and not np.isnan(interval(found)).any()


def test_differences_of_two_methods_are_paired() -> None:
    scores, *_ = _scene()
    better = scores + 0.05 * LABELS  # the same images are hard for both
    mine, other = (replicate_metrics(s, LABELS, "bottle")["image_auroc"] for s in (better, scores))
    paired = np.diff(interval(mine - other))[0]
    assert paired < 0.5 * np.diff(interval(mine))[0]
    strangers = replicate_metrics(scores, LABELS, "cable")["image_auroc"]
    assert np.diff(interval(mine - strangers))[0] > 2 * paired


@pytest.mark.parametrize(("level", "low", "high"), [(0.95, 0.88, 1.0), (0.5, 0.36, 0.64)])
def test_intervals_cover_the_population_as_often_as_they_say(level: float, low: float, high: float) -> None:
    truth, random, labels = 0.7602, np.random.default_rng(5), np.repeat([0, 1], 40)  # Φ(1/√2)
    covered = []
    for trial in range(150):
        scores = random.normal(size=80) + labels
        ends = interval(replicate_metrics(scores, labels, f"trial {trial}", rounds=100)["image_auroc"], level)
        covered.append(ends[0] <= truth <= ends[1])
    assert low <= np.mean(covered) <= high


def test_over_seeds_adds_the_spread_of_the_seeds() -> None:
    random = np.random.default_rng(2)
    images = random.normal(scale=0.01, size=4000)  # shared by the seeds: the same test images
    table = [0.8 + shift + images for shift in random.normal(scale=0.03, size=8)]
    both = over_seeds(table)
    shifts = np.array([row.mean() for row in table])
    assert both.shape == (4000,) and both.mean() == pytest.approx(np.mean(table), abs=1e-3)
    assert both.std() == pytest.approx(np.hypot(0.01, shifts.std() / np.sqrt(8)), rel=0.05)
    assert over_seeds(table[:1]) == pytest.approx(table[0])
    gain = over_seeds([row + 0.1 for row in table]) - both
    assert gain == pytest.approx(0.1)  # the same seeds are drawn for every method


def test_average_is_over_the_tasks_where_it_is_defined() -> None:
    assert average([np.array([1.0, 2.0]), None, np.array([3.0, 6.0])]).tolist() == [2.0, 4.0]
    assert average([None]) is None


def test_t_interval_against_a_table() -> None:
    # t(0.975, 4 degrees) = 2.776
    low, high = t_interval([1, 2, 3, 4, 5])
    reach = 2.7764 * np.std([1, 2, 3, 4, 5], ddof=1) / np.sqrt(5)
    assert (low, high) == pytest.approx((3 - reach, 3 + reach), abs=1e-3)
    assert t_interval([0.9]) is None and t_interval([0.5, 0.5]) == (0.5, 0.5)


def test_maps_of_no_image_are_refused() -> None:
    with pytest.raises(MetricError, match="at least one image to draw from"):
        replicate_metrics(np.array([0.1, 0.2]), np.array([0, 1]), "nut", [], 3)
