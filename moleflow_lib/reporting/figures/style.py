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

__all__ = [
    "DEFECTIVE", "NORMAL", "captioned", "composed", "heat_overlay", "image_sheet", "outlined", "png_bytes", "task_colour",
]

# Okabe & Ito 2008, then Tol's muted set: told apart with any colour vision, enough for 15 tasks.
_TASK_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255",
    "#117733", "#999933", "#AA4499", "#44AA99", "#661100", "#6699CC", "#888888",
)
_GAP = 6  # white pixels between pictures of a sheet
NORMAL, DEFECTIVE = "#0072B2", "#D55E00"
_HEAT = np.array([unlabel_rgb(c) for c in sample_colorscale("Inferno", np.linspace(0, 1, 256).tolist())]) / 255
_AXIS = {
    "gridcolor": "#e6e8eb", "zerolinecolor": "#c5cad0", "linecolor": "#8b929a", "ticks": "outside", "automargin": True,
}
_TEMPLATE = go.layout.Template(
    layout=go.Layout(
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#1b1f24"},
        title={"x": 0.0, "xanchor": "left", "font": {"size": 16}},
        colorway=_TASK_COLOURS, paper_bgcolor="white", plot_bgcolor="white",
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        xaxis=_AXIS, yaxis=_AXIS,
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
    sheet, pitch, centre = composed(rows, len(column_labels), cell), cell + _GAP, cell / 2
    source = "data:image/png;base64," + base64.b64encode(png_bytes(sheet)).decode()
    figure = go.Figure(go.Image(source=source, hoverinfo="skip"))
    figure.update_xaxes(
        tickvals=[c * pitch + centre for c in range(len(column_labels))], ticktext=list(column_labels),
        side="top", showgrid=False, ticks="", zeroline=False,
    )
    figure.update_yaxes(
        tickvals=[r * pitch + centre for r in range(len(rows))], ticktext=list(row_labels),
        showgrid=False, ticks="", zeroline=False,
    )
    captioned(figure, title, caption, height=int(110 + sheet.shape[0] * min(1.0, 900 / sheet.shape[1])))
    return figure.update_layout(margin={"t": 90, "b": 10, "l": 110})


def composed(rows: Sequence[Sequence[np.ndarray | None]], columns: int, cell: int) -> np.ndarray:
    """Pictures (S, S, 3) uint8 side by side on white, each `cell` pixels wide, as one picture."""
    pitch = cell + _GAP
    sheet = np.full((len(rows) * pitch, columns * pitch, 3), 255, dtype=np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            if picture is not None:
                tile = Image.fromarray(picture).resize((cell, cell), Image.Resampling.BILINEAR)
                sheet[r * pitch : r * pitch + cell, c * pitch : c * pitch + cell] = tile
    return sheet


def png_bytes(pixels: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
