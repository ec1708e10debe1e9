"""Stored patches: what is kept, the scale without self-matches, and the blend with the flow's score."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.scoring.coreset import nearest_distances
from moleflow_lib.scoring.memory_bank import TaskMemory, probed, remember

Configs = Callable[..., ExperimentConfig]


def _patches(images: int = 5) -> torch.Tensor:
    return torch.randn(images, 3, 3, 4, generator=torch.Generator().manual_seed(0)).half()


def test_the_blend_by_hand() -> None:
    memory = TaskMemory(torch.tensor([[0.0, 0.0], [10.0, 0.0]]).half(), torch.tensor([[100.0, 10.0], [1.0, 2.0]]))
    patch = torch.tensor([[[[3.0, 4.0]]]])  # distance 5 to the first stored patch: two deviations above the mean of 1
    assert memory.blend(torch.tensor([[[130.0]]]), patch, 0.25).item() == pytest.approx(0.75 * 3 + 0.25 * 2)


def test_several_neighbours_are_averaged_and_a_small_bank_gives_what_it_has() -> None:
    bank = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 7.0]])
    query = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert nearest_distances(query, bank, 2).tolist() == pytest.approx([1.0, 1.0])
    assert nearest_distances(query, bank, 9).tolist() == pytest.approx([(1 + 1 + 6) / 3, (0 + 2 + 7) / 3])
    memory = TaskMemory(bank.half(), torch.tensor([[0.0, 1.0], [0.0, 1.0]]), neighbours=2)
    assert memory.blend(torch.zeros(1, 1, 2), query.view(1, 1, 2, 2), 1.0).flatten().tolist() == pytest.approx([1.0, 1.0])


def test_the_scale_leaves_out_an_images_own_patches() -> None:
    patches = _patches()
    memory = remember(patches, torch.randn(5, 3, 3), size=10_000, seed=0, name="all kept")
    assert len(memory.patches) == 45
    flat = patches.double().flatten(1, 2)
    expected = torch.cat([
        torch.cdist(flat[i], torch.cat([flat[j] for j in range(5) if j != i])).min(dim=1).values for i in range(5)
    ])
    assert memory.scale[1].tolist() == pytest.approx([expected.mean().item(), expected.std().item()], rel=1e-3)
    assert memory.scale[1, 0] > 0.1, "with its own patches every distance would be zero"


def test_compression_takes_the_logarithm_of_what_is_above_the_training_mean() -> None:
    memory = TaskMemory(torch.zeros(0, 2).half(), torch.tensor([[100.0, 10.0], [100.0, 10.0]]), compress=True)
    scores = memory.blend(torch.tensor([[[70.0, 100.0, 130.0]]]), torch.zeros(1, 1, 3, 2), 0.7)
    assert scores.flatten().tolist() == pytest.approx([-3.0, 0.0, math.log(4)])


def test_the_flows_own_score_can_be_scaled_without_stored_patches(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"))
    plain, scaled = Experiment(config), Experiment(config.with_(compress_scores=True))
    for experiment in (plain, scaled):
        experiment.learn()
    patches = plain.features(plain.tasks[1], "test").patches
    raw, log = (experiment.detector.patch_scores(patches, 1).flatten() for experiment in (plain, scaled))
    assert torch.equal(raw.argsort(stable=True), log.argsort(stable=True)) and log.max() < 20 < raw.max()
    assert scaled.detector.memory_values() == 0
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


def test_the_images_that_set_the_scale_are_spread_over_all() -> None:
    assert probed(3) == [0, 1, 2]
    assert len(set(probed(1000))) == 64 and probed(1000)[-1] > 980


def test_a_single_training_image_or_constant_features_do_not_divide_by_zero() -> None:
    memory = remember(torch.ones(2, 3, 3, 4).half(), torch.zeros(2, 3, 3), size=4, seed=0, name="constant")
    assert memory.blend(torch.ones(1, 3, 3), torch.ones(1, 3, 3, 4), 0.5).isfinite().all()


def test_the_detector_blends_and_the_weights_end_at_its_two_scores(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), memory_size=20)
    experiment, plain = Experiment(config), Experiment(config.with_(memory_size=0))
    experiment.learn()
    plain.learn()
    patches = experiment.features(experiment.tasks[1], "test").patches
    assert len(plain.detector.memories) == 0 and [len(m.patches) for m in experiment.detector.memories] == [20, 20]
    memory, nll = experiment.detector.memories[1], plain.detector.patch_scores(patches, 1)
    expected = memory.blend(nll, patches.float(), config.score.memory_weight)
    assert torch.allclose(experiment.detector.patch_scores(patches, 1), expected, atol=1e-4)
    mean, std = memory.scale[0]
    assert torch.allclose(memory.blend(nll, patches.float(), 0.0), (nll - mean) / std, atol=1e-4)
    assert torch.equal(memory.blend(nll, patches.float(), 1.0), memory.blend(0 * nll, patches.float(), 1.0))


def test_memories_are_read_back_bit_by_bit_and_training_is_not_repeated(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), memory_size=20)
    first = Experiment(config)
    first.learn()
    again = Experiment(config.with_(memory_size=30))
    assert all(history.resumed for history in again.learn()), "another memory needs no training"
    same = Experiment(config)
    same.learn()
    assert all(torch.equal(a.patches, b.patches) and torch.equal(a.scale, b.scale)
               for a, b in zip(first.detector.memories, same.detector.memories, strict=True))
    assert same.unchanged()
    counted = same.detector.flow.parameter_counts(1)["per_task"]
    assert same.stored_values()[1] == counted + 20 * same.detector.dim, "stored patches count as values kept"
    assert same.detector.value_counts()["stored_patches"] == 20 * same.detector.dim
    assert len([name for name in same.hashes() if name.startswith("stored patches and scale of")]) == 2


def test_patches_of_one_image_alone_cannot_set_the_scale() -> None:
    with pytest.raises(ConfigError, match="one image"):
        remember(_patches(1), torch.zeros(1, 3, 3), size=3, seed=0, name="one")


def test_training_images_that_are_copies_do_not_drown_the_flow() -> None:
    memory = remember(_patches(1).expand(3, -1, -1, -1), torch.randn(3, 3, 3), size=20, seed=0, name="copies")
    assert memory.blend(torch.zeros(1, 3, 3), _patches(1).float() + 0.1, 1.0).max() < 1e4
