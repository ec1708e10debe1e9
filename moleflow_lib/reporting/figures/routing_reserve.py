"""Figures of the router's reserve: few images, one small task, products that lie closer, more tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.reporting.figures.plotly_parts import traces
from moleflow_lib.reporting.figures.style import captioned, share_axis, task_colour
from moleflow_lib.routing.covariances import COVARIANCES
from moleflow_lib.rows import Rows
from moleflow_lib.studies.routing import RouterImages, pair_curves
from moleflow_lib.studies.routing.mean_shrinkage import GAPS

__all__ = ["accuracy_by_images", "pair_errors", "reserve", "small_task"]

_LOOK = {  # kind → line; colours that the first tasks do not use, dashes and symbols for those that see none
    kind: {"line": {"color": task_colour(6 + i), "dash": dash}, "marker": {"symbol": symbol, "size": 8}}
    for i, (kind, dash, symbol) in enumerate(
        zip(
            COVARIANCES,
            ("solid", "dash", "dot", "solid", "dashdot", "longdash"),
            ("circle", "square", "diamond", "star", "x", "triangle-up"),
            strict=True,
        )
    )
}


def accuracy_by_images(rows: Rows, images: RouterImages) -> go.Figure:
    """Routing accuracy against the number of training images a prototype is made of."""
    figure = go.Figure()
    for place, kind in enumerate(COVARIANCES):
        own = [row for row in rows if row["variant"] == kind and row["accuracy"] is not None]
        apart = [row["images"] * 1.02 ** (place - 2.5) for row in own]
        reach = {
            "array": [row["high"] - row["accuracy"] for row in own],
            "arrayminus": [row["accuracy"] - row["low"] for row in own],
        }
        figure.add_scatter(
            x=apart,
            y=[row["accuracy"] for row in own],
            name=kind,
            error_y=reach,
            text=[f"{row['images']} images" for row in own],
            hovertemplate="%{text}: %{y}",
            **_LOOK[kind],
        )
    sizes, dim = sorted({row["images"] for row in rows}), len(images.test[0]) if len(images.test) else 0
    figure.update_xaxes(
        title="training images a task",
        type="log",
        tickvals=_apart(sizes),
        ticktext=[str(size) if size != sizes[-1] else f"all ({size})" for size in _apart(sizes)],
    )
    reached = [row[end] for row in rows for end in ("low", "high")]
    figure.update_yaxes(title="routing accuracy", **share_axis(reached))
    smallest = min(len(x) for x in images.train)
    return captioned(
        figure,
        "How many images does a prototype need?",
        f"All test images; mean and range over {rows[0]['draws']} draws (seed {images.seed}). Left of "
        f"{smallest}, the size of the smallest task, all tasks have equally many; right of it the tasks "
        f"become as unequal as they are. A covariance of n images in {dim} dimensions is singular while n ≤ "
        f"{dim}. Points are set apart sideways to be seen.",
        height=460,
    )


def small_task(rows: Rows, images: RouterImages) -> go.Figure:
    """What happens when one task has few images and the others all of theirs; the task that fares worst."""
    figure = make_subplots(1, 2, subplot_titles=["its own images that stay", "foreign images it draws in"])
    for kind in COVARIANCES:
        own = [row for row in rows if row["variant"] == kind and row["kept"] is not None]
        sizes = sorted({row["images"] for row in own})
        for column, (key, worst) in enumerate((("kept", min), ("drawn_in", max)), start=1):
            known = {n: [r for r in own if r["images"] == n and r[key] is not None] for n in sizes}
            picked = [worst(found, key=lambda row, key=key: row[key]) for found in known.values() if found]
            figure.add_scatter(
                x=[row["images"] for row in picked],
                y=[row[key] for row in picked],
                name=kind,
                showlegend=column == 1,
                text=[f"{row['task']}, most lost to {row['lost_to']}" for row in picked],
                row=1,
                col=column,
                **_LOOK[kind],
            )
    ticks = _apart({row["images"] for row in rows})
    figure.update_xaxes(title="training images of the small task", type="log", tickvals=ticks)
    figure.update_yaxes(title="share of test images", col=1)
    figure.update_yaxes(**{**share_axis([]), "range": [-0.03, 1.03]})
    return captioned(
        figure,
        "One small task among full ones",
        f"Each task in turn is given few training images; shown is the worst of {len(images.names)} tasks "
        f"(hover: which). 3 draws, seed {images.seed}. Distances under a fixed ridge grow as n shrinks, so "
        "the small task's images leave it. Lines at the edge lie on top of each other.",
    ).update_layout(margin_t=90)


def pair_errors(images: RouterImages, kinds: Sequence[str]) -> go.Figure:
    """Errors between every two tasks while the gap between them shrinks, one panel a kind."""
    kinds = list(dict.fromkeys(kinds))
    figure = make_subplots(1, len(kinds), subplot_titles=kinds, shared_yaxes=True, horizontal_spacing=0.05)
    for column, kind in enumerate(kinds, start=1):
        for (i, j), curve in pair_curves(images, kind).items():
            gaps, name = images.separation[i, j] * np.array(GAPS), f"{images.names[i]} – {images.names[j]}"
            look = {"color": task_colour(i), "width": 2}
            marker = {"color": task_colour(j), "size": 10, "line": look}
            figure.add_scatter(
                x=gaps, y=1 - curve, mode="lines", line=look, name=name, showlegend=False, row=1, col=column
            )
            figure.add_scatter(
                x=gaps[:1],
                y=1 - curve[:1],
                mode="markers",
                marker=marker,
                name=name,
                showlegend=False,
                row=1,
                col=column,
            )
    for task, name in enumerate(images.names):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", marker={"color": task_colour(task), "size": 10}, name=name
        )
    figure.update_xaxes(title="separation of the two means (in units of spread)", rangemode="tozero")
    figure.update_yaxes(title="share sent to the other task", col=1)
    figure.update_yaxes(**share_axis(y for trace in traces(figure) for y in trace.y))
    return captioned(
        figure,
        "Error against similarity, pair by pair",
        "Dots: the pairs as they are, in the colours of both tasks (hover for names), each as if there were "
        "no other task. Lines: a stress test on moved features, the same images with the gap shrunk towards "
        "0; no camera took them.",
    ).update_layout(margin_t=90)


def reserve(rows: Rows, images: RouterImages) -> go.Figure:
    """Accuracy while all gaps shrink, and while tasks are added."""
    figure = make_subplots(
        1, 2, subplot_titles=["all gaps shrunk (moved features)", "tasks added"], horizontal_spacing=0.1
    )
    for kind in COVARIANCES:
        _add_reserve(figure, kind, [row for row in rows if row["variant"] == kind], images)
    # plotly takes numbers too
    figure.add_hline(y=0.99, line_dash="dot", line_color="#8b929a", row=1, col=1)  # pyright: ignore[reportArgumentType]
    _set_reserve_axes(figure, rows, images)
    return captioned(
        figure,
        "How much reserve is there?",
        "Left, a stress test on moved features: all tasks are moved towards their common centre, each keeps "
        "its scatter; dotted: 99 %. Right: mean and range over orders of arrival drawn at random (seed "
        f"{images.seed}).",
    ).update_layout(margin_t=90)


def _add_reserve(figure: go.Figure, kind: str, own: Rows, images: RouterImages) -> None:
    """One estimate's curve over shrunk gaps, and its points over the number of tasks."""
    if len(images.test):
        figure.add_scatter(
            x=GAPS, y=images.moved[kind].curve(), name=kind, mode="lines", line=_LOOK[kind]["line"]
        )
    reach = {
        "array": [row["high"] - row["accuracy"] for row in own],
        "arrayminus": [row["accuracy"] - row["low"] for row in own],
    }
    figure.add_scatter(
        x=[row["tasks"] for row in own],
        y=[row["accuracy"] for row in own],
        error_y=reach,
        showlegend=False,
        name=kind,
        row=1,
        col=2,
        **_LOOK[kind],
    )


def _set_reserve_axes(figure: go.Figure, rows: Rows, images: RouterImages) -> None:
    """Titles, and ends that hold what each panel shows."""
    figure.update_xaxes(title="share of the gaps that is left", col=1)
    figure.update_xaxes(title="tasks known", dtick=max(1, len(images.names) // 8), col=2)
    figure.update_yaxes(title="routing accuracy", col=1)
    for column, ends in (
        (1, [0.99, *(y for trace in traces(figure) if trace.xaxis != "x2" for y in trace.y)]),
        (2, [row[end] for row in rows for end in ("low", "high")]),
    ):
        figure.update_yaxes(**share_axis(ends), col=column)
    figure.update_xaxes(range=[max(GAPS), min(GAPS)], autorange=False, col=1)


def _apart(sizes: Iterable[int]) -> list[int]:
    """Numbers of images to label on a logarithmic axis, none so near to the next that labels touch."""
    kept: list[int] = []
    for size in sorted(sizes, reverse=True):
        if not kept or kept[-1] / size >= (1.6 if len(kept) == 1 else 1.25):
            kept.append(size)
    return kept[::-1]
