"""A panel of an SVG picture: where its axes lie, what stands along them, and the marks it is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape, unescape

from moleflow_lib.reporting.figures.plotly_parts import Axis

__all__ = ["INK", "Panel", "frame", "rect", "text_at"]

INK, _GRID = "#1b1f24", "#e6e8eb"


@dataclass
class Panel:
    """One pair of axes: where it lies on the picture and what its ends are."""

    box: tuple[float, float, float, float]  # left, top, width, height, pixels
    axes: dict[str, Axis]
    names: dict[str, list[str]] = field(default_factory=dict)
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._logarithmic = {letter for letter, axis in self.axes.items() if axis.type == "log"}

    def place(self, letter: str, value: str | float | None) -> float:
        """Pixels of a value or a name along an axis."""
        low, high = self.ends[letter]
        share = (self.number(letter, value) - low) / ((high - low) or 1)
        left, top, width, height = self.box
        return left + share * width if letter == "x" else top + (1 - share) * height

    def number(self, letter: str, value: str | float | None) -> float:
        """A value on the scale of its axis: the place of a name, the logarithm where the axis has one."""
        if letter in self.names:
            known = self.names[letter]
            return float(known.index(str(value))) if str(value) in known else float("nan")
        number = float("nan") if value is None else float(value)
        if letter in self._logarithmic:
            return math.log10(number) if number > 0 else float("nan")
        return number

    def span(self, letter: str, values: list) -> None:
        """Set the ends of an axis, and its names where it has names, by what lies along it."""
        axis = self.axes[letter]
        if any(isinstance(value, str) for value in values):
            self.names[letter] = list(dict.fromkeys(str(value) for value in values))
        elif axis.range:
            self.ends[letter] = (float(axis.range[0]), float(axis.range[1]))
            return
        known = [n for n in (self.number(letter, value) for value in values) if math.isfinite(n)]
        low = min(known, default=0.0)
        high = max(known, default=1.0)
        pad = 0.5 if letter in self.names else 0.05 * (high - low) or 0.5
        ends = (low - pad, high + pad)
        self.ends[letter] = (ends[1], ends[0]) if axis.autorange == "reversed" else ends


def frame(panel: Panel) -> Iterator[str]:
    """The panel's border, its grid, what stands along it, and the names of its axes."""
    left, top, width, height = panel.box
    shape = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    yield f'<rect {shape} fill="none" stroke="#8b929a"/>'
    for value, label in _ticks(panel, "x"):
        yield text_at(panel.place("x", value), top + height + 16, label, anchor="middle", size=11)
    for value, label in _ticks(panel, "y"):
        y = panel.place("y", value)
        yield f'<path d="M{left:.1f} {y:.1f}h{width:.1f}" stroke="{_GRID}"/>'
        if panel.axes["y"].showticklabels is not False:  # False: the panel beside it has the same labels
            yield text_at(left - 6, y + 4, label, anchor="end", size=11)
    yield text_at(left + width / 2, top + height + 36, panel.axes["x"].title.text or "", anchor="middle")
    yield text_at(left, top - 8, panel.axes["y"].title.text or "", size=11)


def _ticks(panel: Panel, letter: str) -> list[tuple[str | float, str]]:
    axis = panel.axes[letter]
    if axis.tickvals is not None:
        return list(zip(axis.tickvals, axis.ticktext or [f"{v:g}" for v in axis.tickvals], strict=False))
    if letter in panel.names:
        return [(name, name) for name in panel.names[letter]]
    low, high = sorted(panel.ends[letter])
    if axis.type == "log":
        return [(10.0**d, f"{10.0**d:g}") for d in range(math.ceil(low), math.floor(high) + 1)]
    step = 10.0 ** math.floor(math.log10((high - low) or 1))
    step *= next(k for k in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (k * step) <= 7)
    return [(n * step, f"{n * step:g}") for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def rect(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'fill="{colour}" opacity="{opacity}"/>'
    )


def text_at(x: float, y: float, text: str, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    """A label at a place, pixels; empty where there is nothing to say or no place for it."""
    if not text or not math.isfinite(x) or not math.isfinite(y):
        return ""
    plain = escape(unescape(str(text).replace("<br>", " ")), quote=True)
    style = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{plain}</text>'
