"""A plotly figure as an SVG picture without a browser: what a viewer shows that has no plotly.js.

It draws what our figures hold (points, lines, bars, histograms, boxes, heat maps, straight lines
across a panel) and nothing else; plotly.js stays the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape, unescape

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from moleflow_lib.reporting.figures.plotly_parts import Note, Trace, layout, traces
from moleflow_lib.reporting.figures.svg_panel import INK, Panel, frame, rect, text_at

__all__ = ["as_svg", "numbers"]

_WIDTH, _HEIGHT = 900, 420  # where a figure names none
_LEFT, _RIGHT, _TOP, _BOTTOM = 110, 30, 60, 90
_BLUE = "#0072B2"


def numbers(values: Iterable | None) -> list[float]:
    """The finite numbers of a trace's values, however they are nested."""
    if values is None:
        return []
    rows = [row if hasattr(row, "__iter__") and not isinstance(row, str) else [row] for row in values]
    flat = [item for row in rows for item in row]
    return [float(v) for v in flat if isinstance(v, (int, float, np.number)) and math.isfinite(v)]


def as_svg(figure: go.Figure) -> str:
    """The figure as an SVG picture, 900 pixels wide where it names no width, its labels as text."""
    width, height = _size(figure)
    parts = [text_at(12, 24, layout(figure).title.text or "", size=16)]
    panels = {(xid, yid): _panel(figure, xid, yid) for xid, yid in _pairs(figure)}
    for key, panel in panels.items():
        own = [trace for trace in traces(figure) if _axes_of(trace) == key]
        parts += frame(panel)
        for place, trace in enumerate(own):
            drawer = _DRAWERS.get(trace.type)
            parts += drawer(panel, trace, place, own) if drawer and _holds_values(trace) else []
        parts += _lines_across(figure, panel, key)
    notes = [note for note in layout(figure).annotations if note.xref == "paper" and note.yref == "paper"]
    parts += [_note(note, width, height) for note in notes]
    parts += _legend(figure, height)
    shape = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{body}</svg>'
    )


def _size(figure: go.Figure) -> tuple[int, int]:
    """Width and height, pixels."""
    return int(layout(figure).width or _WIDTH), int(layout(figure).height or _HEIGHT)


def _holds_values(trace: Trace) -> bool:
    """Whether there is anything to draw: of a kind that no image is of, there are no bars."""
    given = [values for name in "xyz" if (values := getattr(trace, name, None)) is not None]
    return bool(given) and all(len(values) for values in given)


def _axes_of(trace: Trace) -> tuple[str, str]:
    return (trace.xaxis or "x", trace.yaxis or "y")


def _pairs(figure: go.Figure) -> list[tuple[str, str]]:
    drawn = [trace for trace in traces(figure) if trace.type in _DRAWERS]
    return list(dict.fromkeys(_axes_of(trace) for trace in drawn))


def _panel(figure: go.Figure, xid: str, yid: str) -> Panel:
    width, height = _size(figure)
    axes = {"x": layout(figure)[f"xaxis{xid[1:]}"], "y": layout(figure)[f"yaxis{yid[1:]}"]}
    own = [trace for trace in traces(figure) if _axes_of(trace) == (xid, yid)]
    left, right = axes["x"].domain or (0, 1)
    low, high = axes["y"].domain or (0, 1)
    wide = width - _LEFT - _RIGHT
    tall = height - _TOP - _BOTTOM
    box = (_LEFT + left * wide, _TOP + (1 - high) * tall, (right - left) * wide, (high - low) * tall)
    panel = Panel(box, axes)
    for letter in "xy":
        panel.span(letter, _along(own, letter))
    return panel


