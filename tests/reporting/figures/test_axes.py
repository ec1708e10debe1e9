"""No axis shows what its quantity cannot be, and no labels lie on top of each other."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.figures import (
    ablation,
    comparison,
    continual,
    inputs,
    routing,
    routing_reserve,
    routing_trust,
    training,
)
from moleflow_lib.reporting.figures.style import bounded, captioned, log_ticks
from moleflow_lib.routing.covariances import COVARIANCES
from moleflow_lib.studies import routing as study
from moleflow_lib.studies.ablation import agreement_rows, paired_differences, tail_rows
from moleflow_lib.studies.baselines.comparison import compare
from moleflow_lib.studies.features_and_latents import class_separation, latent_report
from tests.studies.ablation.conftest import made_row

_SHARE = re.compile(r"accuracy|share|AUROC|\bAP\b|AUPRO|F1|probability|stays|draws", re.IGNORECASE)
_NAN = re.compile(r"(?<![a-z])nan(?![a-z])", re.IGNORECASE)  # and not the middle of determinant
_SLACK = 0.1  # of an axis beyond what the quantity can be, so that marks and their labels are whole


@pytest.fixture(scope="module")
def figures(learned: Experiment) -> list[go.Figure]:
    """Every figure of every notebook."""
    return [*_of_inputs_and_training(learned), *_of_tasks(learned), *_of_routing(learned), *_of_ablations()]


def _of_inputs_and_training(learned: Experiment) -> list[go.Figure]:
    train = [learned.features(task, "train") for task in learned.tasks]
    test = learned.features(learned.tasks[0], "test")
    return [
        inputs.feature_statistics(learned.tasks, train),
        inputs.separation([task.name for task in learned.tasks], class_separation(train)),
        training.training_curves(learned.trainer.histories, 0),
        training.latent_gaussianity(latent_report(learned.detector, test, train[0], 0), learned.detector.dim),
        training.score_histogram(learned.evaluators[0]),
    ]


def _of_tasks(learned: Experiment) -> list[go.Figure]:
    result = learned.evaluate()
    few = Experiment(learned.config.with_(baselines=("gaussian", "memory_bank")))
    return [
        continual.r_matrices(result, "image_auroc", 0),
        continual.control_comparison(result, result, "a", "b"),
        comparison.method_intervals(compare(few)),
    ]


def _of_routing(learned: Experiment) -> list[go.Figure]:
    evaluators = learned.evaluators
    images = study.router_images(learned)
    case = study.routing_cases(evaluators, "tied")
    names, kinds = list(images.names), tuple(COVARIANCES)[:2]
    return [
        routing.confusion_matrix(names, case, "tied"),
        routing.margins(names, case, "tied"),
        routing.variant_accuracy(study.study_routers(evaluators)),
        routing.wrong_route_matrix(names, study.wrong_route_cost(evaluators)),
        routing_reserve.accuracy_by_images(study.accuracy_by_sample_size(images), images),
        routing_reserve.small_task(study.small_task_rows(images), images),
        routing_reserve.pair_errors(images, kinds),
        routing_reserve.reserve(study.accuracy_by_task_count(images), images),
        routing_trust.reliability(study.calibration_rows(images), kinds),
        routing_trust.unknown_products(study.unknown_rows(images, 0.95), 0.95),
    ]


def _of_ablations() -> list[go.Figure]:
    moved = {"preset": 0.9, "lora_rank=0": 0.85, "order nut>grid": 0.8}
    rows = [made_row(name, seed, value + seed / 50) for name, value in moved.items() for seed in (0, 1)]
    update = {"task": "nut", "block": 1, "layer": "layer1", "scale": 1.0, "rank": 4}
    updates = [{**update, "effective_rank": 3.0, "relative_norm": 0.1}]
    return [
        ablation.variation_differences(
            paired_differences(rows, "image_auroc"), "image_auroc", ["nut", "grid"]
        ),
        ablation.orders_by_class(rows, "image_auroc"),
        ablation.lora_size_and_rank(updates),
        ablation.score_tails(tail_rows(rows, ("preset",))),
        ablation.record_beside_ours(agreement_rows(rows)),
    ]


def test_no_figure_is_left_out(figures: list[go.Figure]) -> None:
    modules = (ablation, comparison, continual, inputs, routing, routing_reserve, routing_trust, training)
    makers = [
        name
        for module in modules
        for name, found in vars(module).items()
        if inspect.isfunction(found)
        and found.__module__ == module.__name__
        and not name.startswith("_")
        and found.__annotations__.get("return") == "go.Figure"
    ]
    assert len(figures) == len(makers) == len({figure.layout.title.text for figure in figures})


def _wrong_axes(figure: go.Figure) -> Iterator[str]:
    """Axes of shares without ends inside what a share can be."""
    titles = " ".join(axis.title.text or "" for axis in figure.select_yaxes())
    for axis in figure.select_yaxes():
        if not _SHARE.search(axis.title.text or titles) or axis.type == "category":
            continue
        if axis.range is None or axis.range[0] < -_SLACK or axis.range[1] > 1 + _SLACK:
            yield f"{figure.layout.title.text}: {axis.title.text} {axis.range}"
        if axis.tickvals is None or not all(0 <= tick <= 1 for tick in axis.tickvals):
            yield f"{figure.layout.title.text}: labels {axis.tickvals}"


def test_axes_of_shares_end_where_shares_end(figures: list[go.Figure]) -> None:
    assert [wrong for figure in figures for wrong in _wrong_axes(figure)] == []


def test_a_wrong_axis_would_be_found() -> None:
    figure = go.Figure(go.Scatter(y=[1, 1])).update_yaxes(title="routing accuracy")
    assert len(list(_wrong_axes(captioned(figure, "t", "c")))) >= 1
    assert len(list(_wrong_axes(captioned(figure.update_yaxes(range=[0, 2]), "t", "c")))) >= 1


def test_labels_of_logarithmic_axes_do_not_touch(figures: list[go.Figure]) -> None:
    seen = 0
    for figure in figures:
        for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
            if axis.type == "log":
                ticks, seen = axis.tickvals, seen + 1
                assert ticks is not None and all(b / a >= 1.2 for a, b in zip(ticks, ticks[1:], strict=False))
    assert seen >= 3


def test_every_figure_has_caption_description_and_picture(figures: list[go.Figure]) -> None:
    for figure in figures:
        svg = figure._bundle()["image/svg+xml"]
        assert (
            figure.layout.meta["caption"]
            and len(figure.layout.meta["alt"]) > len(figure.layout.title.text) + 5
        )
        assert (
            svg.startswith("<svg") and not _NAN.search(svg) and re.search(r"<(circle|path|rect)[^>]*>", svg)
        )


@given(st.lists(st.floats(0, 1), max_size=8))
def test_bounded_holds_the_values_and_no_more_than_a_share_can_be(values: list[float]) -> None:
    low, high = bounded(values)
    assert -0.021 <= low < high <= 1.021
    assert all(low <= value <= high for value in values)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8))
def test_log_ticks_are_few_and_rising(values: list[float]) -> None:
    ticks = log_ticks(values)
    assert 1 <= len(ticks) <= 7 and list(ticks) == sorted(set(ticks))
