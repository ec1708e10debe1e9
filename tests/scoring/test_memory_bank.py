"""Stored patches, and the rule that joins their distance with the flow's score."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.scoring.coreset import nearest_distances
from moleflow_lib.scoring.memory_bank import MemoryBank, build_memory_bank, calibration_subset
from moleflow_lib.scoring.task_scorer import joined_patch_scores
from moleflow_lib.training.measure import _distance_spread

Configs = Callable[..., ExperimentConfig]


def _patches(images: int = 5) -> torch.Tensor:
    return torch.randn(images, 3, 3, 4, generator=torch.Generator().manual_seed(0)).half()


def test_the_rule_by_hand() -> None:
    bank = MemoryBank(torch.tensor([[0.0, 0.0], [10.0, 0.0]]).half(), torch.tensor([0, 1]))
    distances = bank.distances(torch.tensor([[[[3.0, 4.0]]]]))  # 5 to the first: two deviations above the mean of 1
    scale = torch.tensor([[100.0, 10.0], [1.0, 2.0]])
    found = joined_patch_scores(torch.tensor([[[130.0]]]), distances, scale, 0.25, compress=False)
    assert found.item() == pytest.approx(0.75 * 3 + 0.25 * 2)


def test_several_neighbours_are_averaged_and_a_small_bank_gives_what_it_has() -> None:
    stored = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 7.0]])
    query = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert nearest_distances(query, stored, 2).tolist() == pytest.approx([1.0, 1.0])
    assert nearest_distances(query, stored, 9).tolist() == pytest.approx([(1 + 1 + 6) / 3, (0 + 2 + 7) / 3])
    assert MemoryBank(stored.half(), torch.arange(3)).distances(query, 2).tolist() == pytest.approx([1.0, 1.0])


def test_an_images_own_patches_are_left_out_of_the_scale() -> None:
    patches = _patches()
    bank = build_memory_bank(patches, 10_000, seed=0, name="all kept")
    assert len(bank.patches) == 45 and bank.owner.bincount().tolist() == [9] * 5
    flat = patches.double().flatten(1, 2)
    expected = torch.cat([
        torch.cdist(flat[i], torch.cat([flat[j] for j in range(5) if j != i])).min(dim=1).values for i in range(5)
    ])
    spread = _distance_spread(bank, patches, 1, "all kept")
    assert spread.tolist() == pytest.approx([expected.mean().item(), expected.std().item()], rel=1e-3)
    assert spread[0] > 0.1, "with its own patches every distance would be zero"


def test_compression_takes_the_logarithm_of_what_is_above_the_training_mean() -> None:
    scale = torch.tensor([[100.0, 10.0], [100.0, 10.0]])
    scores = joined_patch_scores(torch.tensor([70.0, 100.0, 130.0]), None, scale, 0.7, compress=True)
    assert scores.tolist() == pytest.approx([-3.0, 0.0, math.log(4)])


def test_the_flows_own_score_can_be_scaled_without_stored_patches(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"))
    plain, scaled = Experiment(config), Experiment(config.with_(compress_scores=True))
    for experiment in (plain, scaled):
        experiment.learn()
    patches = plain.features(plain.tasks[1], "test").patches
    raw, log = (experiment.detector.patch_scores(patches, 1).flatten() for experiment in (plain, scaled))
    assert torch.equal(raw.argsort(stable=True), log.argsort(stable=True)) and log.max() < 20 < raw.max()
    assert scaled.detector.tasks[1].bank is None
    assert (plain.config.score.unit, scaled.config.score.unit) == ("nats", "log standard deviations")


def test_the_log_determinant_can_weigh_less(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"))
    full, none = Experiment(config), Experiment(config.with_(log_det_weight=0.0))
    for experiment in (full, none):
        experiment.learn()
    patches = full.features(full.tasks[1], "test").patches
    z, log_det = full.detector.latent(patches, 1)
    energy, nll = (experiment.detector.patch_scores(patches, 1) for experiment in (none, full))
    assert torch.allclose(energy, 0.5 * z.square().sum(dim=-1), rtol=1e-4)
    assert torch.allclose(energy - log_det, nll, rtol=1e-3, atol=1e-2) and not torch.allclose(energy, nll, rtol=1e-3)


def test_the_calibration_subset_is_spread_over_all_images() -> None:
    assert calibration_subset(3) == [0, 1, 2]
    assert len(set(calibration_subset(1000))) == 64 and calibration_subset(1000)[-1] > 980


def test_constant_features_do_not_divide_by_zero() -> None:
    bank = build_memory_bank(torch.ones(2, 3, 3, 4).half(), 4, seed=0, name="constant")
    spread = _distance_spread(bank, torch.ones(2, 3, 3, 4).half(), 1, "constant")
    scale = torch.stack([torch.tensor([0.0, 1.0]), spread])
    scores = joined_patch_scores(torch.ones(1, 3, 3), bank.distances(torch.ones(1, 3, 3, 4)), scale, 0.5, compress=False)
    assert scores.isfinite().all()


def test_the_weights_end_at_the_two_scores(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), memory_size=20)
    experiment, plain = Experiment(config), Experiment(config.with_(memory_size=0))
    experiment.learn()
    plain.learn()
    patches = experiment.features(experiment.tasks[1], "test").patches
    assert [len(task.bank.patches) for task in experiment.detector.tasks] == [20, 20]
    task = experiment.detector.tasks[1]
    nll = plain.detector.patch_scores(patches, 1)
    distances = task.bank.distances(patches)
    for weight, expected in ((0.0, (nll - task.patch_scale[0, 0]) / task.patch_scale[0, 1]),
                             (1.0, (distances - task.patch_scale[1, 0]) / task.patch_scale[1, 1])):
        ends = Experiment(config.with_(memory_weight=weight))
        ends.learn()
        assert torch.allclose(ends.detector.patch_scores(patches, 1), expected, atol=1e-4)


def test_banks_are_read_back_bit_by_bit_and_training_is_not_repeated(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), memory_size=20)
    first = Experiment(config)
    first.learn()
    again = Experiment(config.with_(memory_size=30))
    assert all(history.resumed for history in again.learn()), "another bank needs no training"
    same = Experiment(config)
    same.learn()
    assert [task.hashes() for task in same.detector.tasks] == [task.hashes() for task in first.detector.tasks]
    assert same.unchanged()
    own = same.detector.tasks[1].flow.counts()["per_task"]
    assert same.detector.stored_values()[1] == own + 20 * same.detector.dim, "stored patches count as values kept"
    assert same.detector.value_counts()["stored_patches"] == 20 * same.detector.dim
    assert len([name for name in same.hashes() if name.startswith("stored patches and scale of")]) == 2


def test_patches_of_one_image_alone_cannot_set_the_scale() -> None:
    bank = build_memory_bank(_patches(1), 3, seed=0, name="one")
    with pytest.raises(ConfigError, match="one image"):
        _distance_spread(bank, _patches(1), 1, "one")


def test_training_images_that_are_copies_do_not_drown_the_flow() -> None:
    copies = _patches(1).expand(3, -1, -1, -1)
    bank = build_memory_bank(copies, 20, seed=0, name="copies")
    spread = _distance_spread(bank, copies, 1, "copies")
    distances = bank.distances(_patches(1).float() + 0.1)
    assert ((distances - spread[0]) / spread[1]).max() < 1e4
