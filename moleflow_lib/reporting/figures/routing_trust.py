"""Figures of how far the router can be trusted: its confidence, unknown products, images it nearly lost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.datasets import Record, load_image, load_mask
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.figures.style import DEFECTIVE, NORMAL, captioned, outlined
from moleflow_lib.rows import Rows
from moleflow_lib.studies.routing import CloseCall, RouterImages

__all__ = ["close_call_sheet", "reliability", "unknown_products"]

_SHARES = [0, 0.2, 0.4, 0.6, 0.8, 1]
_CELL = 160  # pixels of a tile


def reliability(rows: Rows, kinds: Sequence[str]) -> go.Figure:
    """Accuracy against stated confidence on test images, one panel a kind."""
    shown = [row for kind in dict.fromkeys(kinds) for row in rows if row["variant"] == kind]
    titles = [f"{row['variant']}, calibration error {row['ece']:.3f}" for row in shown]
    figure = make_subplots(
        1, max(1, len(shown)), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.06
    )
    for column, row in enumerate(shown, start=1):
        _add_reliability(figure, row["bins"], column)
    figure.update_xaxes(title="stated probability of the chosen task", range=[-0.03, 1.06], tickvals=_SHARES)
    figure.update_yaxes(range=[-0.03, 1.06], tickvals=_SHARES)
    figure.update_yaxes(title="share routed right", col=1)
    return captioned(
        figure,
        "Does the router know how sure it may be?",
        "Test images in ten bins of confidence, with their number and 95 % Wilson intervals. The temperature "
        "was fitted on held-out training images. Below the dashed line the router is too sure, above it too "
        "modest."
        if shown
        else "A single task leaves no doubt.",
    ).update_layout(margin_t=90)


def _add_reliability(figure: go.Figure, bins: Rows, column: int) -> None:
    """One panel: the line of a router that knows how sure it may be, and the bins."""
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"dash": "dash", "color": "#8b929a"},
        showlegend=False,
        row=1,
        col=column,
    )
    accuracy = np.array([b["accuracy"] for b in bins])
    figure.add_scatter(
        x=[b["confidence"] for b in bins],
        y=accuracy,
        mode="markers+text",
        row=1,
        col=column,
        showlegend=False,
        text=[str(b["images"]) for b in bins],
        textposition="middle left",
        textfont_size=11,
        marker={"color": NORMAL, "size": 10},
        error_y={
            "array": [b["high"] for b in bins] - accuracy,
            "arrayminus": accuracy - [b["low"] for b in bins],
        },
    )


def unknown_products(rows: Rows, accept: float) -> go.Figure:
    """False alarms and misses of "none of these", each product left out in turn."""
    bars = (
        ("false_alarm_normal", "false alarms, normal images", NORMAL, ""),
        ("false_alarm_defective", "known product refused, defective images", DEFECTIVE, ""),
        ("missed", "misses, unknown product", "#882255", ""),
        ("false_alarm_in_sample", "false alarms, limit without held-out images (in sample)", "#b5bac1", "/"),
    )
    figure = go.Figure()
    for key, label, colour, pattern in bars:
        figure.add_bar(
            x=[row["variant"] for row in rows],
            y=[row[key] for row in rows],
            name=label,
            marker_color=colour,
            marker_pattern_shape=pattern,
            text=[None if row[key] is None else f"{100 * row[key]:.0f} %" for row in rows],
            textposition="outside",
        )
    figure.add_hline(y=1 - accept, line_dash="dot", line_color="#8b929a")
    figure.update_yaxes(title="share of test images", range=[0, 1.08], tickvals=_SHARES)
    figure.update_xaxes(title="covariance estimate")
    figure.update_layout(legend={"orientation": "h", "y": -0.25})
    return captioned(
        figure,
        "None of these: a product never learned",
        f"Each task accepts what lies within the {100 * accept:.0f} % quantile of its own held-out training "
        f"distances (dotted: {100 * (1 - accept):.0f} % false alarms, what that promises for normal images). "
        "Misses: images of a product left out that some other task accepts, mean over products. Hatched: "
        "the same limit taken from images that the prototype has seen, which refuses good parts where "
        "dimensions are many and images few.",
        height=480,
    )


def close_call_sheet(
    evaluators: Sequence[TaskEvaluator], images: RouterImages, calls: Sequence[CloseCall]
) -> Sheet:
    """The test images with the smallest margins, beside typical ones of their own and the nearest task."""
    if not calls:
        alone = "With a single task no image can be sent to a wrong one."
        return Sheet(title="Expected failures", caption=alone, rows=[])
    typical = [
        _pixels(evaluator.task.train[int((x - x.mean(dim=0)).norm(dim=1).argmin())], evaluator)
        for evaluator, x in zip(evaluators, images.train, strict=True)
    ]
    cases = [_close_call(evaluators[call.task], images.names, typical, call) for call in calls]
    return Sheet(
        title="Expected failures: the smallest margins",
        rows=[("smallest margin first", cases)],
        caption="Each test image beside the training images nearest to the prototypes of its own task and of "
        "the nearest other one. Margin: distance to the nearest other task over that to its own, wrong below "
        "1. Green: the outline of a defect.",
    )


def _close_call(
    evaluator: TaskEvaluator, names: Sequence[str], typical: Sequence[np.ndarray], call: CloseCall
) -> Case:
    record = evaluator.task.test[call.image]
    image = _pixels(record, evaluator)
    if record.mask:
        image = outlined(image, load_mask(record.mask, _CELL, evaluator.config.data.resize))
    own = names[call.task]
    rival = names[call.rival]
    tiles = [
        Tile(picture=image, label="test image"),
        Tile(picture=typical[call.task], label=f"its task: {own}"),
        Tile(picture=typical[call.rival], label=f"nearest other: {rival}"),
    ]
    verdict = f"sent to {rival}, WRONG" if call.wrong else "sent to its own task"
    return Case(tiles=tiles, name=f"{verdict}, margin {call.margin:.2f}, {own}, {record.image.name}")


def _pixels(record: Record, evaluator: TaskEvaluator) -> np.ndarray:
    return load_image(record.image, _CELL, evaluator.config.data.resize)
