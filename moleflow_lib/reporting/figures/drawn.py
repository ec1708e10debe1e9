"""A figure that every viewer can show: data for plotly.js, an SVG picture for the rest, its caption."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import unescape

import plotly.graph_objects as go
from IPython.display import display

from moleflow_lib.reporting.escaping import html_text, plot_text
from moleflow_lib.reporting.figures.plotly_parts import Trace, axes, layout, traces
from moleflow_lib.reporting.figures.static import as_svg, numbers

__all__ = ["Drawn", "described", "with_plain_labels"]

_LABELS = ("name", "x", "y", "text", "hovertext", "legendgroup", "customdata")
_KINDS = {
    "scatter": "Points",
    "bar": "Bars",
    "heatmap": "Heat map",
    "box": "Box plot",
    "violin": "Violin plot",
    "histogram": "Histogram",
}


class Drawn(go.Figure):
    """A plotly figure with a caption, shown as two outputs: the figure and the caption.

    JupyterLab draws the data, plain nbconvert and GitHub show the picture, and all show the caption,
    which is an output of its own because a viewer shows one kind of each output only.
    """

    def _ipython_display_(self) -> None:
        display(self._bundle(), raw=True)
        caption = html_text((layout(self).meta or {}).get("caption", ""))
        display(
            {"text/html": f'<p class="caption"><em>{caption}</em></p>', "text/plain": unescape(caption)},
            raw=True,
            metadata={"moleflow": "caption"},
        )

    def _bundle(self) -> dict[str, object]:
        """The figure in every form a viewer may ask for."""
        figure = json.loads(str(self.to_json()))
        title = unescape(str(layout(self).title.text or ""))
        pictures = {"application/vnd.plotly.v1+json": figure, "image/svg+xml": as_svg(self)}
        return {**pictures, "text/plain": f"Figure: {title}"}


def with_plain_labels(figure: go.Figure) -> go.Figure:
    """The figure with every label as text (plotly reads some HTML) and names as categories, not numbers."""
    for trace in traces(figure):
        _name_axes(figure, trace)
        trace.update({key: _plain(trace[key]) for key in _LABELS if key in trace and _holds_text(trace[key])})
    for axis in axes(figure):
        known = {key: _plain(axis[key]) for key in ("ticktext", "categoryarray") if _holds_text(axis[key])}
        axis.update(known)
        if axis.title.text:
            axis.title.text = plot_text(axis.title.text)
    for note in layout(figure).annotations:
        note.text = plot_text(note.text)
    return figure


def described(figure: go.Figure, title: str) -> str:
    """What a figure shows, for who cannot see it: kind, series, and the range of its values."""
    kinds = dict.fromkeys(_KINDS.get(trace.type, str(trace.type)) for trace in traces(figure))
    names = list(dict.fromkeys(unescape(trace.name) for trace in traces(figure) if trace.name))
    values = [v for trace in traces(figure) for v in numbers(trace.z if trace.type == "heatmap" else trace.y)]
    axis = next((unescape(a.title.text) for a in axes(figure, "y") if a.title.text), "values")
    spread = f" {axis}: {min(values):.3g} to {max(values):.3g}." if values else ""
    series = f" Series: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}." if names else ""
    return f"{title}. {', '.join(kinds)}.{series}{spread}"


def _name_axes(figure: go.Figure, trace: Trace) -> None:
    """Axes along which names stand become axes of categories."""
    for letter in _named_axes(trace):
        axis = layout(figure)[f"{letter}axis{(trace[f'{letter}axis'] or letter)[1:]}"]
        axis.type = axis.type or "category"


def _named_axes(trace: Trace) -> Iterator[str]:
    if trace.type in ("box", "violin") and trace.x is None:
        yield "x"
    for letter in "xy":
        if letter in trace and not isinstance(trace[letter], str) and _holds_text(trace[letter]):
            yield letter


def _holds_text(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, Iterable) and any(isinstance(item, str) for item in value)


def _plain(value: Iterable) -> object:
    if isinstance(value, str):
        return plot_text(value)
    return [plot_text(item) if isinstance(item, str) else item for item in value]
