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


@pytest.fixture
def router() -> PrototypeRouter:
    return PrototypeRouter(prototypes=[TaskPrototype.of(_features(seed)) for seed in range(3)])


def _literal(x: torch.Tensor, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    gap = x.double().numpy() - mean
    return np.sqrt(np.einsum("nd,de,ne->n", gap, np.linalg.inv(covariance), gap))


@pytest.mark.parametrize("count", [40, 4])
def test_distance_is_mahalanobis_with_the_ridge(count: int) -> None:
    x = _features(5, 4)
    train = _features(1, count).double().numpy()
    found = TaskPrototype.of(_features(1, count)).distances(x, "ridge")
    assert np.allclose(found, _literal(x, train.mean(axis=0), np.cov(train.T) + 1e-5 * np.eye(6)))


@pytest.mark.parametrize(("kind", "estimator"), [("ledoit_wolf", LedoitWolf), ("oas", OAS)])
@pytest.mark.parametrize("count", [40, 5])
def test_shrinkage_is_scikit_learns(kind: str, estimator: type, count: int) -> None:
    train = _features(1, count)
    x = _features(5, 4)
    expected = _literal(
        x, train.double().numpy().mean(axis=0), estimator().fit(train.double().numpy()).covariance_
    )
    assert np.allclose(TaskPrototype.of(train).distances(x, kind), expected)


def test_diagonal_and_euclidean_by_hand() -> None:
    x = _features(5, 4)
    train = _features(1).double().numpy()
    prototype = TaskPrototype.of(_features(1))
    variances = np.diag(train.var(axis=0, ddof=1) + 1e-5)
    assert np.allclose(prototype.distances(x, "diagonal"), _literal(x, train.mean(axis=0), variances))
    assert np.allclose(prototype.distances(x, "euclidean"), _literal(x, train.mean(axis=0), np.eye(6)))


def test_tied_pools_what_is_known(router: PrototypeRouter) -> None:
    tied = router.variant("tied")
    scatter = sum(np.cov(_features(s).double().numpy().T) * 39 for s in range(2)) / 78 + 1e-5 * np.eye(6)
    literal = _literal(_features(7, 3), _features(1).double().mean(dim=0).numpy(), scatter)
    assert np.allclose(tied.distances(_features(7, 3), known=2)[:, 1], literal)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_every_variant_routes_what_is_easy(router: PrototypeRouter, kind: str) -> None:
    variant = router.variant(kind)
    for task in range(3):
        assert (variant.route(_features(task).mean(dim=0, keepdim=True)) == task).all()
    assert all(number >= 1 for number in variant.condition_numbers())


@pytest.mark.parametrize(
    ("kind", "estimate"),
    [
        ("ridge", lambda x: np.cov(x.T) + 1e-5 * np.eye(6)),
        ("ledoit_wolf", lambda x: LedoitWolf().fit(x).covariance_),
        ("diagonal", lambda x: np.diag(x.var(axis=0, ddof=1) + 1e-5)),
        ("euclidean", lambda x: np.eye(6)),
    ],
)
@pytest.mark.parametrize("count", [40, 4])
def test_condition_numbers_are_those_of_the_estimates(kind: str, estimate: object, count: int) -> None:
    train = _features(1, count)
    router = PrototypeRouter(kind, prototypes=[TaskPrototype.of(train)])
    assert router.condition_numbers()[0] == pytest.approx(
        np.linalg.cond(estimate(train.double().numpy())), rel=1e-6
    )


def test_only_known_tasks_can_be_chosen(router: PrototypeRouter) -> None:
    assert router.route(_features(2), known=1).unique().tolist() == [0]


def test_state_round_trip(router: PrototypeRouter) -> None:
    again = TaskPrototype.from_state(router.prototypes[0].state())
    for kind in ("ridge", "ledoit_wolf", "oas", "diagonal"):
        found, expected = (p.distances(_features(2), kind) for p in (again, router.prototypes[0]))
        assert torch.equal(found, expected)


def test_one_image_is_too_few() -> None:
    with pytest.raises(ConfigError, match="at least 2 training images, got 1"):
        TaskPrototype.of(torch.ones(1, 2))


@pytest.mark.parametrize("kind", [kind for kind in COVARIANCES if kind != "tied"])
def test_all_tasks_at_once_are_each_task_by_itself(kind: str) -> None:
    prototypes = [TaskPrototype.of(_features(seed, count)) for seed, count in enumerate((40, 4, 2, 6))]
    router, x = PrototypeRouter(kind, prototypes=prototypes), _features(9)
    each = torch.stack([prototype.distances(x, kind) for prototype in prototypes], dim=1)
    assert torch.allclose(router.distances(x), each, rtol=1e-9)
    assert torch.equal(router.route(x), each.argmin(dim=1))
    assert torch.allclose(router.distances(x, known=2), each[:, :2], rtol=1e-9)
    assert torch.allclose(router.distances(prototypes[0].moments.mean[None])[:, 0], torch.zeros(1).double())


@pytest.mark.parametrize("kind", ["tied", "euclidean"])
def test_one_covariance_for_all_tasks_needs_no_decomposition_of_each(
    router: PrototypeRouter, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("moleflow_lib.routing.router.Spectrum", None)
    assert router.variant(kind).route(_features(2)).shape == (40,)
