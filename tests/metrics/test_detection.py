"""Detection metrics by hand: ties, regions, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics import METRICS, detection_metrics, image_metrics, pixel_metrics


def _aupro(scores: list, mask: list) -> float | None:
    return pixel_metrics([(np.array([scores], dtype=np.float32), np.array([mask], dtype=bool))])["aupro"]


def test_image_metrics_by_hand() -> None:
    # from the top 1 0 1 0: AUROC 3/4; precision at the hits 1 and 2/3, AP 5/6; best F1 = 2·2/(3+2)
    values = image_metrics(np.array([4.0, 3, 2, 1]), np.array([1, 0, 1, 0]))
    assert values == pytest.approx({"image_auroc": 0.75, "image_ap": 5 / 6, "image_f1max": 0.8})


def test_scores_that_tie_are_called_together() -> None:
    # one threshold only: half the pairs won, precision 3/10, F1 = 2·3/(10+3)
    values = image_metrics(np.zeros(10), np.arange(10) < 3)
    assert values == pytest.approx({"image_auroc": 0.5, "image_ap": 0.3, "image_f1max": 6 / 13})


def test_aupro_by_hand() -> None:
    # 9 normal pixels, regions of 1 and of 2 pixels. From the top: region 1 (PRO 1/2), a normal pixel, half of
    # region 2 (PRO 3/4), seven normal pixels, the rest of region 2, a normal pixel.
    # Up to rate 0.3 the area is 1/9·1/2 + (0.3 − 1/9)·3/4, divided by 0.3.
    scores = [[90, 80, 5, 5, 5, 70], [0, 5, 5, 5, 5, 1]]
    mask = [[1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1]]
    assert _aupro(scores, mask) == pytest.approx((1 / 9 * 0.5 + (0.3 - 1 / 9) * 0.75) / 0.3)


def test_a_tie_of_normal_and_defective_pixels_is_a_straight_line() -> None:
    # all scores equal: PRO = rate, so half of 0.3² over 0.3
    assert _aupro([[5, 5, 5], [5, 5, 5]], [[1, 0, 0], [0, 0, 1]]) == pytest.approx(0.15)


def test_the_curve_is_interpolated_at_the_limit() -> None:
    # 2 of 4 normal pixels tie with the only region: at rate 0.3 the line has climbed 0.6
    assert _aupro([[5, 5, 5, 1, 1]], [[1, 0, 0, 0, 0]]) == pytest.approx(0.5 * 0.3 * 0.6 / 0.3)


def test_pixels_that_touch_by_a_corner_are_one_region() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[0, 0] = mask[1, 1] = mask[2, 0] = (
        True  # one region of three pixels that reaches the corner of the image
    )
    mask[3, 3] = True  # a region of one pixel in the opposite corner
    scores = np.where(mask, 0.0, 1.0)
    scores[3, 3] = scores[0, 0] = 2.0  # found: one region whole, a third of the other
    assert _aupro(scores, mask) == pytest.approx((1 + 1 / 3) / 2)


def test_regions_end_where_the_image_ends() -> None:
    masks = np.zeros((2, 2, 2), dtype=bool)
    masks[0, 1, 1] = masks[1, 1, 1] = True  # the same place in two images: two regions
    masks[1, 0, 1] = True  # the second one has two pixels
    maps = np.where(masks, [[[9.0]], [[0.0]]], 1.0).astype(np.float32)
    assert pixel_metrics([(maps, masks)])["aupro"] == pytest.approx(0.5)


@pytest.mark.parametrize("pixels", [3, 7, 49, 1000, 9999])
def test_a_perfect_map_is_one_and_never_more(pixels: int) -> None:
    maps = np.arange(30_000, dtype=np.float32).reshape(1, 100, 300)  # 1/n added n times is not always 1
    values = pixel_metrics([(maps, maps >= 30_000 - pixels)])
    assert max(values.values()) <= 1.0 and min(values.values()) == pytest.approx(1.0, abs=1e-12)


def test_a_class_without_defects_has_no_metric() -> None:
    values = detection_metrics(
        np.array([0.0, 1.0]), np.array([0, 0]), np.ones((2, 3, 3)), np.zeros((2, 3, 3), dtype=bool)
    )
    assert values == dict.fromkeys(METRICS)


def test_a_class_with_defects_alone_has_pixel_metrics_only() -> None:
    masks = np.zeros((2, 3, 3), dtype=bool)
    masks[:, 0, 0] = True
    values = detection_metrics(np.array([0.0, 1.0]), np.array([1, 1]), masks.astype(float), masks)
    assert values == {m: None if m.startswith("image") else 1.0 for m in METRICS}


def test_with_nothing_but_defective_pixels_pixel_metrics_are_undefined() -> None:
    values = detection_metrics(
        np.array([0.0, 1.0]), np.array([0, 1]), np.ones((1, 2, 2)), np.ones((1, 2, 2), dtype=bool)
    )
    assert values == {m: 1.0 if m.startswith("image") else None for m in METRICS}


def test_without_masks_pixel_metrics_are_undefined_not_zero() -> None:
    values = detection_metrics(np.array([0.0, 1.0]), np.array([0, 1]))
    assert values == {m: 1.0 if m.startswith("image") else None for m in METRICS}


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(MetricError, match="found NaN"):
        image_metrics(np.array([0.0, np.nan]), np.array([0, 1]))
    with pytest.raises(MetricError, match="found NaN"):
        pixel_metrics([(np.full((1, 2, 2), np.nan), np.eye(2, dtype=bool)[None])])