def _along(own: list[Trace], letter: str) -> list:
    """All values of the traces along an axis, as they come."""
    found = []
    for trace in own:
        if trace.type == "histogram" and letter == "y":
            found += [0, max(_counts(trace)[0], default=0)]
        elif trace.type in ("box", "violin") and letter == "x":
            found.append(str(trace.name))
        elif letter == "x" and trace.type == "scatter" and trace.x is None:
            found += range(len(_values(trace.y)))  # plotly counts them
        else:
            found += list(trace[letter] if trace[letter] is not None else [])
            found += [0] if trace.type == "bar" and letter == "y" else []
    return found


def _scatter(panel: Panel, trace: Trace, _place: int, _own: list) -> Iterator[str]:
    values = _values(trace.y)
    pairs = zip(range(len(values)) if trace.x is None else _values(trace.x), values, strict=False)
    points = [(panel.place("x", x), panel.place("y", y)) for x, y in pairs]
    colour = _colour(trace)
    mode = trace.mode or "lines+markers"
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if "lines" in mode and known:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in known)
        dash = ' stroke-dasharray="5 4"' if trace.line.dash not in (None, "solid") else ""
        yield f'<path d="{path}" fill="none" stroke="{colour(0)}" stroke-width="2"{dash}/>'
    if "markers" in mode:
        for index, (x, y) in enumerate(points):
            if math.isfinite(x) and math.isfinite(y):
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour(index)}"/>'
    for letter in "xy":
        yield from _reach(panel, trace, letter)


def _reach(panel: Panel, trace: Trace, letter: str) -> Iterator[str]:
    """Error bars."""
    bars = trace[f"error_{letter}"]
    if bars.array is None:
        return
    below = bars.array if bars.arrayminus is None else bars.arrayminus
    for x, y, up, down in zip(_values(trace.x), _values(trace.y), bars.array, below, strict=False):
        middle = {"x": x, "y": y}[letter]
        if not all(isinstance(v, (int, float, np.number)) for v in (middle, up, down)):
            continue
        ends = [panel.place(letter, middle - down), panel.place(letter, middle + up)]
        if letter == "x":
            yield f'<path d="M{ends[0]:.1f} {panel.place("y", y):.1f}H{ends[1]:.1f}" stroke="{INK}"/>'
        else:
            yield f'<path d="M{panel.place("x", x):.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{INK}"/>'


def _bar(panel: Panel, trace: Trace, _place: int, own: list) -> Iterator[str]:
    bars = [other for other in own if other.type == "bar"]
    reach = abs(panel.place("x", trace.x[0]) - panel.place("x", trace.x[-1]))
    pitch = 0.8 * reach / max(1, len(set(trace.x)) - 1)
    wide = (pitch or 0.5 * panel.box[2]) / len(bars)
    shift = (bars.index(trace) - len(bars) / 2) * wide
    colour = _colour(trace)
    for index, (x, y) in enumerate(zip(trace.x, _values(trace.y), strict=False)):
        if y is not None and math.isfinite(y):
            ends = sorted((panel.place("y", 0), panel.place("y", y)))
            yield rect(panel.place("x", x) + shift, ends[0], wide * 0.95, ends[1] - ends[0], colour(index))
    yield from _reach(panel, trace, "y") if len(bars) == 1 else ()


def _histogram(panel: Panel, trace: Trace, _place: int, _own: list) -> Iterator[str]:
    heights, edges = _counts(trace)
    for count, start, end in zip(heights, edges[:-1], edges[1:], strict=True):
        left = panel.place("x", start)
        top = panel.place("y", count)
        wide = panel.place("x", end) - left
        yield rect(left, top, wide, panel.place("y", 0) - top, _colour(trace)(0), opacity=0.6)


def _box(panel: Panel, trace: Trace, _place: int, _own: list) -> Iterator[str]:
    values = [panel.number("y", v) for v in numbers(trace.y)]
    if not values or trace.name not in panel.names.get("x", []):
        return
    back = (lambda v: 10.0**v) if panel.axes["y"].type == "log" else float
    quartiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    low, lower, middle, upper, high = (panel.place("y", back(v)) for v in quartiles)
    x = panel.place("x", trace.name)
    wide = 0.3 * panel.box[2] / max(1, len(panel.names["x"]))
    yield f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{INK}"/>'
    yield rect(x - wide, upper, 2 * wide, lower - upper, _colour(trace)(0))
    yield f'<path d="M{x - wide:.1f} {middle:.1f}h{2 * wide:.1f}" stroke="white" stroke-width="2"/>'


