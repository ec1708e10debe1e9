"""Differences between runs against what one computes by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS
from moleflow_lib.metrics.bootstrap import image_draws
from moleflow_lib.reporting.compare.differences import (
    MEAN,
    disagreements,
    measured,
    option_rows,
    provenance_rows,
)
from moleflow_lib.reporting.compare.finished import FinishedRun, finished_runs


@pytest.fixture(scope="module")
def pair(reference: Path, other: Path) -> list[FinishedRun]:
    return finished_runs([reference, other])


def test_equal_runs_differ_by_exactly_nothing(reference: Path, copied: Path) -> None:
    runs = finished_runs([reference, copied])
    gaps = [row.differences[0] for row in measured(runs)]
    assert len(gaps) == len(METRICS) * 3
    assert all(gap.value == 0.0 and gap.interval == (0.0, 0.0) for gap in gaps)
    assert option_rows(runs) == [] and provenance_rows(runs) == [] and disagreements(runs, 9) == []


def test_only_the_options_that_differ_are_listed(pair: list[FinishedRun]) -> None:
    rows = [
        {"option": "lora_rank", "first": "4", "second": "2"},
        {"option": "seed", "first": "0", "second": "1"},
    ]
    assert option_rows(pair) == rows


def test_what_only_one_run_says_is_listed_and_learned_weights_are_not(pair: list[FinishedRun]) -> None:
    first, second = pair
    facts = {**second.result["provenance"], "torch": "0.1", "new": "x"}
    changed = FinishedRun(**{**vars(second), "result": {**second.result, "provenance": facts}})
    rows = provenance_rows([first, changed])
    assert [row["what"] for row in rows] == ["torch", "new"] and rows[1]["first"] == "–"


def test_image_auroc_and_its_paired_interval_by_hand(pair: list[FinishedRun]) -> None:
    rounds, values = [], []
    for task in ("leather", "nut"):
        labels = np.array([image["label"] for image in pair[0].images[task]])
        scores = [np.array([image["score"] for image in run.images[task]]) for run in pair]
        values.append(roc_auc_score(labels, scores[1]) - roc_auc_score(labels, scores[0]))
        rounds.append(
            [
                roc_auc_score(labels, scores[1], sample_weight=drawn)
                - roc_auc_score(labels, scores[0], sample_weight=drawn)
                for drawn in image_draws(labels, task)
            ]
        )
    found = {row.task: row.differences[0] for row in measured(pair, ["image_auroc"])}
    by_hand = {"leather": (values[0], rounds[0]), "nut": (values[1], rounds[1])}
    by_hand[MEAN] = (np.mean(values), np.mean(rounds, axis=0))
    assert values[0] != 0, "runs that agree would prove nothing"
    for task, (value, drawn) in by_hand.items():
        assert found[task].value == pytest.approx(value, abs=1e-9)
        assert found[task].interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-9)


def test_pixel_metrics_are_paired_as_the_evaluators_would(pair: list[FinishedRun]) -> None:
    drawn, final = [], []
    for run in pair:
        experiment = Experiment(
            ExperimentConfig.from_params({**run.config, "preset": "demo", "classes": run.tasks})
        )
        own = experiment.evaluators[1]
        routes = experiment.detector.route(own.image_means)
        drawn.append(own.replicates(routes)["pixel_ap"])
        final.append(own.metrics(routes)["pixel_ap"])
    gap = pair[1].difference(pair[0], "pixel_ap", ["nut"])
    assert gap.value == final[1] - final[0] != 0
    assert gap.interval == pytest.approx(np.quantile(drawn[1] - drawn[0], [0.025, 0.975]))


def test_the_values_are_those_of_the_result_file(pair: list[FinishedRun]) -> None:
    for run in pair:
        told = run.result["baseline_summary"]["moleflow"]
        for metric in METRICS:
            own = run.estimate(metric, run.tasks)
            assert own.value == told[metric]["routed"]["acc"]
            assert own.interval == tuple(told[metric]["routed"]["interval"])


def test_several_seeds_are_averaged_and_paired(finished: Callable[..., Path], reference: Path) -> None:
    run = finished("seeds", comparison_seeds=(0, 1))
    one, two = finished_runs([reference, run])
    assert two.seeds == (0, 1) and two.values.shape[0] == 2
    assert np.array_equal(two.values[0], one.values[0], equal_nan=True), "seed 0 is the same run"
    gap = two.difference(one, "image_auroc", ["leather"])
    column = two.values[:, two.metrics.index("image_auroc"), 0]
    assert gap.value == pytest.approx(column.mean() - column[0]) and gap.interval is not None


def test_tasks_in_another_order_are_paired_by_name(finished: Callable[..., Path], reference: Path) -> None:
    turned = finished("turned", classes=("nut", "leather"))
    one, two = finished_runs([reference, turned])
    gap = two.difference(one, "image_auroc", ["nut"])
    final = [run.result["R"]["image_auroc"]["routed"][-1] for run in (one, two)]
    assert gap.value == final[1][0] - final[0][1]
    assert [row["option"] for row in option_rows([one, two])] == ["classes"]


def test_without_masks_pixel_metrics_are_undefined_not_zero(pair: list[FinishedRun]) -> None:
    column = list(METRICS).index("aupro")
    blind = []
    for run in pair:
        values, rounds = run.values.copy(), run.rounds.copy()
        values[:, column, 0] = np.nan
        rounds[:, column, 0] = np.nan
        blind.append(FinishedRun(**{**vars(run), "values": values, "rounds": rounds}))
    found = {row.task: row for row in measured(blind, ["aupro"])}
    assert found["leather"].differences[0].value is None and found["leather"].values[0].interval is None
    assert found[MEAN].differences == found["nut"].differences, "the mean is over tasks that have it"


def test_the_greatest_disagreement_comes_first(pair: list[FinishedRun]) -> None:
    found = disagreements(pair, 100)
    seen = [
        image for task in pair[0].tasks for image in zip(*(run.images[task] for run in pair), strict=True)
    ]
    rows = [
        (
            a["decision"] != b["decision"],
            round(abs(a["rank"] - b["rank"]), 9),
            abs(a["normalised"] - b["normalised"]),
        )
        for a, b in seen
    ]
    assert len(found) == len(rows) == 16
    assert [(one.weighs, *one.size) for one in found] == sorted(rows, reverse=True)
    assert disagreements(pair, 3) == found[:3]


def _with_images(run: FinishedRun, change: Callable[[int, dict], dict]) -> FinishedRun:
    """The run, each image of its first task changed."""
    first, *others = run.tasks
    images = [change(place, dict(image)) for place, image in enumerate(run.images[first])]
    return replace(run, images={first: images, **{task: run.images[task] for task in others}})


def test_a_changed_decision_weighs_more_than_any_rank(reference: Path) -> None:
    run, _ = finished_runs([reference, reference])
    flip = {"normal": "defective", "defective": "normal", "unknown": "normal"}
    changed = _with_images(
        run,
        lambda place, image: {
            **image,
            "rank": image["rank"] + (place == 0),
            "decision": flip[image["decision"]] if place == 2 else image["decision"],
        },
    )
    assert [one.index for one in disagreements([run, changed], 9)] == [2, 0]
    assert disagreements([run, changed], 9)[0].size == (0.0, 0.0), "nothing but the decision differs"


def test_without_a_decision_defective_images_come_first(reference: Path) -> None:
    run, _ = finished_runs([reference, reference])
    labels = [image["label"] for image in run.images[run.tasks[0]]]
    normal, defective = labels.index(0), labels.index(1)
    moved = {normal: 0.5, defective: 0.1}
    earlier = _with_images(
        run,
        lambda place, image: {
            **{name: value for name, value in image.items() if name != "decision"},
            "rank": image["rank"] + moved.get(place, 0.0),
        },
    )
    assert [one.index for one in disagreements([earlier, earlier], 9)] == []
    assert [one.index for one in disagreements([earlier, run], 9)] == [defective, normal]


def test_normalised_scores_are_deviations_of_the_calibration_scores(reference: Path) -> None:
    from moleflow_lib.inference import load_detector

    calibration = load_detector(reference, "cpu").calibration
    record = json.loads((reference / "03_continual_tasks.images.json").read_text())
    names = [task["name"] for task in record["tasks"]]
    for image in (image for task in record["tasks"] for image in task["images"]):
        known = calibration.tasks[names.index(image["chosen"])].scores.numpy().astype(float)
        assert image["normalised"] == pytest.approx((image["score"] - known.mean()) / known.std(ddof=1))
        assert image["rank"] == np.mean(known < image["score"])
