"""Figures of ablations: differences with their intervals, costs, orders, low-rank updates, score tails, the
public record.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.errors import counted
from moleflow_lib.reporting.figures.plotly_parts import traces
from moleflow_lib.reporting.figures.style import captioned, share_axis, task_colour
from moleflow_lib.reporting.text.words import title
from moleflow_lib.rows import Rows
from moleflow_lib.studies.ablation.orders import order_runs

__all__ = [
    "lora_size_and_rank",
    "orders_by_class",
    "record_beside_ours",
    "score_tails",
    "variation_differences",
]

_WORSE, _BETTER, _OPEN = "#D55E00", "#0072B2", "#8b929a"
_SIGN_COLOURS = {-1: _WORSE, 1: _BETTER}


def variation_differences(differences: Rows, metric: str, classes: Sequence[str]) -> go.Figure:
    """Each variation's paired difference to the preset with its 95 % interval over seeds."""
    shown = sorted(
        (row for row in differences if row["variation"] != "preset" and row["difference"] is not None),
        key=lambda row: row["difference"],
    )
    figure = go.Figure(
        go.Scatter(
            x=[row["difference"] for row in shown],
            y=[row["variation"] for row in shown],
            mode="markers",
            error_x=_bars(shown),
            marker={"size": 10, "color": [_SIGN_COLOURS.get(row["sign"], _OPEN) for row in shown]},
        )
    )
    figure.add_vline(x=0, line_color=_OPEN)
    figure.update_xaxes(title=f"difference in {title(metric)} to the preset (routed, mean over tasks)")
    seeds = max((row["seeds"] for row in shown), default=0)
    bars = (
        "Bars: Student-t 95 % interval over seeds"
        if seeds > 1
        else "One seed: no intervals, nothing is decided"
    )
    return captioned(
        figure,
        f"One change at a time, {title(metric)}",
        f"Tasks: {', '.join(classes)}; {counted(seeds, 'seed')}, paired by seed. Left of zero: worse than "
        f"the preset. {bars}; grey ones hold zero and decide nothing.",
        height=160 + 26 * len(shown),
    ).update_layout(margin={"l": 150})


def orders_by_class(rows: Rows, metric: str) -> go.Figure:
    """Each class's metric under each order of tasks, one point a seed; a star where the class came first."""
    figure = go.Figure()
    for index, (order, own) in enumerate(order_runs(rows).items()):
        points = [
            (name, row["per_class"][name][metric], "star" if name == row["order"][0] else "circle")
            for row in own
            for name in row["order"]
        ]
        points += [("mean", row[metric], "line-ew-open") for row in own]
        figure.add_scatter(
            x=[x for x, _, _ in points],
            y=[y for _, y, _ in points],
            name=order,
            mode="markers",
            marker={"size": 11, "symbol": [symbol for _, _, symbol in points], "color": task_colour(index)},
        )
    figure.update_layout(scattermode="group", legend={"orientation": "h", "y": -0.2})
    figure.update_xaxes(type="category")
    values = [y for trace in traces(figure) for y in trace.y if y is not None]
    figure.update_yaxes(title=f"routed {title(metric)}", **share_axis(values))
    return captioned(
        figure,
        f"Order of tasks, {title(metric)}",
        "The unchanged preset under each order, one point a seed. A star: the class was the "
        "base task. If colours lie further apart than points of one colour, the order matters more than the "
        "seed.",
    )


def lora_size_and_rank(updates: Rows) -> go.Figure:
    """Relative norm and effective rank of every learned low-rank update, layer by layer."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=("size beside the weight", "effective rank"))
    for index, task in enumerate(dict.fromkeys(row["task"] for row in updates)):
        own = [row for row in updates if row["task"] == task]
        for column, number in enumerate(("relative_norm", "effective_rank"), start=1):
            figure.add_scatter(
                x=[f"{row['block']}.{row['layer'][-1]}" for row in own],
                y=[row[number] for row in own],
                name=str(task),
                mode="markers+lines",
                marker={"color": task_colour(index)},
                legendgroup=str(task),
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_xaxes(title="block.layer", type="category")
    figure.update_yaxes(title="‖α/r·B·A‖ / ‖W‖", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="effective rank", rangemode="tozero", row=1, col=2)
    most = max((row["rank"] for row in updates), default=0)
    scale = (
        f"α/r = {updates[0]['scale']:.3g}, rank at most {most}." if updates else "It has no low-rank updates."
    )
    return captioned(
        figure,
        "Low-rank updates as learned",
        f"The preset, its first seed. {scale} Near zero on the left: the updates hardly "
        "change the shared flow, whatever their rank.",
    )


def score_tails(tails: Rows) -> go.Figure:
    """Normal test patches' quantiles and the defects' median, in units of the 95 % quantile's distance to the
    median.
    """
    places, figure = ("99 %", "99.9 %", "defects"), go.Figure()
    shown = [row for row in tails if row["images"] == "normal test" and row["95 %"]]
    for index, variation in enumerate(dict.fromkeys(row["variation"] for row in shown)):
        points = [
            (place, row[place] / row["95 %"], row["class"])
            for row in shown
            if row["variation"] == variation
            for place in places
            if row[place] is not None
        ]
        figure.add_scatter(
            x=[x for x, _, _ in points],
            y=[y for _, y, _ in points],
            text=[name for _, _, name in points],
            name=variation,
            mode="markers",
            marker={"size": 10, "color": task_colour(index)},
        )
    figure.update_layout(scattermode="group")
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=places)
    figure.update_yaxes(title="distance to the median (95 % = 1)")
    return captioned(
        figure,
        "The tail of patch scores",
        "One point a class, mean over seeds. A tail loss that works pulls 99 % and 99.9 % of "
        "the normal patches down and leaves the median of the defect patches up.",
    )


def record_beside_ours(agreement: Rows) -> go.Figure:
    """Published differences beside ours with their intervals."""
    shown = [row for row in agreement if row["published"] is not None]
    names = [f"{row['variation']}, {row['metric']}" for row in shown]
    figure = go.Figure(
        go.Scatter(
            x=[row["difference"] for row in shown],
            y=names,
            mode="markers",
            name="here",
            error_x=_bars(shown),
            marker={"size": 10, "color": _BETTER},
        )
    )
    figure.add_scatter(
        x=[row["published"] for row in shown],
        y=names,
        mode="markers",
        name="public record",
        marker={"size": 11, "symbol": "diamond-open", "color": _WORSE},
    )
    figure.add_vline(x=0, line_color=_OPEN)
    figure.update_xaxes(title="difference to the unchanged method")
    return captioned(
        figure,
        "Beside the public record",
        "Published numbers come from other data, backbones and settings: what can be compared "
        "is the sign, and the size only roughly. A diamond outside our bar: we do not reproduce it.",
        height=180 + 26 * len(shown),
    ).update_layout(margin={"l": 210})


def _bars(rows: Rows) -> dict[str, object]:
    """Error bars from intervals; none where there is none."""
    return {"array": [0 if row["high"] is None else row["high"] - row["difference"] for row in rows]}
