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
from moleflow_lib.training.measure import _spread

Configs = Callable[..., ExperimentConfig]


def _patches(images: int = 5) -> torch.Tensor:
    return torch.randn(images, 3, 3, 4, generator=torch.Generator().manual_seed(0)).half()


def test_the_rule_by_hand() -> None:
    bank = MemoryBank(torch.tensor([[0.0, 0.0], [10.0, 0.0]]).half(), torch.tensor([0, 1]))
    distances = bank.distances(
        torch.tensor([[[[3.0, 4.0]]]])
    )  # 5 to the first: two deviations above the mean of 1
    parts = torch.stack([torch.tensor([[[130.0]]]), distances])
    found = joined_patch_scores(parts, torch.tensor([[100.0, 10.0], [1.0, 2.0]]))
    assert found.item() == pytest.approx((3 + 2) / 2)


def test_a_share_of_the_images_own_median_is_taken_off() -> None:
    parts = torch.tensor([[[[1.0, 2.0, 9.0]], [[4.0, 4.0, 4.0]]]])
    found = joined_patch_scores(parts, torch.tensor([[0.0, 1.0]]), median_share=0.5)
    assert found.flatten().tolist() == pytest.approx([0, 1, 8, 2, 2, 2])


def test_of_an_image_that_is_strange_all_over_no_patch_is_made_to_look_usual() -> None:
    parts = torch.tensor([[[[80.0, 300.0, 900.0]]]])
    found = joined_patch_scores(parts, torch.tensor([[0.0, 1.0]]), median_share=0.5)
    assert found.flatten().tolist() == pytest.approx([75, 295, 895])


def test_several_neighbours_are_averaged_and_a_small_bank_gives_what_it_has() -> None:
    stored = torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 7.0]])
    query = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert nearest_distances(query, stored, 2).tolist() == pytest.approx([1.0, 1.0])
    assert nearest_distances(query, stored, 9).tolist() == pytest.approx([(1 + 1 + 6) / 3, (0 + 2 + 7) / 3])
    assert MemoryBank(stored.half(), torch.arange(3)).distances(query, 2).tolist() == pytest.approx(
        [1.0, 1.0]
    )


def test_an_images_own_patches_can_be_left_out() -> None:
    patches = _patches()
    bank = build_memory_bank(patches, 10_000, seed=0, name="all kept")
    assert len(bank.patches) == 45 and bank.owner.bincount().tolist() == [9] * 5
    flat = patches.double().flatten(1, 2)
    for i in range(5):
        others = torch.cat([flat[j] for j in range(5) if j != i])
        expected = torch.cdist(flat[i], others).min(dim=1).values
        assert bank.distances(patches[i], without=i).flatten().tolist() == pytest.approx(
            expected.tolist(), rel=1e-3
        )
    assert bank.distances(patches).max() == 0, "with its own patches every distance is zero"


def test_what_is_usual_near_a_stored_patch_is_taken_off_its_distance() -> None:
    spread = torch.randn(2, 200, 2, generator=torch.Generator().manual_seed(1))
    patches = torch.stack([0.1 * spread[0], 6 * spread[1] + 100], dim=1).unsqueeze(1)  # two kinds of place
    stored = patches[:20].flatten(0, -2)  # both kinds of the first twenty images
    bank = MemoryBank(stored.half(), torch.arange(20).repeat_interleave(2)).with_usual_distances(patches)
    varied = bank.patches[:, 0] > 50
    assert bank.usual[varied].mean() > bank.usual[~varied].mean() + 0.5
    inside = torch.tensor([[0.0, 5.0], [100.0, 105.0]])
    plain, less = bank.distances(inside, 3), bank.excess(inside)
    assert (plain - less)[1] > (plain - less)[0] + 0.5, (
        "a distance is less where normal patches lie far apart"
    )


def test_the_usual_distance_is_that_of_other_images_pulled_to_the_banks_mean() -> None:
    patches = _patches(6)
    bank = build_memory_bank(patches, 20, seed=0, name="some kept").with_usual_distances(patches)
    totals, counts = torch.zeros(2, 20, dtype=torch.float64)
    for image, own in enumerate(patches.double().flatten(1, 2)):
        others = (bank.owner != image).nonzero().flatten()
        gaps, columns = torch.cdist(own, bank.patches[others].double()).topk(3, largest=False)
        for gap, column in zip(gaps.mean(dim=1), others[columns], strict=True):
            totals[column] += gap
            counts[column] += 1
    expected = (totals + 30 * totals.sum() / counts.sum()) / (counts + 30)
    assert torch.allclose(bank.usual.double(), expected, rtol=1e-3)
    plain = MemoryBank(bank.patches, bank.owner)
    assert torch.equal(plain.excess(patches), plain.distances(patches, 3)), "nothing is usual yet"


