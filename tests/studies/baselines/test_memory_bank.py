"""The memory bank against the long way round: every distance, every pick."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, projected
from moleflow_lib.studies.baselines.memory_bank import MemoryBanks


def _cloud(count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return 30 + torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def _naive_coreset(points: torch.Tensor, size: int, first: int) -> list[int]:
    """Greedy k-centre with all distances, in float64."""
    distances, picked = torch.cdist(points.double(), points.double()), [first]
    while len(picked) < size:
        picked.append(int(distances[:, picked].min(dim=1).values.argmax()))
    return picked


def _radius(points: torch.Tensor, picked: torch.Tensor) -> float:
    return float(torch.cdist(points.double(), points[picked].double()).min(dim=1).values.max())


@pytest.mark.parametrize("farthest", [1024, 20, 1])
@pytest.mark.parametrize("seed", range(5))
def test_the_coreset_is_the_naive_one(seed: int, farthest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moleflow_lib.scoring.coreset._FARTHEST", farthest)  # several rounds
    monkeypatch.setattr("moleflow_lib.scoring.coreset._ROUND", 7)
    points = _cloud(300, 7, seed)
    picked = greedy_coreset(points, 40, seed).tolist()
    assert picked == _naive_coreset(points, 40, picked[0])


def test_the_coreset_covers_better_than_random_patches() -> None:
    points = torch.cat([_cloud(900, 5), 40 + _cloud(12, 5, seed=1)])  # a few rare patches far away
    greedy = _radius(points, greedy_coreset(points, 50, seed=0))
    draws = [torch.randperm(len(points), generator=torch.Generator().manual_seed(s))[:50] for s in range(20)]
    assert greedy < min(_radius(points, draw) for draw in draws)


def test_equal_points_are_picked_once_each() -> None:
    assert greedy_coreset(torch.ones(6, 3), 6, seed=0).sort().values.tolist() == list(range(6))


def test_the_projection_keeps_distances_roughly_and_narrow_features_exactly() -> None:
    wide, narrow = _cloud(40, 700), _cloud(40, 20)
    assert torch.equal(projected(narrow.half(), seed=0), narrow.half().float())
    assert projected(wide, seed=0).shape == (40, 128)
    ratio = torch.pdist(projected(wide, seed=0)) / torch.pdist(wide)
    assert ratio.mean() == pytest.approx(1, abs=0.05) and 0.6 < ratio.min() < ratio.max() < 1.4


def test_scores_are_the_brute_force_distances(
    learned: Experiment, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moleflow_lib.scoring.coreset._PRODUCTS", 1000)  # several chunks
    banks = MemoryBanks(learned.detector.dim, learned.config, learned.store.identity, tmp_path)
    for task in learned.tasks:
        banks.learn(task.name, learned.features(task, "train"))
    train, test = (learned.features(learned.tasks[1], split).patches for split in ("train", "test"))
    bank = banks.banks[1].patches
    assert len(bank) == math.ceil(0.1 * train.shape[:3].numel())
    known = {tuple(row) for row in train.flatten(0, 2).tolist()}
    assert all(tuple(row) in known for row in bank.tolist()), "the bank holds training patches, bit by bit"
    expected = (
        torch.cdist(test.double().flatten(0, 2), bank.double()).min(dim=1).values.reshape(test.shape[:3])
    )
    assert torch.allclose(banks.patch_scores(test, 1).double(), expected, rtol=1e-4, atol=1e-5)


def test_a_patch_of_the_bank_scores_exactly_zero() -> None:
    bank = _cloud(50, 6)
    assert torch.equal(nearest_distances(bank, bank), torch.zeros(50))


def test_size_follows_share_and_limit_and_what_is_stored_is_counted(
    learned: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moleflow_lib.studies.baselines.memory_bank._LIMIT", 30)
    config, task = learned.config.with_(bank_share=0.5), learned.tasks[0]
    banks = MemoryBanks(learned.detector.dim, config, learned.store.identity, tmp_path)
    banks.learn(task.name, learned.features(task, "train"))
    assert len(banks.banks[0].patches) == 30 and banks.footprint().per_task == 30 * banks.dim
    assert banks.footprint().bytes_per_task == 2 * 30 * banks.dim
    assert next(tmp_path.rglob("*.safetensors")).stat().st_size - banks.footprint().bytes_per_task < 500
