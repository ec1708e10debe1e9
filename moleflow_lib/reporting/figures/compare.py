"""Figure of runs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.reporting.compare.differences import Measured
from moleflow_lib.reporting.figures.comparison import error_bars
from moleflow_lib.reporting.figures.style import captioned, task_colour
from moleflow_lib.reporting.text.words import title
from moleflow_lib.studies.baselines.comparison import Estimate

__all__ = ["difference_intervals"]

_ROW = 34  # pixels
_LONGEST = 16  # letters


def difference_intervals(
    found: Sequence[Measured], metrics: Sequence[str], labels: Sequence[str]
) -> go.Figure:
    """Each later run minus the first, a panel a metric, a line a task, with paired intervals.

    Args:
        found: from `measured`.
        metrics: which of them.
        labels: of the runs, the reference first.
    """
    figure = make_subplots(1, len(metrics), subplot_titles=[title(m) for m in metrics], shared_yaxes=True)
    tasks = list(dict.fromkeys(row.task for row in found))
    for column, metric in enumerate(metrics, start=1):
        rows = [row for row in found if row.metric == metric]
        for place, label in enumerate(labels[1:]):
            gaps = [row.differences[place] for row in rows]
            figure.add_scatter(
                x=[gap.value for gap in gaps],
                y=[_height(n, place, len(labels) - 1) for n in range(len(rows))],
                error_x=error_bars(gaps),
                mode="markers",
                marker={"size": 9, "color": task_colour(place)},
                name=label,
                legendgroup=label,
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(range=_ends([gap for row in rows for gap in row.differences]), col=column)
    figure.add_vline(x=0, line_dash="dash", line_color="#8b929a", row="all", col="all")
    figure.update_yaxes(tickvals=[-n for n in range(len(tasks))], ticktext=[_short(task) for task in tasks])
    figure.update_xaxes(title="difference")
    return captioned(
        figure,
        f"Differences from {labels[0]}",
        "Routed, after the last task. Right of the line: better than the first run. Bars: 95 % intervals of "
        "the paired difference; one that crosses the line is undecided.",
        height=190 + _ROW * len(tasks),
    )


def _ends(gaps: Sequence[Estimate]) -> list[float]:
    """Ends of an axis that holds zero and every interval whole."""
    known = [number for gap in gaps for number in (gap.value, *(gap.interval or ())) if number is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    pad = 0.06 * (high - low) or 0.01
    return [low - pad, high + pad]


def _short(name: str) -> str:
    """A name that fits beside a panel."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _height(row: int, place: int, runs: int) -> float:
    """Where a run's mark stands on a task's line: all within a third of it."""
    return -row + (0.33 * (0.5 - place / (runs - 1)) if runs > 1 else 0.0)
