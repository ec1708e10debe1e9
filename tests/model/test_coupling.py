"""Our coupling block is FrEIA's, permutation included; the release's clamp formula is pinned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from FrEIA.modules import AllInOneBlock

from moleflow_lib.model.coupling import IndexPermutedBlock, build_coupling_flow
from moleflow_lib.model.lora import MoLESubnet


def _pair(dim: int) -> tuple[AllInOneBlock, IndexPermutedBlock]:
    """FrEIA's own block and ours, drawn from the same random state."""
    blocks = []
    for kind in (AllInOneBlock, IndexPermutedBlock):
        np.random.seed(3)
        torch.manual_seed(3)
        block = kind(
            [(dim,)],
            subnet_constructor=lambda i, o: MoLESubnet(i, o, rank=2, alpha=1.0),
            affine_clamping=1.9,
            global_affine_type="SOFTPLUS",
            permute_soft=False,
        )
        torch.nn.init.normal_(block.global_scale, 18, 2)
        torch.nn.init.normal_(block.global_offset)
        for parameter in block.subnet.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
        blocks.append(block)
    return blocks[0], blocks[1]


@pytest.mark.parametrize("rev", [False, True])
@pytest.mark.parametrize("dim", [8, 9, 64])
def test_equals_freia_both_ways(dim: int, rev: bool) -> None:
    theirs, ours = _pair(dim)
    x = torch.randn(50, dim)
    (a,), volume_a = theirs([x], rev=rev)
    (b,), volume_b = ours([x], rev=rev)
    assert torch.allclose(a, b, atol=1e-6) and torch.allclose(volume_a, volume_b, atol=1e-5)


def test_equals_freia_in_every_gradient() -> None:
    grads = []
    for block in _pair(8):
        (y,), volume = block([torch.linspace(-1, 1, 80).view(10, 8)])
        (y.square().sum() - volume.sum()).backward()
        grads.append({name: p.grad for name, p in block.named_parameters() if p.requires_grad})
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.allclose(grads[0][name], grads[1][name], rtol=1e-4, atol=1e-5) for name in grads[0])


def test_the_clamp_of_release_0_2() -> None:
    _, block = _pair(8)
    x1, x2 = torch.randn(20, 8).split([4, 4], dim=1)
    a = 0.1 * block.subnet(x1)
    (y,), _ = block([torch.cat([x1, x2], dim=1)])
    unpermuted = y[:, block.inverse_order]
    scale = 0.1 * torch.nn.functional.softplus(block.global_scale, beta=0.5)
    expected = (
        torch.cat([x1, x2 * torch.exp(1.9 * torch.tanh(a[:, :4])) + a[:, 4:]], dim=1) * scale
        + block.global_offset
    )
    assert torch.allclose(unpermuted, expected, atol=1e-5)


def test_permutations_are_no_parameters() -> None:
    _, block = _pair(64)
    trained = sum(p.numel() for p in block.parameters())
    subnet = sum(p.numel() for p in block.subnet.parameters())
    assert trained == subnet + 2 * 64
    assert sorted(block.order.tolist()) == list(range(64))


def test_no_layers_is_an_empty_flow() -> None:
    assert len(build_coupling_flow(8, 0, rank=2, alpha=1.0)) == 0
