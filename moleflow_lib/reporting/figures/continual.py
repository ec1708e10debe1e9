"""Figures of a sequence of tasks: the R matrices, and the control."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.reporting.figures.style import captioned, share_axis
from moleflow_lib.reporting.text.words import title

__all__ = ["control_comparison", "r_matrices"]


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
