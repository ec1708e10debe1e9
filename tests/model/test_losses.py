"""Losses by hand."""

from __future__ import annotations

import pytest
import torch

from moleflow_lib.model.losses import identity_regulariser, log_det_penalty, patch_nll, tail_aware_loss


def test_nll_is_half_the_square_minus_the_volume() -> None:
    z = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert patch_nll(z, torch.tensor([0.5, -1.0])).tolist() == [2.0, 1.0]


def test_tail_over_the_batch_and_per_image_differ() -> None:
    nll = torch.stack(
        [torch.zeros(4, 5), torch.ones(4, 5)]
    )  # 20 patches an image, 5 % = 1 an image, 2 a batch
    assert tail_aware_loss(nll, 0.3, 0.05, "batch").item() == pytest.approx(0.7 * 0.5 + 0.3 * 1.0)
    assert tail_aware_loss(nll, 0.3, 0.05, "image").item() == pytest.approx(0.7 * 0.5 + 0.3 * 0.5)


def test_tail_holds_at_least_one_patch_and_rounds_down() -> None:
    nll = torch.arange(39.0).view(1, 3, 13)
    assert tail_aware_loss(nll, 1.0, 0.05).item() == 38.0  # ⌊1.95⌋ = 1
    assert tail_aware_loss(nll, 1.0, 0.001).item() == 38.0


def test_without_weight_it_is_the_mean() -> None:
    nll = torch.rand(2, 3, 3)
    assert tail_aware_loss(nll, 0.0).item() == pytest.approx(nll.mean().item())


def test_penalty_and_regulariser() -> None:
    assert log_det_penalty(torch.tensor([1.0, -3.0])).item() == 5.0
    assert identity_regulariser(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])).item() == 1.0
