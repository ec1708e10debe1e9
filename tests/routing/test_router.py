"""Prototypes and distances against literal computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import OAS, LedoitWolf

from moleflow_lib.errors import ConfigError
from moleflow_lib.routing.router import COVARIANCES, PrototypeRouter, TaskPrototype


def _features(seed: int, count: int = 40, dim: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator) * torch.arange(1, dim + 1) + 3 * seed


def _prototype(features: torch.Tensor, cuts: int = 7) -> TaskPrototype:
    prototype = TaskPrototype(features.shape[1])
    for batch in features.split(cuts):
        prototype.update(batch)
    prototype.finalize()
    return prototype


@pytest.fixture
def router() -> PrototypeRouter:
    router = PrototypeRouter()
    for seed in range(3):
        router.add(_prototype(_features(seed)))
    return router


def test_distance_is_mahalanobis_with_the_ridge(router: PrototypeRouter) -> None:
    x = _features(5, 4)
    for task in range(3):
        train = _features(task).double().numpy()
        inverse = np.linalg.inv(np.cov(train.T) + 1e-5 * np.eye(6))
        gap = x.double().numpy() - train.mean(axis=0)
        literal = np.sqrt(np.einsum("nd,de,ne->n", gap, inverse, gap))
        assert np.allclose(router.distances(x)[:, task], literal)


@pytest.mark.parametrize(("kind", "estimator"), [("ledoit_wolf", LedoitWolf), ("oas", OAS)])
def test_shrinkage_is_scikit_learns(kind: str, estimator: type) -> None:
    features = _features(1)
    expected = estimator().fit(features.double().numpy()).covariance_
    assert np.allclose(_prototype(features).covariance(kind), expected)


def test_tied_pools_what_is_known(router: PrototypeRouter) -> None:
    tied = router.variant("tied", 0.0)
    scatter = sum(np.cov(_features(s).double().numpy().T) * 39 for s in range(2)) / 78
    gap = (_features(7, 3).double() - _features(1).double().mean(dim=0)).numpy()
    literal = np.sqrt(np.einsum("nd,de,ne->n", gap, np.linalg.inv(scatter), gap))
    assert np.allclose(tied.distances(_features(7, 3), known=2)[:, 1], literal)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_every_variant_routes_what_is_easy(router: PrototypeRouter, kind: str) -> None:
    variant = router.variant(kind)
    for task in range(3):
        assert (variant.route(_features(task).mean(dim=0, keepdim=True)) == task).all()
    assert all(number >= 1 for number in variant.condition_numbers())


def test_only_known_tasks_can_be_chosen(router: PrototypeRouter) -> None:
    assert router.route(_features(2), known=1).unique().tolist() == [0]


def test_state_round_trip(router: PrototypeRouter) -> None:
    again = TaskPrototype.from_state(router.prototypes[0].state())
    for kind in ("ridge", "ledoit_wolf", "oas", "diagonal"):
        assert torch.equal(again.covariance(kind), router.prototypes[0].covariance(kind))


def test_singular_covariances_are_handled_by_the_ridge() -> None:
    router = PrototypeRouter()
    router.add(_prototype(_features(0, count=4, dim=6)))
    assert router.distances(_features(0, 4)).isfinite().all()


def test_one_image_is_too_few() -> None:
    prototype = TaskPrototype(2)
    prototype.update(torch.ones(1, 2))
    with pytest.raises(ConfigError, match="at least 2 training images"):
        prototype.covariance()
