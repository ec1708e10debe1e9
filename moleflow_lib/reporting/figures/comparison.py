"""Figure of the method beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from moleflow_lib.metrics import HEADLINES
from moleflow_lib.reporting.figures.style import captioned, share_axis
from moleflow_lib.reporting.text.words import title
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison, Estimate

__all__ = ["error_bars", "method_intervals"]

_WAYS = (("routed", "circle", 0.12), ("oracle", "circle-open", -0.12))  # marker, and how far above its line


def method_intervals(comparison: Comparison) -> go.Figure:
    """Every method's mean over tasks of each headline metric, with interval; filled routed, open oracle."""
    figure = make_subplots(1, len(HEADLINES), subplot_titles=[title(m) for m in HEADLINES], shared_yaxes=True)
    names = list(comparison.runs)
    for column, metric in enumerate(HEADLINES, start=1):
        for way, symbol, lift in _WAYS:
            means = [comparison.mean(name, metric, way) for name in names]
            figure.add_scatter(
                x=[mean.value for mean in means],
                y=[lift - row for row in range(len(names))],
                error_x=error_bars(means),
                mode="markers",
                name=way,
                legendgroup=way,
                showlegend=column == 1,
                row=1,
                col=column,
                marker={
                    "symbol": symbol,
                    "size": 9,
                    "color": ["#D55E00" if name == METHOD else "#0072B2" for name in names],
                },
            )
        figure.update_xaxes(**share_axis(_reached(comparison, names, metric)), col=column)
    figure.update_yaxes(
        tickvals=[-row for row in range(len(names))], ticktext=[title(name) for name in names]
    )
    figure.update_xaxes(title="mean over tasks")
    return captioned(
        figure,
        "Against baselines",
        f"Seed(s) {', '.join(map(str, comparison.seeds))}; {len(comparison.classes)} task(s). Bars: 95 % "
        "bootstrap intervals over test images and seeds. Methods share their test images, so overlapping "
        "bars can still differ surely: see the paired differences. A single model (fine-tuned, joint) has "
        "no routes, so both marks agree.",
        height=150 + 46 * len(names),
    )


def _reached(comparison: Comparison, names: list[str], metric: str) -> list[float | None]:
    """All values and ends of intervals that one panel shows."""
    means = [comparison.mean(name, metric, way) for name in names for way, *_ in _WAYS]
    return [number for mean in means for number in (mean.value, *(mean.interval or ()))]


def error_bars(estimates: Sequence[Estimate]) -> dict[str, object]:
    """Error bars from the value to both ends of its interval; none where undefined."""
    known = [
        (0.0, 0.0, 0.0) if e.value is None or e.interval is None else (e.value, *e.interval)
        for e in estimates
    ]
    return {
        "type": "data",
        "symmetric": False,
        "arrayminus": [max(value - low, 0.0) for value, low, _ in known],
        "array": [max(high - value, 0.0) for value, _, high in known],
        "color": "#8b929a",
    }
