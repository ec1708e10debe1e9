"""Sheets made for judging: the plain image, the mask beside it, a map that shows what is detected."""

from __future__ import annotations

import re

import numpy as np
import pytest

from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.figures.heat_maps import FalseAlarmScale, _LinearScale, heat_map_cases, map_tile
from moleflow_lib.reporting.figures.inputs import gallery
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile

CONTRAST = 0.5  # luminance of the brightest 0.5 % of a map's tile above its median, of 1; 0.1 is hardly seen


@pytest.fixture(scope="module")
def sheet(learned: Experiment) -> Sheet:
    training = [learned.features(task, "train") for task in learned.tasks]
    return heat_map_cases(learned.evaluators, routed=True, training=training)


def test_tiles_are_large_and_say_what_they_show(sheet: Sheet, learned: Experiment) -> None:
    assert [name for name, _ in sheet.rows] == [task.name for task in learned.tasks]
    assert all(tile.picture.shape == (224, 224, 3) for tile in sheet.tiles)
    for _, cases in sheet.rows:
        assert [case.name.split(",")[0] for case in cases] == ["best", "median", "worst", "highest normal"]
        assert all(
            re.search(r"score -?[\d.e+]+, rank \d+ of 8", case.name) and case.name.endswith(".png")
            for case in cases
        )
        assert [tile.label for tile in cases[0].tiles] == ["image", "mask", "map"]


def test_the_image_is_plain_and_the_outline_beside_it(sheet: Sheet) -> None:
    image, mask, _ = (tile.picture for tile in sheet.rows[0][1][0].tiles)
    changed = (image != mask).any(axis=-1)
    assert (
        0 < changed.mean() < 0.3
        and (mask[changed] == (0, 255, 120)).all()
        and not (image == (0, 255, 120)).all(axis=-1).any()
    )


def test_what_no_normal_pixel_reaches_is_as_bright_as_can_be(learned: Experiment) -> None:
    evaluator, task = learned.evaluators[0], learned.tasks[0]
    scale = FalseAlarmScale.of(evaluator, learned.features(task, "train"), 0)
    assert scale.brightness(np.array([scale.normal[-1] + 1, 1e9])).tolist() == [1.0, 1.0]
    assert scale.brightness(scale.normal[:1]).tolist() == [0.0]
    for share in (0.5, 0.1):
        value = np.quantile(scale.normal, 1 - share)
        assert abs(float(scale.rate(value)) - share) < 0.01
    assert scale.normal[0] < scale.threshold <= scale.normal[-1]


def test_the_scale_is_told_and_a_linear_one_only_where_training_images_are_not_given(
    sheet: Sheet, learned: Experiment
) -> None:
    assert "normal training images" in sheet.caption and "1 in" in sheet.ends[1]
    plain = heat_map_cases(learned.evaluators[:1])
    assert "linear" in plain.caption and plain.ends == ("median", "highest of the task")


def test_a_sheet_needs_neither_script_nor_plotly_and_escapes_its_words() -> None:
    tile = Tile(picture=np.zeros((4, 4, 3), dtype=np.uint8), label="<b onclick=x>")
    html = Sheet(
        title="<i>", caption="<u>", rows=[("<s>", [Case(tiles=[tile], name='"><img src=x>')])]
    )._repr_html_()
    assert "<script" not in html and not re.search(r"<(i|u|s|b)[ >]", html) and "<img src=x" not in html
    assert html.count('type="checkbox"') == 1 and "data:image/webp;base64," in html


def test_the_gallery_shows_defects_plain_and_outlined(learned: Experiment) -> None:
    sheet = gallery(learned.tasks, learned.config.data)
    labels = [[tile.label for tile in case.tiles] for case in sheet.rows[0][1]]
    assert labels[0] == ["image"] and all(label == ["image", "mask"] for label in labels[1:])


def _seen(picture: np.ndarray) -> bool:
    luminance = picture / 255 @ np.array([0.2126, 0.7152, 0.0722])
    return bool(np.quantile(luminance, 0.995) - np.median(luminance) >= CONTRAST)


def test_every_detected_defect_is_seen_on_its_map(learned: Experiment) -> None:
    """Detected: its peak lies above every pixel of normal training images. A linear scale hides most."""
    detected = seen = seen_linear = 0
    for evaluator, task in zip(learned.evaluators, learned.tasks, strict=True):
        patch_scores = evaluator.patch_scores(task.index)
        maps = evaluator.maps(patch_scores)
        scale = FalseAlarmScale.of(evaluator, learned.features(task, "train"), task.index)
        linear = _LinearScale(float(patch_scores.median()), float(patch_scores.max()))
        for index in np.flatnonzero((evaluator.labels == 1) & (maps.max(axis=(1, 2)) > scale.normal[-1])):
            tiles = [map_tile(maps[index], one) for one in (scale, linear)]
            detected, seen = detected + 1, seen + _seen(tiles[0].picture)
            seen_linear += _seen(tiles[1].picture)
    assert detected >= 4 and seen == detected and seen_linear < detected / 2


def test_the_contour_is_seen_on_the_darkest_and_on_the_brightest_colour() -> None:
    scale = FalseAlarmScale(np.linspace(0, 1, 5000), 1 / 5000)
    values = np.zeros((224, 224))
    values[80:140, 80:140] = 9.0
    picture = map_tile(values, scale).picture / 255 @ np.array([0.2126, 0.7152, 0.0722])
    plateau, inside, outside, ground = (picture[110, column] for column in (110, 80, 79, 20))
    assert outside - ground >= CONTRAST and plateau - inside >= CONTRAST
    values[:] = 9.0
    assert (map_tile(values, scale).picture == map_tile(values, scale).picture[0, 0]).all(), (
        "no edge, no line"
    )
