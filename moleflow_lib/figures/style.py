"""One look for every figure: template, colours that a task keeps in all notebooks, captions, image sheets."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb
from scipy.ndimage import binary_erosion

__all__ = ["DEFECTIVE", "NORMAL", "captioned", "heat_overlay", "image_sheet", "outlined", "task_colour"]

# Okabe & Ito 2008, then Tol's muted set: told apart with any colour vision, enough for 15 tasks.
_TASK_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255",
    "#117733", "#999933", "#AA4499", "#44AA99", "#661100", "#6699CC", "#888888",
)
NORMAL, DEFECTIVE = "#0072B2", "#D55E00"
_HEAT = np.array([unlabel_rgb(c) for c in sample_colorscale("Inferno", np.linspace(0, 1, 256).tolist())]) / 255
_TEMPLATE = go.layout.Template(
    layout=go.Layout(
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        title={"x": 0.0, "xanchor": "left", "font": {"size": 16}},
        colorway=_TASK_COLOURS, paper_bgcolor="white", plot_bgcolor="white",
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        xaxis={"gridcolor": "#e6e8eb", "zerolinecolor": "#c5cad0", "linecolor": "#8b929a", "ticks": "outside"},
        yaxis={"gridcolor": "#e6e8eb", "zerolinecolor": "#c5cad0", "linecolor": "#8b929a", "ticks": "outside"},
    )
)


def task_colour(index: int) -> str:
    """The colour of task `index`, the same in every notebook."""
    return _TASK_COLOURS[index % len(_TASK_COLOURS)]


def captioned(figure: go.Figure, title: str, caption: str, height: int = 420) -> go.Figure:
    """Give a figure its title, the house template, and the caption that reports print below it."""
    return figure.update_layout(template=_TEMPLATE, title_text=title, height=height, meta={"caption": caption})


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
    result[mask & ~binary_erosion(mask, iterations=2)] = colour
    return result


def image_sheet(
    rows: Sequence[Sequence[np.ndarray | None]], row_labels: Sequence[str], column_labels: Sequence[str],
    title: str, caption: str, cell: int = 128,
) -> go.Figure:
    """Images in a labelled grid, as one PNG.

    Args:
        rows: images (S, S, 3) uint8; None leaves the place empty.
        row_labels: one a row.
        column_labels: one a column.
        title: of the figure.
        caption: what to look for.
        cell: side of each picture in pixels.
    """
    gap, columns = 6, len(column_labels)
    sheet = np.full((len(rows) * (cell + gap), columns * (cell + gap), 3), 255, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            if picture is not None:
                tile = Image.fromarray(picture).resize((cell, cell), Image.Resampling.BILINEAR)
                sheet[r * (cell + gap) : r * (cell + gap) + cell, c * (cell + gap) : c * (cell + gap) + cell] = tile
    figure = go.Figure(go.Image(source=_data_uri(sheet), hoverinfo="skip"))
    centre = cell / 2
    figure.update_xaxes(
        tickvals=[c * (cell + gap) + centre for c in range(columns)], ticktext=list(column_labels),
        side="top", showgrid=False, ticks="", zeroline=False,
    )
    figure.update_yaxes(
        tickvals=[r * (cell + gap) + centre for r in range(len(rows))], ticktext=list(row_labels),
        showgrid=False, ticks="", zeroline=False,
    )
    captioned(figure, title, caption, height=int(110 + sheet.shape[0] * min(1.0, 900 / sheet.shape[1])))
    return figure.update_layout(margin={"t": 90, "b": 10, "l": 110})


def _data_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
