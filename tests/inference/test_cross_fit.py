"""With folds no image is scored by what saw it, and the promise is kept where seen images break it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import cross_fit, learn_further, learned_detector, load_detector, save_detector
from moleflow_lib.training.trainer import MoLEContinualTrainer

Configs = Callable[..., ExperimentConfig]


def test_held_out_images_look_stranger_than_seen_ones(tiny_config: Configs) -> None:
    experiment = Experiment(tiny_config(classes=("leather", "nut"), epochs=60, lr=3e-3))
    seen = learned_detector(experiment).calibration
    held_out = learned_detector(experiment, calibration_folds=6).calibration
    for ours, theirs in zip(held_out.tasks, seen.tasks, strict=True):
        assert (ours.folds, theirs.folds) == (6, 0) and len(ours.scores) == len(theirs.scores) == 6
        assert ours.scores.mean() > theirs.scores.mean() and torch.equal(
            ours.scores, ours.scores.sort().values
        )
    assert torch.equal(held_out.limits, seen.limits)


def test_every_fold_is_learned_without_its_images(
    tiny_config: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(tiny_config(classes=("nut",)))
    experiment.learn()
    images = [record.image for record in experiment.tasks[0].train]
    lessons = []

    class Watched(MoLEContinualTrainer):
        def learn(self, name: str, train: object) -> object:
            lessons.append([record.image for record in train.records])
            assert self.detector.config.train.steps == experiment.trainer.histories[0].steps
            return super().learn(name, train)

    monkeypatch.setattr(cross_fit, "MoLEContinualTrainer", Watched)
    learned_detector(experiment, calibration_folds=6)
    assert len(lessons) == 6 and all(len(lesson) == 5 for lesson in lessons)
    left_out = [image for lesson in lessons for image in images if image not in lesson]
    assert sorted(left_out) == sorted(images), "each image is held out once"
    learned_detector(experiment, calibration_folds=6)
    assert len(lessons) == 6, "the second time nothing is learned"


def test_folds_are_kept_and_used_for_a_further_task(
    tiny_config: Configs, tiny_data: Path, tmp_path: Path
) -> None:
    config = tiny_config(classes=("leather",), epochs=1)
    loaded = load_detector(save_detector(Experiment(config), tmp_path / "saved", calibration_folds=6), "cpu")
    assert loaded.calibration.tasks[0].folds == 6
    grown = learn_further(loaded, tiny_data, ["nut"])
    assert [task.folds for task in grown.calibration.tasks] == [6, 6]


def test_folds_that_fit_leave_enough_images() -> None:
    for images in range(1, 30):
        for asked in range(1, 12):
            folds = cross_fit.fitting_folds(images, asked)
            fewest = max(asked, 2)
            fitting = [n for n in range(fewest, images + 1) if images - -(-images // n) >= 5]
            assert folds == (fitting[0] if fitting else 0)
    assert cross_fit.fitting_folds(80, 0) == 0


def test_the_option_decides_where_no_number_is_given(
    tiny_config: Configs, tiny_data: Path, tmp_path: Path
) -> None:
    config = tiny_config(classes=("leather",), epochs=1, calibration_folds=6)
    known = load_detector(save_detector(Experiment(config)), "cpu")
    assert known.calibration.tasks[0].folds == 6 and known.config.study.calibration_folds == 6
    for given, folds in ((None, 6), (0, 0), (6, 6)):
        grown = learn_further(known, tiny_data, ["nut"], tmp_path / "store", calibration_folds=given)
        assert grown.calibration.tasks[1].folds == folds
    with pytest.raises(ConfigError, match="got 2 folds of the 6 images of nut"):
        learn_further(known, tiny_data, ["nut"], calibration_folds=2)


def test_folds_change_no_score(tiny_config: Configs, tiny_data: Path) -> None:
    config = tiny_config(classes=("nut",), epochs=1)
    photos = tiny_data / "nut" / "test"
    for_folds = [
        [
            (image.score, image.map.tobytes())
            for image in learned_detector(Experiment(config), folds).score(photos)
        ]
        for folds in (0, 6)
    ]
    assert for_folds[0] == for_folds[1]


@pytest.mark.parametrize("folds", [1, 2])
def test_too_few_images_for_the_folds_are_refused(folds: int, tiny_config: Configs) -> None:
    experiment = Experiment(tiny_config(classes=("nut",), epochs=1))
    with pytest.raises(ConfigError, match=f"got {folds} folds of the 6 images of nut"):
        learned_detector(experiment, calibration_folds=folds)
