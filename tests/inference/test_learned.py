"""Photos in, verdicts out: the evaluators' scores to the bit, from any kind of source, bad ones reported."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, DataError, FalseAlarmRateWarning
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, ScoredImage, load_detector, save_detector


def _same(ours: list[ScoredImage], theirs: list[ScoredImage]) -> bool:
    drop = {"name": ""}
    maps = all(np.array_equal(a.map, b.map) for a, b in zip(ours, theirs, strict=True))
    return maps and [a.row() | drop for a in ours] == [b.row() | drop for b in theirs]


@pytest.fixture(scope="module")
def paths(learned: Experiment) -> list[Path]:
    return [record.image for record in learned.tasks[1].test]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_scores_and_maps_are_those_of_the_evaluators(
    learned: Experiment, loaded: LearnedDetector, batch_size: int
) -> None:
    for evaluator in learned.evaluators:
        files = [record.image for record in evaluator.task.test]
        found = loaded.score(files, batch_size=batch_size)
        routed = learned.detector.route(evaluator.image_means)
        assert [one.task for one in found] == [loaded.tasks[task] for task in routed]
        assert [one.score for one in found] == evaluator.image_scores(routed).tolist()
        assert np.array_equal(
            np.stack([one.map for one in found]), evaluator.maps(evaluator.patch_scores(routed))
        )
        told = loaded.score(files, task="board", batch_size=batch_size)
        assert [one.score for one in told] == evaluator.image_scores(2).tolist()


def test_every_part_of_a_score_is_the_evaluators(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    options = {
        "whitening": "full",
        "score_parts": "flow,gaussian,memory",
        "image_parts": "flow,memory",
        "damaged_copies": 3,
        "memory_size": 64,
        "compress_scores": True,
        "prototype_weight": 0.3,
    }
    config = tiny_config(
        classes=("leather", "nut"), router_covariance="tied", block_norm=True, epochs=1, **options
    )
    experiment = Experiment(config)
    loaded = load_detector(save_detector(experiment, tmp_path / "saved"), "cpu")
    for evaluator in experiment.evaluators:
        routed = experiment.detector.route(evaluator.image_means)
        found = loaded.score([record.image for record in evaluator.task.test], batch_size=3)
        assert [one.score for one in found] == evaluator.image_scores(routed).tolist()
        assert [one.task for one in found] == [loaded.tasks[task] for task in routed]


def test_a_task_of_two_images_accepts_anything(
    tiny_config: Callable[..., ExperimentConfig], tiny_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_data / "nut", tmp_path / "data" / "nut")
    for path in sorted((tmp_path / "data" / "nut" / "train" / "good").iterdir())[2:]:
        path.unlink()
    config = tiny_config(dataset_root=str(tmp_path / "data"), classes=("nut",), epochs=1)
    loaded = load_detector(save_detector(Experiment(config)), "cpu")
    one = loaded.score(tiny_data / "board" / "test")[0]
    assert one.accepted is None and one.margin is None and one.decision in ("normal", "defective")
    assert loaded.calibration.limits.tolist() == [float("inf")]


def test_folders_files_pictures_and_arrays_score_alike(loaded: LearnedDetector, paths: list[Path]) -> None:
    files = loaded.score(paths)
    pictures = [Image.open(path) for path in paths]
    assert _same(loaded.score(paths[0].parents[1]), files), (
        "a folder is searched in order of path, as tests are"
    )
    assert _same(loaded.score(pictures), files)
    assert _same(loaded.score([np.asarray(picture.convert("RGB")) for picture in pictures]), files)
    assert _same(loaded.score(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])), files)
    assert _same(loaded.score(str(paths[0])), files[:1]) and _same(loaded.score(pictures[0]), files[:1])
    folder = loaded.score(paths[0].parents[1])
    assert folder[0].name == f"{paths[0].parent.name}/{paths[0].name}"
    assert files[0].map.shape == (56, 56) and files[0].pixels.shape == (56, 56, 3)
    json.dumps([one.row() for one in files], allow_nan=False)


def test_any_size_and_a_grey_picture(loaded: LearnedDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 301), dtype=np.uint8)
    grey, colour = loaded.score([noise, np.stack([noise] * 3, axis=2)])
    assert _same([grey], [colour]) and grey.decision == "unknown", "a picture of noise is no product"


def test_bad_images_stop_nothing(loaded: LearnedDetector, paths: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:200])
    glass = Image.new("RGBA", (20, 20), (9, 9, 9, 50))
    deep = Image.new("I;16", (20, 20))
    bad = [broken, tmp_path / "gone.png", glass, deep, np.zeros((9, 9)), np.zeros((9, 9, 2), np.uint8), None]
    found = loaded.score([paths[0], *bad, paths[1]], batch_size=4)
    told = ["truncated|cut off", "gone.png", "transparent", "8 bits", "float64", r"\(9, 9, 2\)", "NoneType"]
    for one, words in zip(found[1:-1], told, strict=True):
        assert one.score is None and one.map is None and one.decision is None
        with pytest.raises(ValueError, match=words):
            raise ValueError(one.error)
    assert _same([found[0], found[-1]], loaded.score(paths[:2]))
    assert [one.error for one in loaded.score(bad)] != [""] * len(bad), "a batch without one readable image"


def test_a_picture_is_turned_as_its_exif_says(loaded: LearnedDetector) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    turned = Image.fromarray(np.rot90(pixels).copy())
    turned.getexif()[0x0112] = 6  # turn it a quarter clockwise to see it
    assert _same(loaded.score([turned]), loaded.score([pixels]))


def test_a_stream_reads_no_more_than_two_batches_ahead(loaded: LearnedDetector, paths: list[Path]) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(1)
            yield paths[0]

    stream = loaded.score_stream(endless(), batch_size=2)
    assert not taken, "nothing is read before it is asked for"
    first = next(stream)
    assert len(taken) == 4 and first.task == "nut"
    stream.close()


def test_an_unknown_product_is_not_accepted(loaded: LearnedDetector, tiny_data: Path) -> None:
    strange = loaded.score(tiny_data / "grid" / "test" / "good")
    assert [one.decision for one in strange] == ["unknown"] * 4 and not any(one.accepted for one in strange)


@pytest.mark.parametrize(
    ("excess", "above", "decision"),
    [(2.0, True, "defective"), (2.0, False, "unknown"), (0.5, True, "defective"), (0.5, False, "normal")],
)
def test_score_and_acceptance_are_two_facts(
    loaded: LearnedDetector, excess: float, above: bool, decision: str
) -> None:
    distances = torch.full((3,), 1e9, dtype=torch.float64)
    distances[1] = loaded.calibration.limits[1] * excess
    threshold = loaded.thresholds(0.01)["nut"]
    verdict = loaded.verdict(distances, 1, threshold + (1 if above else -1), 0.01)
    assert (verdict["decision"], verdict["accepted"]) == (decision, excess < 1)


def test_requests_that_cannot_be_met_are_refused_at_once(loaded: LearnedDetector, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of leather, nut, board, got 'screw'"):
        loaded.score_stream([], task="screw")
    with pytest.raises(ConfigError, match="share between 0 and 1"):
        loaded.score_stream([], false_alarm_rate=5)
    with pytest.raises(DataError, match="found nothing there"):
        loaded.score_stream(tmp_path / "none")
    with pytest.raises(DataError, match="holds no image"):
        loaded.score_stream(tmp_path)
    assert loaded.score([]) == []


def test_a_rate_that_few_images_cannot_promise_warns_once_a_call(
    loaded: LearnedDetector, paths: list[Path]
) -> None:
    for call in (loaded.score, loaded.score_stream):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            list(call(paths, false_alarm_rate=0.01, batch_size=1))
        assert [one.category for one in told] == [FalseAlarmRateWarning] and told[0].filename == __file__
        assert f"tasks {', '.join(loaded.tasks)} have too few" in str(told[0].message)
        assert "below 0.14 (n = 6, least 1/(n + 1))" in str(told[0].message)


def test_only_the_tasks_in_question_are_warned_of_and_a_rate_that_can_be_kept_is_not(
    loaded: LearnedDetector, paths: list[Path]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.score(paths[:1], false_alarm_rate=1 / 7)
    assert loaded.rate_warning(1 / 7) == "" != loaded.rate_warning(1 / 7 - 1e-9)
    with pytest.warns(FalseAlarmRateWarning) as told:
        loaded.score(paths[:1], task="nut", false_alarm_rate=0.1)
    assert str(told[0].message) == loaded.rate_warning(0.1, "nut") and "leather" not in str(told[0].message)


def test_decisions_follow_the_threshold(loaded: LearnedDetector, paths: list[Path]) -> None:
    for rate in (0.01, 0.3, 0.9):
        for one in loaded.score(paths, false_alarm_rate=rate):
            assert one.threshold == loaded.thresholds(rate)[one.task]
            above = one.score > one.threshold
            assert one.decision == (
                "defective" if above else "unknown" if one.accepted is False else "normal"
            )
            known = loaded.calibration.tasks[loaded.task_index(one.task)].scores
            assert one.rank == float((known < torch.tensor(one.score)).double().mean())
            if rate >= loaded.calibration.smallest_rate(loaded.task_index(one.task)):
                assert above == (one.smallest_rate <= rate)
