"""Figures of learning one task: curves, the latent, scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.reporting.figures.heat_maps import heat_map_cases
from moleflow_lib.reporting.figures.style import DEFECTIVE, NORMAL, captioned, task_colour
from moleflow_lib.scoring.task_parts import TaskHistory
from moleflow_lib.studies.features_and_latents import LatentReport

__all__ = ["heat_map_cases", "latent_gaussianity", "score_histogram", "training_curves"]


def training_curves(histories: Sequence[TaskHistory], seed: int) -> go.Figure:
    """Loss, log-determinant and latent energy over epochs, one line a task."""
    panels = {"loss": "loss", "log_det": "log-determinant", "energy": "½‖z‖²"}
    figure = make_subplots(1, 3, subplot_titles=list(panels.values()), horizontal_spacing=0.08)
    for index, history in enumerate(histories):
        epochs = list(range(1, len(history.curves["loss"]) + 1))
        for column, curve in enumerate(panels, start=1):
            figure.add_scatter(
                x=epochs,
                y=history.curves[curve],
                name=history.name,
                legendgroup=history.name,
                row=1,
                col=column,
                showlegend=column == 1,
                line_color=task_colour(index),
                mode="lines",
            )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title="nats per patch", col=1)
    steps = ", ".join(f"{history.name} {history.steps}" for history in histories)
    return captioned(
        figure,
        "Training curves",
        f"Means over each epoch's training patches; steps: {steps}; seed {seed}. Between tasks the "
        "level differs with their features; the slope at the end says what more steps would still move, "
        "not whether defects would be found better.",
    )


def latent_gaussianity(report: LatentReport, dim: int) -> go.Figure:
    """Quantiles of z against the standard normal, and the energy of each patch."""
    figure = make_subplots(
        1, 2, subplot_titles=["quantiles of z", "‖z‖²/D of each patch"], horizontal_spacing=0.12
    )
    ideal = report.quantiles[0]
    figure.add_scatter(
        x=ideal, y=ideal, mode="lines", line={"color": "#8b929a", "dash": "dash"}, name="standard normal"
    )
    figure.add_scatter(x=ideal, y=report.quantiles[1], mode="lines", line_color=NORMAL, name="z")
    figure.add_histogram(
        x=report.energy, row=1, col=2, marker_color=NORMAL, nbinsx=60, name="patches", showlegend=False
    )
    # plotly takes numbers too
    figure.add_vline(x=1, line_dash="dash", line_color="#8b929a", row=1, col=2)  # pyright: ignore[reportArgumentType]
    figure.update_xaxes(title="standard normal quantile", col=1)
    figure.update_yaxes(title="quantile of z", col=1)
    figure.update_xaxes(title="‖z‖²/D", col=2)
    figure.update_yaxes(title="patches", col=2)
    return captioned(
        figure,
        "Is the latent Gaussian?",
        f"{report.images.capitalize()}, all {dim} channels; Kolmogorov–Smirnov distance "
        f"{report.ks_distance:.3f}. A perfect flow follows the dashed line and centres the energy at 1; "
        "heavier tails mean likelihoods that overstate rarity.",
    )


def score_histogram(evaluator: TaskEvaluator) -> go.Figure:
    """Image scores of normal and defective test images under the task's own parts."""
    scores = evaluator.image_scores(evaluator.task.index)
    heights = np.log10(scores - scores.min() + 1)
    bins = {"start": 0, "end": float(heights.max()) + 0.1, "size": max(float(heights.max()), 0.1) / 40}
    figure = go.Figure()
    for label, name, colour in ((0, "normal", NORMAL), (1, "defective", DEFECTIVE)):
        own = heights[evaluator.labels == label]
        figure.add_histogram(
            x=own, name=f"{name} (n={len(own)})", marker_color=colour, opacity=0.6, xbins=bins
        )
    figure.update_layout(barmode="overlay")
    decades = np.arange(int(heights.max()) + 1)
    figure.update_xaxes(
        title=f"image score above the lowest ({evaluator.config.score.image_unit} + 1)",
        tickvals=decades,
        ticktext=[f"{10.0**d:g}" for d in decades],
    )
    kinds = [heights[evaluator.labels == label] for label in (0, 1)]
    tallest = max(np.histogram(own, _edges(bins))[0].max() for own in kinds)
    figure.update_yaxes(title="test images", dtick=max(1, int(tallest) // 6), rangemode="tozero")
    return captioned(
        figure,
        f"Scores of {evaluator.task.name}",
        "Test images under their own task's parts, on a logarithmic axis: right is more anomalous. "
        "What overlaps cannot be told apart by any threshold.",
    )


def _edges(bins: dict[str, float]) -> np.ndarray:
    """Where the bins of a histogram begin and end."""
    return np.arange(bins["start"], bins["end"] + bins["size"], bins["size"])
