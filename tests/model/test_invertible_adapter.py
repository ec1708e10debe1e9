"""The invertible adapter: identity at the start, exact inverses, exact volumes."""

from __future__ import annotations

import torch

from moleflow_lib.model.invertible_adapter import DeepInvertibleAdapter


def _shaken(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return module


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
