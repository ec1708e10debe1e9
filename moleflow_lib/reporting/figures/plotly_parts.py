"""The parts of a plotly figure, whose attributes plotly makes when it runs and declares nowhere."""

from __future__ import annotations

from typing import Any, TypeAlias

import plotly.graph_objects as go

__all__ = ["Axis", "Layout", "Note", "Trace", "axes", "layout", "traces"]

Trace: TypeAlias = Any  # go.Scatter, go.Bar, …
Axis: TypeAlias = Any  # go.layout.XAxis or YAxis
Note: TypeAlias = Any  # go.layout.Annotation
Layout: TypeAlias = Any  # go.Layout


def traces(figure: go.Figure) -> tuple[Trace, ...]:
    """What a figure draws, in the order it was added.

    >>> [trace.name for trace in traces(go.Figure(go.Scatter(name="one")))]
    ['one']
    """
    return tuple(figure.data)


def layout(figure: go.Figure) -> Layout:
    """A figure's title, size, axes, notes and lines."""
    return figure.layout


def axes(figure: go.Figure, letters: str = "xy") -> list[Axis]:
    """A figure's axes, those of the first letter first."""
    return [axis for letter in letters for axis in getattr(figure, f"select_{letter}axes")()]
