"""The image as a whole: a blend by hand, held-out training distances, what it may depend on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.covariance import LedoitWolf

from data_prep.draw import draw_demo
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import DataError
from moleflow_lib.experiment import Experiment
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.scoring.aggregation import image_scores
from moleflow_lib.scoring.memory_bank import calibration_subset
from moleflow_lib.scoring.prototype_distance import ImageScale, prototype_distances

Configs = Callable[..., ExperimentConfig]


def _images(count: int = 30, dim: int = 4) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0)).double()


def test_the_blend_by_hand() -> None:
    prototype = TaskPrototype.of(_images())
    scale = ImageScale(torch.tensor([[10.0, 2.0], [1.0, 0.5]]).double(), torch.empty(0))
    offset = torch.tensor([[3.0, 0.0, 0.0, 1.0]]).double()
    covariance = torch.from_numpy(LedoitWolf().fit(_images().numpy()).covariance_)
    far = (offset @ torch.linalg.inv(covariance) @ offset.T).sqrt().item()
    distances = prototype_distances(prototype, prototype.moments.mean + offset)
    assert distances.item() == pytest.approx(far)
    assert scale.blend(torch.tensor([14.0]), distances, 0.25).item() == pytest.approx(
        0.75 * 2 + 0.25 * (far - 1) / 0.5
    )
    assert scale.blend(torch.tensor([14.0]), distances, 0.0).item() == 2.0


def test_the_scale_is_that_of_held_out_images() -> None:
    """Fewer images than channels: a prototype that saw an image finds it near, and any new one far."""
    images = _images(20, 40)
    measured = ImageScale.measured(images, torch.arange(20.0), seed=0)
    assert measured.scale[1, 0] > 1.1 * prototype_distances(TaskPrototype.of(images), images).mean()
    assert measured.scale[0].tolist() == pytest.approx([9.5, torch.arange(20.0).std().item()])
    without_first = TaskPrototype.of(images[_part_of(0, 20) != _part_of(0, 20)[0]])
    assert measured.held_out[0].item() == pytest.approx(
        prototype_distances(without_first, images[:1]).item(), rel=1e-6
    )


def _part_of(seed: int, count: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)) % 5


def test_copies_of_one_image_do_not_divide_by_zero() -> None:
    images = torch.ones(8, 4).double()
    measured = ImageScale.measured(images, torch.zeros(8), seed=0)
    distances = prototype_distances(TaskPrototype.of(images), images)
    assert measured.blend(torch.zeros(8), distances, 0.3).abs().max() < 10


def test_too_few_images_are_told_before_anything_runs(tiny_config: Configs) -> None:
    few = draw_demo(Path(tiny_config().run.out_dir) / "few", train=4, test_good=1, test_defect=4, size=64)
    with pytest.raises(
        DataError, match="leather: prototype_weight needs at least 5 training images, found 4"
    ):
        Experiment(tiny_config(dataset_root=str(few), prototype_weight=0.3))


def test_training_images_rank_as_new_ones_do(tiny_config: Configs) -> None:
    """Scored as they were stored, all training images would lie below any new one."""
    experiment = Experiment(
        tiny_config(
            classes=("leather",),
            prototype_weight=0.3,
            score_parts="flow,memory",
            memory_size=10_000,
            compress_scores=True,
        )
    )
    experiment.learn()
    task, detector = experiment.tasks[0], experiment.detector
    train = experiment.features(task, "train")
    _, as_new = detector.scorer(0).training_scores(train.patches, calibration_subset(len(train.patches)))
    _, as_stored = detector.scores(train.patches, train.image_means(), 0)
    evaluator = experiment.evaluators[0]
    normal = evaluator.image_scores(0)[evaluator.labels == 0]
    assert (
        len(as_new) == 6 and as_stored.max() < as_new.min() and as_stored.max() < normal.min() < as_new.max()
    )


def test_the_detector_blends_and_later_tasks_change_nothing(tiny_config: Configs) -> None:
    config = tiny_config(
        prototype_weight=0.3, score_parts="flow,memory", memory_size=20, compress_scores=True
    )
    experiment = Experiment(config)
    experiment.learn(upto=1)
    test = experiment.features(experiment.tasks[0], "test")
    detector, means = experiment.detector, test.image_means()
    patch_scores, early = detector.scores(test.patches, means, 0)
    experiment.learn()
    detector = experiment.detector
    assert torch.equal(detector.scores(test.patches, means, 0)[1], early)
    of_patches = image_scores(patch_scores, 3)
    task = detector.tasks[0]
    distances = prototype_distances(task.prototype, means)
    assert torch.equal(early, task.image_scale.blend(of_patches, distances, 0.3))
    evaluator = experiment.evaluators[0]
    assert evaluator.image_scores(0).tolist() == early.tolist()
    mixed = torch.tensor([0, 1] * (len(means) // 2))
    _, foreign = detector.scores(test.patches, means, 1)
    assert evaluator.image_scores(mixed).tolist() == torch.where(mixed == 0, early, foreign).tolist()


def test_its_scale_leaves_out_an_images_own_stored_patches(tiny_config: Configs) -> None:
    experiment = Experiment(
        tiny_config(classes=("leather",), prototype_weight=0.3, score_parts="memory", memory_size=10_000)
    )
    experiment.learn()
    train = experiment.features(experiment.tasks[0], "train").patches
    scorer = experiment.detector.scorer(0)
    held_out, _ = scorer.joined(scorer.training_parts(train, range(len(train))))
    assert held_out.mean().abs() < 1e-3, "on the scale of held-out training patches their own mean is zero"
    assert experiment.detector.patch_scores(train, 0).mean() < held_out.mean() - 1, (
        "with its own patches an image is near"
    )
    tops = image_scores(held_out, 3).double()
    assert experiment.detector.tasks[0].image_scale.scale[0].tolist() == pytest.approx(
        [tops.mean().item(), tops.std().item()]
    )
