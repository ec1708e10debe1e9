"""Figures of the router: confusion, margins, accuracy of each estimate, what a wrong route would cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.reporting.figures.style import (
    DEFECTIVE,
    NORMAL,
    captioned,
    log_ticks,
    share_axis,
    task_colour,
)
from moleflow_lib.rows import Rows
from moleflow_lib.studies.routing import RoutingCase

__all__ = ["confusion_matrix", "margins", "variant_accuracy", "wrong_route_matrix"]


def confusion_matrix(names: Sequence[str], case: RoutingCase, kind: str) -> go.Figure:
    """Where the images of each task are sent."""
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, (case.truth, case.chosen), 1)
    share = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = go.Figure(
        go.Heatmap(
            z=share,
            x=list(names),
            y=list(names),
            text=counts,
            texttemplate="%{text}",
            colorscale="Viridis",
            zmin=0,
            zmax=1,
            colorbar_title="share",
        )
    )
    figure.update_yaxes(autorange="reversed", title="true task")
    figure.update_xaxes(title="chosen task")
    return captioned(
        figure,
        f"Routing confusion ({kind})",
        f"All {len(case.truth)} labelled test images, numbers are images. Off the diagonal, an image is "
        "scored with foreign parts.",
        height=360 + 14 * len(names),
    )


def margins(names: Sequence[str], case: RoutingCase, kind: str) -> go.Figure:
    """How clearly each image belongs to its task."""
    figure = go.Figure()
    for task, name in enumerate(names):
        for label, what in ((0, "normal"), (1, "defective")):
            own = case.margin[(case.truth == task) & (case.labels == label)]
            figure.add_box(
                y=own,
                name=f"{name}, {what}",
                marker_color=task_colour(task),
                boxpoints="outliers",
                fillcolor="white" if label else None,
                showlegend=False,
            )
    ticks = log_ticks([1, *case.margin])
    figure.update_yaxes(title="nearest other distance / own distance", type="log", tickvals=ticks)
    figure.add_hline(y=1, line_dash="dash", line_color="#D55E00")
    figure.add_annotation(
        x=0, xref="paper", y=0, text="wrong below", showarrow=False, yanchor="top", xanchor="left"
    )  # log10(1)
    return captioned(
        figure,
        f"Routing margins ({kind})",
        "Distance to the nearest foreign prototype over the distance to the own one. Filled: normal images, "
        "open: defective ones. A defect that pulls its image towards 1 endangers its own detection.",
    )


def variant_accuracy(rows: Rows) -> go.Figure:
    """Routing accuracy of each covariance estimate with its interval, normal and defective images apart."""
    names = [row["variant"] for row in rows]
    figure = go.Figure()
    bars = (
        ("accuracy_normal", "normal images", NORMAL),
        ("accuracy_anomalous", "defective images", DEFECTIVE),
    )
    for key, label, colour in bars:
        known = [row for row in rows if row[key] is not None]
        above, below = ([abs(row[f"{key}_{end}"] - row[key]) for row in known] for end in ("high", "low"))
        figure.add_bar(
            x=[row["variant"] for row in known],
            y=[row[key] for row in known],
            name=label,
            marker_color=colour,
            error_y={"type": "data", "array": above, "arrayminus": below},
        )
    figure.update_yaxes(title="routing accuracy", **share_axis([0, 1]))
    figure.update_xaxes(title="covariance estimate", categoryarray=names)
    return captioned(
        figure,
        "Which distance routes best",
        "Share of test images sent to their own task, with 95 % Wilson intervals: other images of the same "
        "products. All variants share the same prototypes.",
    )


def wrong_route_matrix(
    names: Sequence[str], rows: Rows, metrics: Sequence[str] = ("image_auroc", "pixel_ap")
) -> go.Figure:
    """Metrics of each task when all its images are sent to one task's parts, one panel a metric."""
    size = len(names)
    figure = make_subplots(
        1, len(metrics), subplot_titles=metrics, shared_yaxes=True, horizontal_spacing=0.04
    )
    for column, metric in enumerate(metrics, start=1):
        values = np.array([row[metric] for row in rows], dtype=float).reshape(size, size)
        figure.add_heatmap(
            z=values,
            x=list(names),
            y=list(names),
            texttemplate="%{z:.3f}",
            coloraxis="coloraxis",
            row=1,
            col=column,
        )
    figure.update_layout(coloraxis={"colorscale": "Viridis", "cmin": 0, "cmax": 1})
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(title="task of the images", col=1)
    figure.update_xaxes(title="parts they are scored with")
    return captioned(
        figure,
        "What a wrong choice would cost",
        "Not what the router did. Diagonal: right parts. The rest of a row: if all images of the task were "
        "sent to one other. Mixed routes could cost more still. Empty: no masks.",
        height=410 + 14 * size,
    ).update_layout(margin_t=90)
