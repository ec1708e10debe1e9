"""Figures of ablations: differences to the preset with their spread over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from moleflow_lib.figures.style import captioned

__all__ = ["cost_against_gain", "switch_differences"]


def switch_differences(differences: Sequence[Mapping[str, object]], metric: str, classes: Sequence[str]) -> go.Figure:
    """Each switch's paired difference to the preset; bars are one sample standard deviation."""
    shown = [row for row in differences if row["switch"] != "preset" and row["difference"] is not None]
    shown.sort(key=lambda row: row["difference"])
    figure = go.Figure(go.Scatter(
        x=[row["difference"] for row in shown], y=[row["switch"] for row in shown], mode="markers",
        error_x={"array": [row["spread"] or 0 for row in shown]}, marker={"size": 10, "color": "#0072B2"},
    ))
    figure.add_vline(x=0, line_color="#8b929a")
    figure.update_xaxes(title=f"difference in {metric} to the preset (routed, mean over tasks)")
    seeds = max((row["seeds"] for row in shown), default=0)
    return captioned(
        figure, f"One change at a time, {metric}",
        f"Tasks: {', '.join(classes)}; {seeds} seed(s), paired by seed. Left of zero: worse than the preset. A spread "
        "that crosses zero decides nothing.", height=160 + 26 * len(shown),
    ).update_layout(margin={"l": 150})


def cost_against_gain(rows: Sequence[Mapping[str, object]], metric: str) -> go.Figure:
    """Values per task against the metric, one point a run."""
    figure = go.Figure()
    for switch in dict.fromkeys(row["switch"] for row in rows):
        own = [row for row in rows if row["switch"] == switch and row[metric] is not None]
        figure.add_scatter(
            x=[row["per_task"] / 1e3 for row in own], y=[row[metric] for row in own], name=switch, mode="markers",
            marker={"size": 9, "symbol": "star" if switch == "preset" else "circle"},
        )
    figure.update_xaxes(title="values kept per task (thousands)")
    figure.update_yaxes(title=f"routed {metric}, mean over tasks")
    return captioned(
        figure, "What the parts cost", "One point a seed. Up and to the left is better: more detection for fewer values.",
    )
