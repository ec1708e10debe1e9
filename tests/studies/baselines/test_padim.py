"""Gaussians per position against numpy, one position at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.baselines.padim import PositionGaussians, fit_gaussians


def test_scores_are_the_mahalanobis_distances_of_numpy(learned: Experiment, tmp_path) -> None:
    padim = PositionGaussians(learned.detector.dim, learned.config, learned.store.identity, tmp_path)
    task = learned.tasks[0]
    padim.learn(task.name, learned.features(task, "train"))
    channels = padim.channels.numpy()
    train, test = (
        learned.features(task, split).patches.double().numpy()[..., channels] for split in ("train", "test")
    )
    scores = padim.patch_scores(learned.features(task, "test").patches, 0).numpy()
    for row, column in ((0, 0), (1, 3), (train.shape[1] - 1, train.shape[2] - 1)):
        normal = train[:, row, column]
        inverse = np.linalg.inv(np.cov(normal, rowvar=False) + 0.01 * np.eye(len(channels)))
        gap = test[:, row, column] - normal.mean(axis=0)
        expected = np.sqrt(np.einsum("nd,de,ne->n", gap, inverse, gap))
        assert scores[:, row, column] == pytest.approx(expected, rel=1e-3)


def test_channels_are_drawn_once_for_all_tasks_and_by_the_seed(learned: Experiment, tmp_path) -> None:
    def channels(seed: int) -> torch.Tensor:
        return PositionGaussians(300, learned.config.with_(seed=seed), {}, tmp_path).channels

    assert len(channels(0).unique()) == 100 and channels(0).max() < 300
    assert torch.equal(channels(0), channels(0)) and not torch.equal(channels(0), channels(1))
    assert torch.equal(PositionGaussians(64, learned.config, {}, tmp_path).channels, torch.arange(64))


def test_a_typical_patch_of_many_scores_root_d() -> None:
    patches = 5 + 3 * torch.randn(4000, 20, 6, generator=torch.Generator().manual_seed(0))
    mean, factor = fit_gaussians(patches)
    white = torch.linalg.solve_triangular(factor, (patches - mean).permute(1, 2, 0), upper=False)
    assert white.square().sum(dim=1).mean() == pytest.approx(6, rel=0.01)
    assert torch.allclose(factor @ factor.mT, 9 * torch.eye(6).expand(20, 6, 6), atol=1.2)


def test_packed_values_are_those_of_a_mean_and_a_triangle(learned: Experiment, tmp_path) -> None:
    padim = PositionGaussians(learned.detector.dim, learned.config, learned.store.identity, tmp_path)
    train = learned.features(learned.tasks[0], "train")
    padim.learn("leather", train)
    positions, d = train.patches.shape[1] * train.patches.shape[2], len(padim.channels)
    assert padim.footprint().per_task == positions * (d + d * (d + 1) // 2)
    assert padim.footprint().bytes_per_task == 4 * padim.footprint().per_task
