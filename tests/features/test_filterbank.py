"""The wavelet features behave as the mathematics of scattering says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from moleflow_lib.errors import ConfigError
from moleflow_lib.features.filterbank import FilterBank, morlet_kernels

SIZE = 224
PATCH = 16


@pytest.fixture(scope="module")
def bank() -> FilterBank:
    return FilterBank(image_size=SIZE, grid=SIZE // PATCH)


@pytest.fixture
def noise() -> Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def first_order(features: Tensor) -> Tensor:
    """(…, D) -> (…, scale, colour, angle)."""
    return features[..., :96].unflatten(-1, (4, 3, 8))


def second_order(features: Tensor) -> Tensor:
    """(…, D) -> (…, scale pair, turn)."""
    return features[..., 96:126].unflatten(-1, (6, 5))


def grating(scale: int, angle: int, amplitude: float = 0.1) -> Tensor:
    """A grey grating at one wavelet's centre frequency, (1, 3, S, S)."""
    steps = torch.arange(SIZE, dtype=torch.float64)
    theta = angle * math.pi / 8
    phase = 3 * math.pi / 4 / 2**scale * (steps * math.cos(theta) + steps[:, None] * math.sin(theta))
    return (0.5 + amplitude * phase.cos()).float().expand(1, 3, SIZE, SIZE)


def test_kernels_have_zero_mean_and_unit_gain() -> None:
    real, imaginary = morlet_kernels().double().squeeze(1).chunk(2)
    torch.testing.assert_close(real.sum((1, 2)), torch.zeros(8, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(imaginary.sum((1, 2)), torch.zeros(8, dtype=torch.float64), atol=1e-6, rtol=0)
    x = torch.arange(7, dtype=torch.float64) - 3
    wave = torch.exp(-1j * 3 * math.pi / 4 * x)
    gain = (torch.complex(real[0], imaginary[0]) * wave).sum()  # the cosine is half of two such waves
    assert abs(gain - 2) < 1e-6


def test_constant_image_has_only_its_mean(bank: FilterBank) -> None:
    colour = torch.tensor([0.8, 0.5, 0.2])
    features = bank(colour[:, None, None].expand(1, 3, SIZE, SIZE))
    assert features[..., :129].abs().max() < 1e-3
    expected = 2 * torch.tensor([0.5 - 0.5, 0.8 - 0.5, (0.8 + 0.5) / 2 - 0.2])
    torch.testing.assert_close(features[..., 129:], expected.expand(1, 14, 14, 3))


@pytest.mark.parametrize("scale", range(4))
@pytest.mark.parametrize("angle", range(8))
def test_grating_excites_its_own_channel_most(bank: FilterBank, scale: int, angle: int) -> None:
    response = first_order(bank(grating(scale, angle)))[0, 3:-3, 3:-3].mean((0, 1))
    assert divmod(int(response[:, 0].argmax()), 8) == (scale, angle)
    assert response[:, 1:].abs().max() < 1e-3  # a grey grating has no opponent colour


def test_modulus_of_a_grating_is_its_amplitude(bank: FilterBank) -> None:
    response = first_order(bank(grating(scale=0, angle=0, amplitude=0.1)))[0, 7, 7, 0, 0, 0]
    assert abs(response.expm1() / 255 - 0.1) < 0.01


def test_quarter_turn_of_the_image_permutes_angles(bank: FilterBank, noise: Tensor) -> None:
    turned = bank(noise.rot90(1, dims=(2, 3)))
    features = bank(noise).rot90(1, dims=(1, 2))
    torch.testing.assert_close(first_order(turned), first_order(features).roll(4, dims=-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(turned[..., 96:], features[..., 96:], atol=1e-3, rtol=0)


def test_second_order_tells_textures_of_equal_first_order_apart(bank: FilterBank) -> None:
    """Stripes in bands and the same stripes everywhere: only the former have moduli that vary."""
    steps = torch.arange(SIZE)
    bands = 1 + 0.9 * torch.cos(3 * math.pi / 16 * steps)  # scale 2, along y, a quarter turn from the stripes
    plain = grating(scale=0, angle=0)
    banded = 0.5 + (plain - 0.5) * bands[:, None]
    inner = (slice(None), slice(3, -3), slice(3, -3))
    before, after = (second_order(bank(image))[inner].mean((0, 1, 2)) for image in (plain, banded))
    rise = (after - before)[1]  # scales (0, 2)
    assert rise.argmax() == 4
    assert rise[4] > 0.5


def test_shift_by_a_patch_shifts_the_grid(bank: FilterBank, noise: Tensor) -> None:
    shifted = bank(noise.roll((PATCH, 2 * PATCH), dims=(2, 3)))
    expected = bank(noise).roll((1, 2), dims=(1, 2))
    inner = (slice(None), slice(5, -4), slice(6, -4))  # away from the borders and from the seam of the roll
    torch.testing.assert_close(shifted[inner], expected[inner], atol=1e-3, rtol=0)


def test_same_features_in_every_run_and_batch(bank: FilterBank, noise: Tensor) -> None:
    features = bank(noise)
    assert torch.equal(features, FilterBank(SIZE, SIZE // PATCH)(noise))
    assert torch.equal(features[1:], bank(noise[1:]))


def test_nothing_to_train(bank: FilterBank, noise: Tensor) -> None:
    assert not list(bank.parameters())
    assert len(list(bank.buffers())) == 3
    assert not bank(noise[:1].requires_grad_()).requires_grad


@pytest.mark.parametrize(("size", "grid"), [(32, 2), (32, 4), (32, 32), (48, 3), (56, 14), (70, 14), (36, 9)])
def test_small_images(size: int, grid: int) -> None:
    bank = FilterBank(size, grid)
    features = bank(torch.rand(2, 3, size, size))
    assert features.shape == (2, *bank.grid, bank.feature_dim) == (2, grid, grid, 132)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert bank(torch.rand(0, 3, size, size)).shape == (0, grid, grid, 132)


@pytest.mark.parametrize(("size", "grid"), [(32, 14), (224, 15), (16, 4), (224, 0)])
def test_impossible_grid_is_refused(size: int, grid: int) -> None:
    with pytest.raises(ConfigError, match=f"image_size={size} with grid={grid}; try"):
        FilterBank(size, grid)


@pytest.mark.parametrize(
    "images", [torch.rand(1, 3, 56, 56), torch.rand(3, SIZE, SIZE), torch.ones(1, 3, SIZE, SIZE).byte()]
)
def test_wrong_images_are_refused(bank: FilterBank, images: Tensor) -> None:
    with pytest.raises(ConfigError, match=r"expected float images of shape \(B, 3, 224, 224\)"):
        bank(images)
