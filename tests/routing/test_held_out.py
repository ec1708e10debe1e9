"""Held-out distances, and what rests on them: limits, the trap they avoid, the choice of the estimate."""

from __future__ import annotations

import pytest
import torch

from moleflow_lib.routing.covariances import Spectrum
from moleflow_lib.routing.held_out import held_out_distances, held_out_folds
from moleflow_lib.routing.open_set import acceptance_limits, accepted
from moleflow_lib.studies.routing.covariance_choice import covariance_evidence, preferred

DIM = 60


def _gaussian(count: int, seed: int, dim: int = DIM) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_image_is_held_out_once_and_its_prototype_never_saw_it() -> None:
    train = [_gaussian(7, 0, 3), 5 + _gaussian(11, 1, 3)]
    held = torch.cat([images for _, images, _ in held_out_folds(train)])
    assert len(held) == 18 and len(held.unique(dim=0)) == 18
    for spectra, images, truth in held_out_folds(train):
        for task, x in enumerate(train):
            kept = x[(x[:, None] != images[truth == task]).any(dim=2).all(dim=1)]
            assert len(kept) + int((truth == task).sum()) == len(x) and torch.allclose(
                spectra[task].mean, kept.mean(dim=0)
            )


def test_two_images_are_never_held_out() -> None:
    held = held_out_distances([_gaussian(2, 0, 3), _gaussian(6, 1, 3)])
    assert [len(own) for own in held.own("ridge")] == [0, 6]
    assert held_out_distances([_gaussian(2, 0, 3)]).accuracy("ridge") is None


@pytest.mark.parametrize("kind", ["ridge", "ledoit_wolf", "oas", "diagonal", "euclidean"])
def test_false_alarms_are_near_nominal_though_images_are_fewer_than_dimensions(kind: str) -> None:
    train = _gaussian(40, 0)
    limits = acceptance_limits(held_out_distances([train]).own(kind), 0.9)
    fresh = Spectrum.of(train).squared(_gaussian(4000, 1), (kind,))[kind].sqrt()[:, None]
    alarms = float((~accepted(fresh, limits)).double().mean())
    assert alarms < 0.2, "nominal is 0.1; the full prototype is nearer to new images than the folds' ones"
    assert alarms > 0.005 or kind == "ridge"


def test_the_trap_limits_from_images_the_prototype_saw_refuse_everything() -> None:
    train = _gaussian(40, 0)
    spectrum = Spectrum.of(train)
    seen = spectrum.squared(train, ("ridge",))["ridge"].sqrt()
    fresh = spectrum.squared(_gaussian(500, 1), ("ridge",))["ridge"].sqrt()[:, None]
    assert not accepted(fresh, acceptance_limits([seen], 0.95)).any()
    assert (
        accepted(fresh, acceptance_limits(held_out_distances([train]).own("ridge"), 0.95)).double().mean()
        > 0.8
    )
    assert seen.max() < (40 - 1) ** 0.5, "whatever the images, their distances stay below √(n − 1)"


def test_limits_are_order_statistics() -> None:
    ten = torch.arange(1.0, 11.0)
    assert acceptance_limits([ten, ten[:3], ten[:0]], 0.8).tolist() == [9.0, 3.0, torch.inf]
    distances = torch.tensor([[9.0, 10.0], [9.1, 2.9], [9.1, 99.0], [9.5, 9.4]])
    assert accepted(distances, torch.tensor([9.0, 3.0])).tolist() == [True, True, False, False]


def _row(kind: str, *values: float | None) -> dict[str, object]:
    names = ("held_out", "few_images", "one_small_task", "min_separation", "condition_number")
    return {"variant": kind, **dict(zip(names, values, strict=True))}


def test_the_rule_reads_accuracy_then_reserve_then_condition() -> None:
    assert preferred([_row("a", 1.0, 1.0, 0.2, 0.1, 1.0), _row("b", 0.9, 0.9, 0.9, 0.8, 9.0)]) == "b"
    assert preferred([_row("a", 1.0, 1.0, 1.0, 0.4, 1.0), _row("b", 0.996, 1.0, 1.0, 0.3, 9.0)]) == "b"
    assert preferred([_row("a", 1.0, 1.0, 1.0, 0.3, 9.0), _row("b", 1.0, 1.0, 1.0, 0.3, 1.0)]) == "b"
    assert (
        preferred([_row("a", 1.0, 1.0, 1.0, 0.301, 9.0), _row("b", 1.0, 1.0, 1.0, 0.3, 1.0)], used="a") == "a"
    )
    assert (
        preferred([_row("a", 1.0, 1.0, 1.0, 0.32, 9.0), _row("b", 1.0, 1.0, 1.0, 0.3, 1.0)], used="a") == "b"
    )
    assert preferred([_row("a", None, None, None, None, 9.0), _row("b", None, None, None, 0.3, 99.0)]) == "b"


def test_a_small_task_speaks_against_the_ridge() -> None:
    train = [_gaussian(200, 0), 1.5 + _gaussian(200, 1)]
    rows = covariance_evidence(train)
    evidence = {row["variant"]: row for row in rows}
    assert evidence["ridge"]["held_out"] > 0.99 > 0.5 > evidence["ridge"]["one_small_task"]
    assert evidence["euclidean"]["one_small_task"] > 0.99 and preferred(rows) != "ridge"


def test_euclidean_is_not_chosen_where_tasks_differ_in_a_quiet_direction() -> None:
    loud = torch.tensor([20.0, 0.1])
    train = [
        _gaussian(80, seed, 2) * loud + torch.tensor([0.0, shift]) for seed, shift in ((0, 0.0), (1, 1.0))
    ]
    assert preferred(covariance_evidence(train)) in ("ridge", "tied", "diagonal")


def test_tiny_tasks_have_evidence_too() -> None:
    rows = covariance_evidence([_gaussian(2, 0, 3), _gaussian(3, 1, 3)])
    assert len(rows) == 6 and preferred(rows) in {row["variant"] for row in rows}
    assert {row["variant"] for row in covariance_evidence([_gaussian(5, 0, 3)])} == {
        row["variant"] for row in rows
    }
