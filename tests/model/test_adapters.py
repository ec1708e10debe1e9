"""Adapters: identity at the start, exact inverses, exact volumes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.model.adapters import DeepInvertibleAdapter, SpatialContextMixer
from moleflow_lib.model.whitening import WhiteningAdapter


def _shaken(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return module


@pytest.mark.parametrize(("first", "gamma"), [(True, 0.5 + 1.5 / (1 + math.exp(0.7))), (False, 1.25)])
def test_whitening_starts_where_the_method_says(first: bool, gamma: float) -> None:
    adapter = WhiteningAdapter(8, first=first)
    x = torch.randn(2, 3, 3, 8) * 5 + 2
    assert torch.allclose(adapter(x), gamma * F.layer_norm(x, (8,)), atol=1e-6)


def test_whitening_stays_in_its_bounds_and_counts_its_volume() -> None:
    adapter = _shaken(WhiteningAdapter(8, first=False), 50.0)
    assert 0.5 <= adapter.gamma.min() and adapter.gamma.max() <= 2 and adapter.beta.abs().max() <= 2
    slopes = torch.autograd.functional.jacobian(lambda x: adapter.gamma * x + adapter.beta, torch.randn(8))
    assert torch.allclose(adapter.log_volume(), torch.linalg.slogdet(slopes).logabsdet, atol=1e-5)


def test_mixer_starts_as_a_box_blend_with_zero_padding() -> None:
    x, gate = torch.rand(1, 4, 4, 2), torch.sigmoid(torch.tensor(0.5))
    box = F.avg_pool2d(x.permute(0, 3, 1, 2), 3, stride=1, padding=1).permute(0, 2, 3, 1)
    assert torch.allclose(SpatialContextMixer(2)(x), (1 - gate) * x + gate * box, atol=1e-6)
    assert sum(p.numel() for p in SpatialContextMixer(768).parameters()) == 7681


def test_invertible_adapter_starts_as_the_exact_identity() -> None:
    x = torch.randn(2, 3, 3, 8)
    y, log_det = DeepInvertibleAdapter(8)(x)
    assert torch.equal(x, y) and torch.equal(log_det, torch.zeros(2, 3, 3))


def test_invertible_adapter_inverse_and_volume() -> None:
    adapter = _shaken(DeepInvertibleAdapter(6, blocks=3)).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    y, log_det = adapter(x)
    back, back_det = adapter(y, reverse=True)
    assert (back - x).abs().max() < 1e-9 and (log_det + back_det).abs().max() < 1e-9
    for row, volume in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: adapter(v[None])[0][0], row)
        assert torch.allclose(torch.linalg.slogdet(jacobian).logabsdet, volume)


def test_alternating_halves_move_both() -> None:
    adapter = _shaken(DeepInvertibleAdapter(6, blocks=2))
    x = torch.randn(5, 6)
    assert ((adapter(x)[0] - x).abs().amin(dim=0) > 0).all()
