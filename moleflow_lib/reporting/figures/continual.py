"""Figures of a sequence of tasks: the R matrices, and the control."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.reporting.figures.style import captioned, share_axis
from moleflow_lib.reporting.text.words import title

__all__ = ["control_comparison", "r_matrices"]


def r_matrices(result: ContinualResult, metric: str, seed: int) -> go.Figure:
    """R[i][j], the metric on task j after learning task i, with the task given and with it chosen.

    Where the two are equal, one matrix stands for both.
    """
    both = result.matrices[metric]
    panels = {"oracle: task given": both["oracle"], "routed: task chosen": both["routed"]}
    if both["oracle"] == both["routed"]:
        panels = {"oracle and routed": both["routed"]}
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.14)
    for column, matrix in enumerate(panels.values(), start=1):
        figure.add_heatmap(
            z=matrix,
            x=list(result.classes),
            y=list(result.classes),
            row=1,
            col=column,
            coloraxis="coloraxis",
            texttemplate="%{z:.3f}",
            hoverongaps=False,
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_yaxes(title="after learning", col=1)
    figure.update_xaxes(title="tested on")
    figure.update_layout(
        coloraxis={"colorscale": "Viridis", "cmin": 0, "cmax": 1, "colorbar_title": title(metric)}
    )
    return captioned(
        figure,
        f"R matrix, {title(metric)}",
        f"Seed {seed}. Read a column downwards: any change is forgetting. {_ways(len(panels))}",
        height=380 + 14 * len(result.classes),
    )


def _ways(panels: int) -> str:
    if panels == 1:
        return "Oracle and routed are equal here: no wrong route changed a value."
    return (
        "Oracle columns are constant by construction; routed ones fall where a later task attracts an "
        "earlier task's images."
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
