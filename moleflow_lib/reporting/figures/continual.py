"""Figures of a sequence of tasks: the R matrices, forgetting, and what each task costs."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.reporting.figures.style import captioned, share_axis, task_colour
from moleflow_lib.reporting.text.words import title
from moleflow_lib.scoring.task_parts import TaskHistory

__all__ = ["control_comparison", "metric_over_time", "r_matrices", "task_cost"]


def r_matrices(result: ContinualResult, metric: str, seed: int) -> go.Figure:
    """R[i][j], the metric on task j after learning task i, with the task given and with it chosen."""
    figure = make_subplots(
        1, 2, subplot_titles=["oracle: task given", "routed: task chosen"], horizontal_spacing=0.14
    )
    for column, way in enumerate(("oracle", "routed"), start=1):
        figure.add_heatmap(
            z=result.matrices[metric][way],
            x=list(result.classes),
            y=list(result.classes),
            row=1,
            col=column,
            coloraxis="coloraxis",
            texttemplate="%{z:.3f}",
            hoverongaps=False,
        )
    figure.update_yaxes(autorange="reversed", title="after learning", col=1)
    figure.update_yaxes(autorange="reversed", col=2)
    figure.update_xaxes(title="tested on")
    figure.update_layout(
        coloraxis={"colorscale": "Viridis", "cmin": 0, "cmax": 1, "colorbar_title": title(metric)}
    )
    return captioned(
        figure,
        f"R matrix, {title(metric)}",
        f"Seed {seed}. Read a column downwards: any change is forgetting. Oracle columns are constant by "
        "construction; routed ones fall where a later task attracts an earlier task's images.",
        height=380 + 14 * len(result.classes),
    )


def metric_over_time(result: ContinualResult, metric: str) -> go.Figure:
    """Each task's routed metric as more tasks are learned."""
    figure = go.Figure()
    shown: list[float | None] = []
    for j, name in enumerate(result.classes):
        values = [row[j] for row in result.matrices[metric]["routed"]]
        shown += values[j:]
        figure.add_scatter(
            x=list(result.classes[j:]),
            y=values[j:],
            name=name,
            mode="lines+markers",
            line_color=task_colour(j),
        )
    figure.update_xaxes(title="after learning", categoryorder="array", categoryarray=list(result.classes))
    figure.update_yaxes(title=f"routed {title(metric)}", **share_axis(shown))
    return captioned(
        figure,
        f"What later tasks do to earlier ones, {title(metric)}",
        "A flat line is a task that keeps what it learned. With a router, lines can only fall through wrong "
        "routes.",
    )


def task_cost(histories: Sequence[TaskHistory], base: int, per_task: int, prototype: int) -> go.Figure:
    """Values stored and seconds spent as tasks arrive."""
    names = [history.name for history in histories]
    figure = make_subplots(
        1, 2, subplot_titles=["values kept (millions)", "training time (s)"], horizontal_spacing=0.14
    )
    parts = {
        "shared base": [base] * len(names),
        "parts of tasks": [per_task * (i + 1) for i in range(len(names))],
        "prototypes": [prototype * (i + 1) for i in range(len(names))],
    }
    for name, values in parts.items():
        figure.add_bar(x=names, y=[v / 1e6 for v in values], name=name, row=1, col=1)
    figure.add_bar(
        x=names,
        y=[h.seconds for h in histories],
        row=1,
        col=2,
        showlegend=False,
        marker_color=[task_colour(i) for i in range(len(names))],
    )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title="task, in order of arrival")
    return captioned(
        figure,
        "What each task costs",
        "Left: all values kept after each task (LoRA, biases, adapters, stored patches; a prototype: mean "
        "and covariance). Right: seconds of training on this machine, features already cached; a task read "
        "from disk shows the time of its first run.",
    )


def control_comparison(
    result: ContinualResult, control: ContinualResult, backbone: str, control_backbone: str
) -> go.Figure:
    """The same run on a control backbone, task by task."""
    figure = go.Figure()
    for name, run, colour in ((backbone, result, "#0072B2"), (control_backbone, control, "#888888")):
        figure.add_bar(x=list(run.classes), y=run.final("image_auroc"), name=name, marker_color=colour)
    figure.add_hline(y=0.5, line_dash="dash", line_color="#8b929a", annotation_text="chance")
    figure.update_yaxes(title="routed image AUROC", **share_axis([0, 1]))
    figure.update_xaxes(title="task")
    return captioned(
        figure,
        "Is it the backbone?",
        "The same training on features of the control. What the control reaches as well is not owed to the "
        "backbone.",
    )
