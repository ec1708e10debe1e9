"""The first sentence of a summary answers the notebook's question with that run's numbers."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.notebook import show_summary
from moleflow_lib.reporting.text.continual import _answer
from moleflow_lib.reporting.text.inputs import input_sentences, inputs_result
from moleflow_lib.reporting.text.router import misrouted_caption, router_sentences
from moleflow_lib.reporting.text.router_recommendation import recommendation
from moleflow_lib.studies import routing as study
from moleflow_lib.studies.features_and_latents import class_separation
from moleflow_lib.studies.routing.covariance_choice import covariance_evidence


@pytest.fixture(scope="module")
def inputs(learned: Experiment) -> dict[str, object]:
    train, test = ([learned.features(task, part) for task in learned.tasks] for part in ("train", "test"))
    return inputs_result(learned, train, test, class_separation(train))


def test_01_says_whether_products_and_defects_are_seen(inputs: dict[str, object]) -> None:
    answer = input_sentences(inputs)[0]
    mean = sum(inputs["untrained_auroc"].values()) / 3
    assert answer.startswith("The features tell the products apart") and f"image AUROC {mean:.3f}" in answer
    assert inputs["closest"]["tasks"] in answer


def test_01_says_so_where_products_overlap_or_nothing_is_known(inputs: dict[str, object]) -> None:
    near = {**inputs, "closest": {"tasks": "a and b", "distance": 0.4}}
    assert input_sentences(near)[0].startswith(
        "The features do not tell the products apart (closest: a and b"
    )
    alone = {**inputs, "closest": None, "untrained_auroc": {"a": None}}
    assert input_sentences(alone)[0] == (
        "There is one task, so no products to tell apart; no labelled test set says whether defects are seen."
    )


@pytest.mark.parametrize("kind", ["ridge", "tied", "alike"])
def test_04_says_how_well_at_which_cost_and_with_which_distance(learned: Experiment, kind: str) -> None:
    evaluators, images = learned.evaluators, study.router_images(learned)
    variants = study.study_routers(evaluators)
    evidence = covariance_evidence(images.train, 0)
    weak = {"held_out": 0.9, "few_images": 0.9, "one_small_task": 0.9}
    told = [
        {**row, **(weak if kind not in ("alike", row["variant"]) else dict.fromkeys(weak, 1.0))}
        for row in evidence
    ]
    advice = recommendation(told, variants, "ridge", 3)
    result = {
        "variants": variants,
        "recommendation": advice,
        "unknown": study.unknown_rows(images, 0.95),
        "router_accept": 0.95,
        "misrouted": study.misrouted_cost(evaluators, "ridge"),
        "wrong_route_cost": study.wrong_route_cost(evaluators),
    }
    answer, second, *_ = router_sentences(result, "ridge")
    row = next(row for row in variants if row["variant"] == "ridge")
    assert f"`ridge` sends {100 * row['accuracy']:.1f} % of the test images" in answer
    ends = {
        "ridge": "staying with it.",
        "tied": "for `tied` instead.",
        "alike": "all 6 covariances route alike.",
    }
    assert answer.endswith(ends[kind]) and advice["covariance"] == ("tied" if kind == "tied" else "ridge")
    assert second.startswith("Recommendation. ") and len(answer.split()) <= 35
    assert answer.startswith("Use `tied`: " if kind == "tied" else "Stay: ")
    use = "Use `tied` instead of the preset's `ridge`." if kind == "tied" else "Stay with `ridge`."
    assert second.startswith(f"Recommendation. {use} ")
    told = [one for text in router_sentences(result, "ridge") for one in re.split(r"(?<=[.]) ", text)]
    assert [one for one in told if len(one.split()) > 35] == []


def _routed(misrouted: int) -> dict[str, object]:
    """A result in which so many of ten images of one task went astray, at the loss of a tenth."""
    lost = 0.1 if misrouted else 0.0
    ends = {"low": 0.05, "high": 0.2} if misrouted else {"low": None, "high": None}
    variant = {"variant": "ridge", "image_auroc_lost": lost, "pixel_ap_lost": lost}
    shares = ("accuracy", "accuracy_low", "accuracy_high", "accuracy_normal", "accuracy_anomalous")
    of_task = {f"pixel_ap_lost_{end}": value for end, value in ends.items()}
    return {
        "recommendation": {"covariance": "ridge", "advice": "it stays", "text": "Stay with `ridge`."},
        "variants": [variant | dict.fromkeys(shares, 1 - misrouted / 20)],
        "unknown": [
            {"variant": "ridge", "missed": None, "false_alarm_normal": 0.0, "false_alarm_defective": 0.0}
        ],
        "router_accept": 0.95,
        "misrouted": [
            {"task": "a", "images": 10, "misrouted": misrouted, "pixel_ap_lost": lost, **of_task},
            {"task": "b", "images": 10, "misrouted": 0, "pixel_ap_lost": None},
        ],
        "wrong_route_cost": [
            {"task": one, "sent to": other, "image_auroc": 0.9 if one == other else 0.5}
            for one in "ab"
            for other in "ab"
        ],
    }


def test_04_says_that_none_was_misrouted_and_what_a_wrong_choice_would_cost() -> None:
    none, some = (_routed(count) for count in (0, 2))
    answer, *_, cost = router_sentences(none, "ridge")
    assert "none is misrouted" in answer and cost.startswith("`ridge` misrouted no labelled test image")
    assert "it would cost 0.400 image AUROC at worst (b to a)" in cost and "Most on" not in cost
    assert misrouted_caption(none["misrouted"]).startswith("No labelled test image was misrouted")
    answer, *_, cost = router_sentences(some, "ridge")
    assert "wrong routes cost 0.100" in answer and "Most on a: 2 of 10 images misrouted" in cost
    assert "would cost 0.400" in cost and "misrouted no" not in cost
    assert "really misrouted" in misrouted_caption(some["misrouted"])


def test_a_summary_shows_six_sentences_and_folds_the_rest() -> None:
    short = show_summary([f"Sentence {n}." for n in range(6)]).data
    assert short.count("<li>") == 5 and "<details" not in short
    long = show_summary([f"Sentence {n}." for n in range(8)]).data
    shown, folded = long.split("<details>")
    assert shown.count("<li>") == 5 and folded.count("<li>") == 2 and "2 further sentences" in folded


def _evaluated(known: float | None = 0.9, **values: float | None) -> SimpleNamespace:
    """Two tasks with these means, half a point better under the oracle; the second task's own value."""
    means = {
        name: {"routed": {"acc": value, "fm_max": None}, "oracle": {"acc": value and value + 0.005}}
        for name, value in values.items()
    }
    return SimpleNamespace(
        classes=("nut", "grid"), summary=lambda: means, final=lambda metric: [values[metric], known]
    )


def test_03_names_defined_metrics_alone() -> None:
    nothing = SimpleNamespace(best=lambda metric: None)
    told = _answer(_evaluated(image_auroc=0.9, pixel_ap=None, aupro=None), nothing)
    assert told == "After 2 tasks, routed: mean image AUROC 0.900 (oracle 0.905)."
    told = _answer(_evaluated(None, image_auroc=0.9, pixel_ap=None, aupro=None), nothing)
    assert told == "After 2 tasks, routed: mean image AUROC 0.900 (oracle 0.905, 1 of 2 tasks)."
    told = _answer(_evaluated(image_auroc=None, pixel_ap=None, aupro=None), nothing)
    assert told.startswith("After 2 tasks no metric is defined")
