"""Image scores and pixel maps against literal computations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from moleflow_lib.scoring.aggregation import image_scores, pixel_maps


@pytest.mark.parametrize(("k", "expected"), [(1, 8.0), (3, 7.0), (0, 4.0), (99, 4.0)])
def test_image_scores(k: int, expected: float) -> None:
    assert image_scores(torch.arange(9.0).view(1, 3, 3), k).item() == expected


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_pixel_map_is_bilinear_then_gaussian(sigma: float) -> None:
    scores = torch.rand(2, 5, 7)
    enlarged = F.interpolate(scores[:, None], size=(40, 40), mode="bilinear", align_corners=False)[:, 0]
    literal = gaussian_filter(enlarged.double().numpy(), (0, sigma, sigma))
    assert abs(pixel_maps(scores, 40, sigma).numpy() - literal).max() < 1e-6


def test_a_constant_map_stays_constant() -> None:
    assert torch.allclose(
        pixel_maps(torch.full((1, 14, 14), 3.0), 224), torch.full((1, 224, 224), 3.0), atol=1e-5
    )
