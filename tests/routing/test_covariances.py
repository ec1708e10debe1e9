"""Distances from a thin decomposition of images against those of moments alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage, oas

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, shrinkage_weights, spectra_distances
from moleflow_lib.routing.router import PrototypeRouter, TaskPrototype


def _tasks(counts: tuple[int, ...], dim: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    scale = torch.linspace(0.2, 3, dim)
    return [torch.randn(n, dim, generator=generator) * scale + task for task, n in enumerate(counts)]


@pytest.mark.parametrize(("counts", "dim"), [((4, 9), 20), ((30, 7), 20), ((50, 60), 5), ((2, 2), 6)])
def test_distances_are_the_routers(counts: tuple[int, ...], dim: int) -> None:
    train, queries = _tasks(counts, dim), 2 * _tasks((11,), dim)[0]
    router = PrototypeRouter(prototypes=[TaskPrototype.of(x) for x in train])
    found = spectra_distances([Spectrum.of(x) for x in train], queries)
    assert list(found) == list(COVARIANCES)
    for kind in COVARIANCES:
        expected = router.variant(kind).distances(queries)
        assert torch.allclose(found[kind].sqrt(), expected, rtol=1e-6), kind


@pytest.mark.parametrize(("count", "dim"), [(3, 40), (40, 40), (60, 8)])
def test_shrinkage_weights_are_scikit_learns(count: int, dim: int) -> None:
    x = _tasks((count,), dim)[0].double()
    weights, plain = shrinkage_weights(x - x.mean(dim=0)), x.numpy()
    assert np.isclose(weights["ledoit_wolf"], ledoit_wolf_shrinkage(plain))
    assert np.isclose(weights["oas"], oas(plain)[1])


def test_identical_images_give_finite_distances() -> None:
    same = [torch.ones(3, 4), torch.zeros(3, 4)]
    found = spectra_distances([Spectrum.of(x) for x in same], torch.ones(1, 4))
    for kind, squared in found.items():
        assert squared.isfinite().all() and squared.argmin() == 0, kind