def test_compression_takes_the_logarithm_of_what_is_above_the_training_mean() -> None:
    parts = torch.tensor([70.0, 100.0, 130.0]).view(1, 1, 1, 3)
    scores = joined_patch_scores(parts, torch.tensor([[100.0, 10.0]]), compress=True)
    assert scores.flatten().tolist() == pytest.approx([-3.0, 0.0, math.log(4)])


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
    assert torch.allclose(energy - log_det, nll, rtol=1e-3, atol=1e-2) and not torch.allclose(
        energy, nll, rtol=1e-3
    )


def test_the_calibration_subset_is_spread_over_all_images() -> None:
    assert calibration_subset(3) == [0, 1, 2]
    assert len(set(calibration_subset(1000))) == 64 and calibration_subset(1000)[-1] > 980


def test_constant_scores_do_not_divide_by_zero() -> None:
    scale = _spread(torch.zeros(2, 3, 3))[None]
    assert joined_patch_scores(torch.ones(1, 1, 3, 3), scale).isfinite().all()


def test_parts_have_equal_shares_and_an_image_may_rest_on_other_ones(tiny_config: Configs) -> None:
    options = {"whitening": "full", "memory_size": 20, "score_parts": "flow,gaussian,memory"}
    config = tiny_config(classes=("leather", "nut"), **options)
    experiment = Experiment(config)
    experiment.learn()
    test = experiment.features(experiment.tasks[1], "test")
    task = experiment.detector.tasks[1]
    z, log_det = experiment.detector.latent(test.patches, 1)
    parts = torch.stack(
        [
            0.5 * z.square().sum(dim=-1) - log_det,
            task.flow.whitening.energy(test.patches.float()),
            task.bank.excess(test.patches),
        ]
    )
    standard = (parts - task.patch_scale[:, 0].view(3, 1, 1, 1)) / task.patch_scale[:, 1].view(3, 1, 1, 1)
    scores, of_images = experiment.detector.scores(test.patches, test.image_means(), 1)
    assert torch.allclose(scores, standard.mean(dim=0), atol=1e-3)
    assert torch.allclose(of_images, scores.flatten(1).topk(3).values.mean(dim=1))
    other = Experiment(config.with_(image_parts=("memory",)))
    assert all(history.resumed for history in other.learn())
    of_map, of_rest = other.detector.scores(test.patches, test.image_means(), 1)
    assert torch.equal(of_map, scores) and torch.allclose(
        of_rest, standard[2].flatten(1).topk(3).values.mean(dim=1), atol=1e-3
    )
    other = Experiment(config.with_(image_parts=("memory",), median_share=0.5))
    assert all(history.resumed for history in other.learn())
    _, of_rest = other.detector.scores(test.patches, test.image_means(), 1)
    own = standard[2].flatten(1)
    rest = own.topk(3).values.mean(dim=1) - 0.5 * own.median(dim=1).values
    assert torch.allclose(of_rest, rest, atol=1e-3), "the image's own median is taken off"


def test_banks_are_read_back_bit_by_bit_and_training_is_not_repeated(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), score_parts="flow,memory", memory_size=20)
    first = Experiment(config)
    first.learn()
    again = Experiment(config.with_(memory_size=30))
    assert all(history.resumed for history in again.learn()), "another bank needs no training"
    same = Experiment(config)
    same.learn()
    assert [task.hashes() for task in same.detector.tasks] == [task.hashes() for task in first.detector.tasks]
    assert same.unchanged()
    own = same.detector.tasks[1].flow.counts()["per_task"]
    assert same.detector.stored_values()[1] == own + 20 * (same.detector.dim + 1), (
        "stored patches count as values kept"
    )
    assert same.detector.value_counts()["stored_patches"] == 20 * (same.detector.dim + 1)
    assert len([name for name in same.hashes() if name.startswith("stored patches and scale of")]) == 2


def test_patches_of_one_image_alone_cannot_set_the_scale(tiny_config: Configs) -> None:
    experiment = Experiment(tiny_config(classes=("leather",), score_parts="memory", memory_size=1))
    with pytest.raises(ConfigError, match="one image"):
        experiment.learn()


def test_a_gaussian_part_needs_full_whitening(tiny_config: Configs) -> None:
    with pytest.raises(
        ConfigError, match="gaussian is the energy of full whitening, and whitening is layer_norm"
    ):
        tiny_config(score_parts="flow,gaussian")
    with pytest.raises(ConfigError, match="image_parts: gaussian is the energy"):
        tiny_config(image_parts="gaussian")


def test_score_parts_are_named_once_each_and_there_is_one() -> None:
    for value, said in (
        ("none", "expected some of flow, gaussian, memory, got none"),
        ("flow,flow", "twice"),
    ):
        with pytest.raises(ConfigError, match=f"score_parts: .*{said}"):
            ExperimentConfig.from_params({"score_parts": value})
    with pytest.raises(ConfigError, match="comparison_seeds: 0 is named twice"):
        ExperimentConfig.from_params({"comparison_seeds": "0,1,0"})
