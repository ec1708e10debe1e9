"""Whitening as published and full: bounds, volume, inverse, mean 0 and covariance I of training patches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.model.whitening import WhiteningAdapter, whitening_matrix

DIM = 6


def _patches(count: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(DIM, DIM, generator=generator, dtype=torch.float64)
    return torch.randn(count, DIM, generator=generator, dtype=torch.float64) @ mixing + 3


def _fitted(first: bool = False) -> tuple[WhiteningAdapter, torch.Tensor]:
    x = _patches()
    adapter = WhiteningAdapter(DIM, first, "full").double()
    adapter.fit(x.mean(dim=0), x.T.cov())
    return adapter, x


def test_whitened_training_patches_have_mean_zero_and_covariance_one_up_to_the_ridge() -> None:
    adapter, x = _fitted()
    white = adapter(x).detach()
    covariance = x.T.cov()
    values, axes = torch.linalg.eigh(covariance)
    expected = axes @ torch.diag(values / (values + 0.1 * values.mean())) @ axes.T
    assert white.mean(dim=0).abs().max() < 1e-10
    assert torch.allclose(white.T.cov(), expected) and float((expected - torch.eye(DIM)).abs().max()) < 0.9


def test_the_matrix_is_symmetric_and_whitens_without_the_ridge_too() -> None:
    covariance = _patches().T.cov()
    matrix, log_det = whitening_matrix(covariance)
    ridged = covariance + 0.1 * covariance.diagonal().mean() * torch.eye(DIM)
    assert torch.allclose(matrix, matrix.T) and torch.allclose(
        matrix @ ridged @ matrix, torch.eye(DIM).double()
    )
    assert log_det == pytest.approx(float(torch.linalg.slogdet(matrix).logabsdet))


@pytest.mark.parametrize("first", [True, False])
def test_scale_and_shift_start_at_the_identity(first: bool) -> None:
    adapter, x = _fitted(first)
    assert torch.allclose(adapter.gamma, torch.ones(DIM).double()) and not adapter.beta.any()
    assert torch.allclose(adapter(x), adapter.standardised(x))


def test_volume_and_inverse_are_exact() -> None:
    adapter, x = _fitted()
    adapter.gamma_raw.data.normal_()
    adapter.beta_raw.data.normal_()
    jacobian = torch.autograd.functional.jacobian(adapter, x[0])
    assert float(adapter.log_volume().detach()) == pytest.approx(
        float(torch.linalg.slogdet(jacobian).logabsdet)
    )
    assert torch.allclose(adapter.inverse(adapter(x)), x)


def test_the_energy_is_half_the_squared_mahalanobis_distance() -> None:
    adapter, x = _fitted()
    covariance = np.cov(x.numpy().T)
    inverse = np.linalg.inv(covariance + 0.1 * covariance.trace() / DIM * np.eye(DIM))
    gap = x.numpy() - x.numpy().mean(axis=0)
    assert np.allclose(adapter.energy(x).numpy(), 0.5 * np.einsum("nd,de,ne->n", gap, inverse, gap))


def test_what_it_keeps_is_counted_and_round_trips() -> None:
    adapter, x = _fitted()
    kept = {name: tensor.numel() for name, tensor in adapter.named_buffers()}
    assert kept == {"mean": DIM, "packed": DIM * (DIM + 1) // 2, "log_det": 1}
    again = WhiteningAdapter(DIM, False, "full").double()
    again.load_state_dict(adapter.state_dict())
    assert torch.equal(again(x), adapter(x))


def test_a_constant_task_does_not_divide_by_zero() -> None:
    matrix, log_det = whitening_matrix(torch.zeros(DIM, DIM, dtype=torch.float64))
    assert matrix.isfinite().all() and np.isfinite(log_det)


@pytest.mark.parametrize(("first", "gamma"), [(True, 0.5 + 1.5 / (1 + math.exp(0.7))), (False, 1.25)])
def test_whitening_starts_where_the_method_says(first: bool, gamma: float) -> None:
    adapter = WhiteningAdapter(8, first=first)
    x = torch.randn(2, 3, 3, 8) * 5 + 2
    assert torch.allclose(adapter(x), gamma * F.layer_norm(x, (8,)), atol=1e-6)


def test_whitening_stays_in_its_bounds_and_counts_its_volume() -> None:
    adapter = WhiteningAdapter(8, first=False)
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=50.0)
    assert 0.5 <= adapter.gamma.min() and adapter.gamma.max() <= 2 and adapter.beta.abs().max() <= 2
    slopes = torch.autograd.functional.jacobian(lambda x: adapter.gamma * x + adapter.beta, torch.randn(8))
    assert torch.allclose(adapter.log_volume(), torch.linalg.slogdet(slopes).logabsdet, atol=1e-5)
