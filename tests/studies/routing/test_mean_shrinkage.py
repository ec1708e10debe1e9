"""The stress test on moved features against images that are really moved."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, spectra_distances
from moleflow_lib.studies.routing.mean_shrinkage import GAPS, joined, min_separation, shrunk_distances


def _tasks(gaps: tuple[float, ...], count: int, dim: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(0.5, 2, dim, dtype=torch.float64)
    return [
        torch.randn(count + t, dim, generator=generator, dtype=torch.float64) * spread.roll(t) + gap
        for t, gap in enumerate(gaps)
    ]


@pytest.mark.parametrize("share", [1.0, 0.6, 0.0])
def test_shrunk_distances_are_those_of_moved_images(share: float) -> None:
    train, test = _tasks((0.0, 1.0, 3.0), 12, 8), _tasks((0.2, 0.9, 2.5), 4, 8)
    truth = torch.cat([torch.full((len(x),), task) for task, x in enumerate(test)])
    moved = shrunk_distances([Spectrum.of(x) for x in train], torch.cat(test), truth)
    means = [x.mean(dim=0) for x in train]
    centre = torch.stack(means).mean(dim=0)
    shift = [(1 - share) * (centre - mean) for mean in means]
    spectra = [Spectrum.of(x + by) for x, by in zip(train, shift, strict=True)]
    literal = spectra_distances(spectra, torch.cat([x + by for x, by in zip(test, shift, strict=True)]))
    for kind in COVARIANCES:
        assert torch.allclose(moved[kind].squared(share), literal[kind], rtol=1e-6, atol=1e-9), kind


def test_errors_of_two_gaussians_are_known() -> None:
    side, count = torch.tensor([0.0, 6.0]), 20_000
    generator = torch.Generator().manual_seed(0)
    train = [torch.randn(count, 1, generator=generator) + gap for gap in side]
    test = [torch.randn(count, 1, generator=generator) + gap for gap in side]
    truth = torch.arange(2).repeat_interleave(count)
    curve = shrunk_distances([Spectrum.of(x) for x in train], torch.cat(test), truth, ("euclidean",))[
        "euclidean"
    ].curve()
    for share in (1.0, 0.7, 0.4, 0.2):
        expected = NormalDist().cdf(share * 6 / 2)
        assert (
            abs(curve[GAPS.index(share)] - expected)
            < 4 * (expected * (1 - expected) / (2 * count)) ** 0.5 + 1e-4
        )
    assert abs(min_separation(curve, 0.95) - 2 * NormalDist().inv_cdf(0.95) / 6) < 0.015


def test_pairs_and_folds() -> None:
    train = _tasks((0.0, 1.0, 3.0), 12, 8)
    truth = torch.cat([torch.full((len(x),), task) for task, x in enumerate(train)])
    moved = shrunk_distances([Spectrum.of(x) for x in train], torch.cat(train), truth)["ridge"]
    pair = moved.restricted((0, 2))
    assert len(pair.truth) == 12 + 14 and set(pair.truth.tolist()) == {0, 1}
    assert torch.equal(pair.squared(0.5), moved.squared(0.5)[truth != 1][:, [0, 2]])
    assert joined([pair, pair]).accuracy(0.5) == pair.accuracy(0.5)


def test_min_separation() -> None:
    assert min_separation(np.array([0.9] * 101), 0.99) is None
    assert min_separation(np.ones(101), 0.99) == 0.0
    assert min_separation(np.array([1.0, 0.98, 1.0] + [0.5] * 98), 0.99) == 1.0, (
        "a later recovery does not count"
    )
