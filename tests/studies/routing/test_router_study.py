"""The parts of the router study on features whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.text.router import misrouted_table, router_sentences
from moleflow_lib.reporting.text.router_recommendation import recommendation
from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, spectra_distances
from moleflow_lib.studies import routing as study
from moleflow_lib.studies.routing import RouterImages, RoutingCase
from moleflow_lib.studies.routing.sample_size import enough_images, sample_sizes

DIM = 30


def _images(
    centres: tuple[float, ...], train: tuple[int, ...], dim: int = DIM, test: int = 40
) -> RouterImages:
    generator = torch.Generator().manual_seed(3)

    def draw(count: int, centre: float) -> torch.Tensor:
        return torch.randn(count, dim, generator=generator, dtype=torch.float64) + centre

    labels = [[0] * (test // 2) + [1] * (test - test // 2)] * len(centres)
    return RouterImages.of(
        [f"t{task}" for task in range(len(centres))],
        [draw(n, c) for n, c in zip(train, centres, strict=True)],
        [draw(test, c) for c in centres],
        labels,
    )


@pytest.fixture(scope="module")
def three() -> RouterImages:
    return _images((0.0, 1.0, 3.0), (12, 40, 25))


def test_another_spectrum_is_as_if_it_had_been_there(three: RouterImages) -> None:
    other = Spectrum.of(three.train[1][:6])
    literal = spectra_distances([three.spectra[0], other, three.spectra[2]], three.test)
    for kind, squared in three.with_spectrum(1, other).items():
        assert torch.allclose(squared, literal[kind]), kind


def test_all_images_give_the_accuracy_of_the_router(three: RouterImages) -> None:
    rows = study.accuracy_by_sample_size(three, draws=2)
    assert sorted({row["images"] for row in rows}) == sample_sizes([12, 40, 25]) == [5, 10, 20, 40]
    full = {kind: three.accuracy(three.distances[kind]) for kind in COVARIANCES}
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["images"] < 40 or (row["accuracy"] == full[row["variant"]] and row["draws"] == 1)
    added = study.accuracy_by_task_count(three, orders=6)
    assert {row["variant"]: row["accuracy"] for row in added if row["tasks"] == 3} == full
    assert all(row["accuracy"] == 1.0 for row in added if row["tasks"] == 1)
    assert study.accuracy_by_sample_size(three, draws=2) == rows, "seeded"


def test_enough_images() -> None:
    def row(kind: str, n: int, accuracy: float) -> dict[str, object]:
        return {"variant": kind, "images": n, "accuracy": accuracy}

    rows = [
        row("a", 5, 1.0),
        row("a", 10, 0.9),
        row("a", 20, 1.0),
        row("b", 5, 0.995),
        row("b", 10, 0.99),
        row("b", 20, 1.0),
    ]
    assert enough_images([*rows, row("c", 5, 1.0), row("c", 20, 0.5)]) == {"a": 20, "b": 5, "c": None}


def test_the_ridge_loses_a_small_task_to_a_full_one() -> None:
    images = _images((0.0, 1.0), (200, 200), dim=60)
    rows = {(row["task"], row["variant"]): row for row in study.small_task_rows(images, sizes=(5,))}
    assert rows["t0", "ridge"]["kept"] < 0.2 and rows["t0", "ridge"]["lost_to"] == "t1"
    assert rows["t0", "tied"]["kept"] > 0.9 and rows["t0", "euclidean"]["kept"] > 0.95
    assert images.accuracy(images.distances["ridge"]) > 0.99, "with equal numbers nothing is lost"


def test_pairs_are_sorted_by_separation_and_near_ones_err_more(three: RouterImages) -> None:
    rows = study.pair_rows(_images((0.0, 0.2, 3.0), (200, 200, 200)))
    assert [row["tasks"] for row in rows][0] == ["t0", "t1"] and np.diff(
        [row["separation"] for row in rows]
    ).min() > 0
    assert rows[0]["error"]["euclidean"] > 0.05 and rows[-1]["error"]["euclidean"] == 0
    assert rows[0]["min_separation"]["euclidean"] is None and rows[-1]["min_separation"]["euclidean"] < 0.5
    assert {row["variant"] for row in study.reserve_rows(three)} == set(COVARIANCES)


def test_a_far_product_is_refused_and_a_twin_is_missed() -> None:
    rows = {
        row["variant"]: row
        for row in study.unknown_rows(_images((0.0, 0.0, 9.0), (200, 200, 200), test=100), 0.95)
    }
    for kind in ("ledoit_wolf", "tied", "euclidean"):
        missed = rows[kind]["missed_by_task"]
        assert missed["t2"] == 0 and missed["t0"] > 0.8 and missed["t1"] > 0.8
        assert (
            rows[kind]["false_alarm_normal"] < 0.12
            and rows[kind]["excess_unknown"] < rows[kind]["excess_defective"]
        )
    assert rows["ridge"]["false_alarm_in_sample"] > rows["ridge"]["false_alarm_normal"]


def test_one_task_and_unlabelled_images() -> None:
    alone = _images((0.0,), (20,))
    rows = study.unknown_rows(alone, 0.95)
    assert all(row["missed"] is None and row["excess_unknown"] is None for row in rows)
    assert study.pair_rows(alone) == study.reserve_rows(alone) == study.calibration_rows(alone) == []
    assert {row["accuracy"] for row in study.accuracy_by_task_count(alone)} == {1.0}
    untold = RouterImages.of(["a", "b"], alone.train * 2, [alone.test] * 2, [[-1] * 40] * 2)
    assert len(untold.test) == 0 and study.unknown_rows(untold, 0.95)[0]["false_alarm_normal"] is None
    assert (
        study.accuracy_by_sample_size(untold, draws=1)[0]["accuracy"] is None
        and study.pair_rows(untold) == []
    )
    assert study.small_task_rows(untold, sizes=(5,))[0]["kept"] is None
    assert enough_images(study.accuracy_by_sample_size(untold, draws=1))["ridge"] is None


def _case(margins: list[float], truth: list[int]) -> RoutingCase:
    where = np.array(truth)
    rival = 1 - where
    margin = np.array(margins)
    image = np.array([truth[:i].count(task) for i, task in enumerate(truth)])
    chosen = np.where(margin < 1, rival, where)
    return RoutingCase(image=image, truth=where, chosen=chosen, rival=rival, margin=margin, labels=0 * where)


def test_close_calls_are_the_smallest_margins_of_more_than_one_task() -> None:
    calls = study.close_calls(_case([0.5, 0.6, 0.7, 2.0, 3.0, 1.5], [0, 0, 0, 0, 1, 1]), count=4)
    assert [(call.task, call.image, call.margin, call.wrong) for call in calls] == [
        (0, 0, 0.5, True),
        (0, 1, 0.6, True),
        (1, 1, 1.5, False),
        (1, 0, 3.0, False),
    ]
    assert len(study.close_calls(_case([2.0, 3.0, 4.0], [0, 0, 0]), count=2)) == 2
    assert study.close_calls(_case([np.inf], [0])) == []


def test_images_whose_task_nobody_told_count_nowhere(
    learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluators = learned.evaluators
    before = study.routing_cases(evaluators, "euclidean")
    untold = np.where(np.arange(8) == int(before.margin[:8].argmin()), -1, evaluators[0].labels)
    monkeypatch.setattr(evaluators[0], "labels", untold)
    case = study.routing_cases(evaluators, "euclidean")
    assert len(case.truth) == len(before.truth) - 1 and -1 not in case.labels
    place = int((untold == -1).argmax())
    assert all((call.task, call.image) != (0, place) for call in study.close_calls(case, count=30))
    assert {(call.task, call.image) for call in study.close_calls(case, count=30)} == {
        (task, image) for task in range(3) for image in range(8)
    } - {(0, place)}
    assert study.misrouted_cost(evaluators, "euclidean")[0]["images"] == 7


def test_cost_of_misrouted_images(learned: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluators = learned.evaluators
    rows = study.misrouted_cost(evaluators, "euclidean")
    for row in rows:
        assert row["misrouted"] or all(
            row[f"{m}_lost"] in (0.0, None) and row[f"{m}_lost_low"] is None for m in METRICS
        )
    router = learned.detector.router.variant("euclidean")
    monkeypatch.setattr(learned.detector.router, "variant", lambda kind: router)
    monkeypatch.setattr(router, "route", lambda x: torch.full((len(x),), 1))
    rows = study.misrouted_cost(evaluators, "euclidean")
    assert [row["misrouted"] for row in rows] == [8, 0, 8]
    told, sent = evaluators[0].metrics(0), evaluators[0].metrics(1)
    for metric in METRICS:
        if told[metric] is not None:
            assert rows[0][f"{metric}_lost"] == told[metric] - sent[metric]
            assert rows[0][f"{metric}_lost_low"] <= rows[0][f"{metric}_lost_high"]


def test_variants_carry_intervals_around_their_accuracies(learned: Experiment) -> None:
    for row in study.study_routers(learned.evaluators, ("ridge", "tied")):
        for name in ("accuracy", "accuracy_normal", "accuracy_anomalous"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_no_test_image_decides_the_recommendation() -> None:
    evidence = [
        {
            "variant": kind,
            "held_out": 1.0,
            "few_images": 1.0,
            "one_small_task": 0.1 if kind == "ridge" else 1.0,
            "min_separation": 0.2 if kind == "tied" else 0.4,
            "condition_number": 10.0,
        }
        for kind in COVARIANCES
    ]

    def tested(best: str) -> list[dict[str, object]]:
        return [
            {
                "variant": kind,
                "accuracy": float(kind == best),
                "accuracy_low": 0.8 * (kind == best),
                "accuracy_high": 0.2 + 0.8 * (kind == best),
            }
            for kind in COVARIANCES
        ]

    for best in COVARIANCES:
        advice = recommendation(evidence, tested(best), "ridge", 3)
        assert advice["covariance"] == "tied"
        assert ("no estimate does better" in advice["text"]) == (best == "tied")
    assert "Stay with `ridge`" in recommendation(evidence, tested("tied"), "ridge", 1)["text"]
    equal = [{**row, "one_small_task": 1.0} for row in evidence]
    advice = recommendation(equal, tested("tied"), "ridge", 3)
    assert advice["covariance"] == "ridge", "a stress test alone is no reason to leave the preset"
    assert "all 6 estimates route equally well" in advice["text"] and "`tied` 20 %" in advice["text"]
    assert "as a share of what they are (less is safer): " in advice["text"]


def test_words_say_what_is_undefined() -> None:
    result = {
        "recommendation": {
            "covariance": "tied",
            "advice": "training images speak for `tied` instead",
            "text": "Use it.",
        },
        "variants": [{"variant": "ridge", "accuracy": None}],
    }
    assert "nothing else can be said" in router_sentences(result, "ridge")[-1]
    row = {
        "task": "a",
        "images": 2,
        "misrouted": 1,
        "pixel_ap_lost": None,
        "pixel_ap_lost_low": None,
        "pixel_ap_lost_high": None,
    }
    assert misrouted_table([row], ("pixel_ap",)) == [
        {"task": "a", "test images": 2, "misrouted": 1, "pixel_ap_lost": "–"}
    ]
