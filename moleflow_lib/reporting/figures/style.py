"""One look for every figure: template, colours that a task keeps in all notebooks, captions, axes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb
from scipy.ndimage import binary_erosion

from moleflow_lib.reporting.escaping import plot_text
from moleflow_lib.reporting.figures.drawn import Drawn, described, with_plain_labels

__all__ = [
    "DEFECTIVE",
    "NORMAL",
    "bounded",
    "captioned",
    "composed",
    "heat_colours",
    "heat_overlay",
    "log_ticks",
    "outlined",
    "png_bytes",
    "share_axis",
    "task_colour",
]

# Okabe & Ito 2008, then Tol's muted set: told apart with any colour vision, enough for 15 tasks.
_TASK_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#332288",
    "#882255",
    "#117733",
    "#999933",
    "#AA4499",
    "#44AA99",
    "#661100",
    "#6699CC",
    "#888888",
)
_GAP = 6  # white pixels between pictures of a sheet
NORMAL, DEFECTIVE = "#0072B2", "#D55E00"
_HEAT = (
    np.array([unlabel_rgb(c) for c in sample_colorscale("Inferno", np.linspace(0, 1, 256).tolist())]) / 255
)
_AXIS = {
    "gridcolor": "#e6e8eb",
    "zerolinecolor": "#c5cad0",
    "linecolor": "#8b929a",
    "ticks": "outside",
    "automargin": True,
}
_TEMPLATE = go.layout.Template(
    layout=go.Layout(
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        title={"x": 0.0, "xanchor": "left", "font": {"size": 16}},
        colorway=_TASK_COLOURS,
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        xaxis=_AXIS,
        yaxis=_AXIS,
    )
)


def task_colour(index: int) -> str:
    """The colour of task `index`, the same in every notebook."""
    return _TASK_COLOURS[index % len(_TASK_COLOURS)]


def captioned(figure: go.Figure, title: str, caption: str, height: int = 420) -> Drawn:
    """Give a figure its title, the house template, caption and description; labels become text."""
    drawn = Drawn(with_plain_labels(figure))
    meta = {"caption": caption, "alt": described(drawn, title)}
    drawn.update_layout(template=_TEMPLATE, title_text=plot_text(title), height=height, meta=meta)
    return drawn


def bounded(values: Iterable[float | None], low: float = 0.0, high: float = 1.0) -> list[float]:
    """Ends of an axis that holds the values and nothing that the quantity cannot be.

    A small margin keeps marks at the very end whole.

    >>> bounded([0.98, 1.0]), bounded([]), bounded([0.0, 0.5])
    ([0.94, 1.01], [-0.02, 1.02], [-0.01, 0.55])
    """
    known = [value for value in values if value is not None and np.isfinite(value)]
    if not known:
        return [low - 0.02 * (high - low), high + 0.02 * (high - low)]
    least = min(known)
    most = max(known)
    pad = max(0.1 * (most - least), 0.04 * (high - low))
    edge = min(0.02 * (high - low), max(0.2 * pad, 0.01 * (high - low)))
    return [round(max(least - pad, low - edge), 6), round(min(most + pad, high + edge), 6)]


def share_axis(values: Iterable[float | None]) -> dict[str, Any]:
    """Ends and labels of an axis of shares: `bounded`, and no label below 0 or above 1.

    >>> share_axis([0.98, 1.0])["tickvals"], share_axis([])["tickvals"]
    ([0.94, 0.96, 0.98, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    ends = bounded(values)
    low = max(ends[0], 0.0)
    high = min(ends[1], 1.0)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / step <= 5.5)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return {"range": ends, "tickvals": [round(n * step, 4) for n in range(first, last + 1)]}


def log_ticks(values: Iterable[float | None], most: int = 6) -> list[float]:
    """Values to label on a logarithmic axis: 1, 2 and 5 of each decade, fewer where they would touch.

    >>> log_ticks([0.8, 30]), log_ticks([1, 10000])
    ([1, 2, 5, 10, 20], [1, 10, 100, 1000, 10000])
    """
    known = [value for value in values if value is not None and value > 0 and np.isfinite(value)]
    if not known:
        return [1]
    decades = range(int(np.floor(np.log10(min(known)))), int(np.ceil(np.log10(max(known)))) + 1)
    least = min(known) / 1.3
    most_value = max(known) * 1.3
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [v for v in (float(f"{k}e{d}") for d in decades for k in digits) if least <= v <= most_value]
        if len(found) <= most:
            break
    every = max(1, -(-len(found) // most))
    return [int(v) if v >= 1 else v for v in found[::every]] or [round(min(known), 2)]


def heat_colours(share: np.ndarray) -> np.ndarray:
    """Colours (…, 3) uint8 of shares in 0 … 1, dark to bright."""
    return (255 * _HEAT[(255 * np.clip(share, 0, 1)).astype(int)]).astype(np.uint8)


def heat_overlay(image: np.ndarray, heat: np.ndarray, low: float, high: float) -> np.ndarray:
    """Blend an anomaly map over an image.

    Args:
        image: (S, S, 3) uint8.
        heat: (S, S) scores.
        low: score shown darkest.
        high: score shown brightest.

    Returns:
        (S, S, 3) uint8.
    """
    share = np.clip((heat - low) / max(high - low, 1e-12), 0, 1)
    grey = image.mean(axis=-1, keepdims=True) / 255
    return (255 * (0.35 * grey + 0.65 * _HEAT[(255 * share).astype(int)])).astype(np.uint8)


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = (0, 255, 120)) -> np.ndarray:
    """Draw the border of a mask (S, S) bool into an image (S, S, 3) uint8."""
    result = image.copy()
    result[mask & ~np.asarray(binary_erosion(mask, iterations=2), dtype=bool)] = colour
    return result


def composed(rows: Sequence[Sequence[np.ndarray | None]], columns: int, cell: int) -> np.ndarray:
    """Pictures (S, S, 3) uint8 side by side on white, each `cell` pixels wide, as one picture."""
    pitch = cell + _GAP
    sheet = np.full((len(rows) * pitch, columns * pitch, 3), 255, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            if picture is not None:
                tile = Image.fromarray(picture).resize((cell, cell), Image.Resampling.BILINEAR)
                sheet[r * pitch : r * pitch + cell, c * pitch : c * pitch + cell] = np.asarray(tile)
    return sheet


def png_bytes(pixels: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