def _heatmap(panel: Panel, trace: Trace, _place: int, _own: list) -> Iterator[str]:
    rows = [[_finite(v) for v in row] for row in trace.z]
    known = [v for row in rows for v in row if v is not None]
    low = min(known, default=0.0)
    high = max(known, default=1.0)
    wide = panel.box[2] / max(1, len(rows[0]))
    tall = panel.box[3] / max(1, len(rows))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if value is None:
                continue
            share = (value - low) / ((high - low) or 1)
            x = panel.place("x", trace.x[c])
            y = panel.place("y", trace.y[r])
            yield rect(x - wide / 2, y - tall / 2, wide, tall, str(sample_colorscale("Viridis", [share])[0]))
            shown = f"{value:.3g}" if trace.text is None else str(trace.text[r][c])
            yield text_at(x, y + 4, shown, anchor="middle", colour="black" if share > 0.6 else "white")


def _lines_across(figure: go.Figure, panel: Panel, key: tuple[str, str]) -> Iterator[str]:
    """Straight lines over the whole panel, as `add_hline` and `add_vline` draw them."""
    left, top, width, height = panel.box
    for shape in layout(figure).shapes:
        style = f'stroke="{shape.line.color or INK}" stroke-dasharray="5 4"'
        if (shape.yref or "") == key[1] and shape.y0 == shape.y1:
            yield f'<path d="M{left:.1f} {panel.place("y", shape.y0):.1f}h{width:.1f}" {style}/>'
        elif (shape.xref or "") == key[0] and shape.x0 == shape.x1:
            yield f'<path d="M{panel.place("x", shape.x0):.1f} {top:.1f}v{height:.1f}" {style}/>'


def _note(note: Note, width: int, height: int) -> str:
    x = _LEFT + note.x * (width - _LEFT - _RIGHT)
    return text_at(x, _TOP + (1 - note.y) * (height - _TOP - _BOTTOM) - 22, note.text, anchor="middle")


def _legend(figure: go.Figure, height: int) -> Iterator[str]:
    named = [trace for trace in traces(figure) if trace.name and trace.showlegend is not False]
    shown = {trace.name: _colour(trace)(0) for trace in named}
    x = 12.0
    for name, colour in shown.items() if len(shown) > 1 else ():
        yield rect(x, height - 20, 10, 10, colour) + text_at(x + 14, height - 11, name, size=11)
        x += 30 + 6.5 * len(unescape(name))


def _counts(trace: Trace) -> tuple[list[float], list[float]]:
    """A histogram's heights and edges."""
    values = numbers(trace.x)
    edges = 40
    if trace.xbins.size:
        edges = np.arange(trace.xbins.start, trace.xbins.end + trace.xbins.size, trace.xbins.size)
    if not values:
        return [0.0], [0.0, 1.0]
    heights, ends = np.histogram(values, bins=edges)
    return heights.tolist(), ends.tolist()


def _colour(trace: Trace) -> Callable[[int], str]:
    """The colour of a trace's n-th mark."""
    line = trace.line.color if "line" in trace else None
    chosen = (trace.marker.color if "marker" in trace else None) or line or _BLUE
    return lambda n: escape(str(chosen if isinstance(chosen, str) else chosen[n % len(chosen)]), quote=True)


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float, np.number)) and math.isfinite(value) else None


def _values(values: Iterable | None) -> list:
    return [] if values is None else list(values)


_DRAWERS: Mapping[str, Callable[[Panel, go.Figure, int, list], Iterator[str]]] = {
    "scatter": _scatter,
    "bar": _bar,
    "histogram": _histogram,
    "box": _box,
    "violin": _box,
    "heatmap": _heatmap,
}
