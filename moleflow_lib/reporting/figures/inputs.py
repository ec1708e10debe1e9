"""Figures of what goes in: images, their features, and how far the products lie apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from moleflow_lib.config import DataOptions
from moleflow_lib.datasets import Record, Task, load_image, load_mask
from moleflow_lib.features.store import Features
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.figures.style import captioned, outlined, task_colour

__all__ = ["feature_statistics", "gallery", "pca_maps", "sample_records", "separation"]

_CELL = 160  # pixels of a tile


def sample_records(task: Task, count: int = 3) -> list[Record]:
    """One normal and up to `count` defective test images, each of another defect type where possible."""
    normal = [record for record in task.test if record.label == 0][:1]
    first_of_type: dict[str, Record] = {}
    for record in task.test:
        if record.label == 1:
            first_of_type.setdefault(record.defect, record)
    return [*normal, *list(first_of_type.values())[:count]]


def gallery(tasks: Sequence[Task], data: DataOptions) -> Sheet:
    """One normal and three defective test images of every task, each defect plain and outlined."""
    rows = [(task.name, [_case(record, data) for record in sample_records(task)]) for task in tasks]
    return Sheet(
        title="What the detector is shown",
        rows=rows,
        caption="One normal image of each task and up to three defects; beside a defect the same image with "
        "its mask outlined in green. A product without masks has none. Look for defects you would miss "
        "yourself; click an image to enlarge it.",
    )


def feature_statistics(tasks: Sequence[Task], features: Sequence[Features]) -> go.Figure:
    """Distribution of patch feature norms of each task's training images."""
    figure = go.Figure()
    for task, own in zip(tasks, features, strict=True):
        norms = own.patches[:: max(1, len(own.patches) // 40)][:40].float().norm(dim=-1).flatten().numpy()
        figure.add_violin(
            y=norms, name=task.name, line_color=task_colour(task.index), meanline_visible=True, points=False
        )
    figure.update_yaxes(title="norm of a patch feature (backbone units)")
    return captioned(
        figure.update_layout(showlegend=False),
        "Patch feature norms",
        f"Training images of {len(tasks)} tasks, at most 40 images each. Tasks whose norms differ are easy "
        "to route and hard to share a flow: the whitening adapter's LayerNorm, where it is on, evens this "
        "out.",
    )


def pca_maps(tasks: Sequence[Task], coloured: Sequence[Sequence[np.ndarray]], data: DataOptions) -> Sheet:
    """Test images beside their patch features, three principal components as red, green and blue."""
    rows = []
    for task, maps in zip(tasks, coloured, strict=True):
        shown = zip(sample_records(task, 2), maps, strict=True)
        rows.append((task.name, [_featured(record, colour, data) for record, colour in shown]))
    return Sheet(
        title="What the frozen backbone sees",
        rows=rows,
        caption="Patches of equal colour look equal to the backbone (PCA fitted on training patches of all "
        "tasks). A defect that does not change colour here has to be found in the components that are not "
        "shown, or not at all.",
    )


def separation(names: Sequence[str], distances: np.ndarray) -> go.Figure:
    """Distances between tasks in units of their own spread."""
    figure = go.Figure(
        go.Heatmap(
            z=distances,
            x=list(names),
            y=list(names),
            colorscale="Viridis",
            texttemplate="%{z:.1f}",
            colorbar_title="distance",
        )
    )
    figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain", title="task")
    figure.update_xaxes(constrain="domain", title="task")
    return captioned(
        figure,
        "How far the tasks lie apart",
        "Distance of mean image features divided by the spread within the tasks (training images). Small "
        "numbers are the pairs to watch in notebook 04.",
    )


def _case(record: Record, data: DataOptions) -> Case:
    """An image, and beside it the outline of its defect, which would cover a small one."""
    image = load_image(record.image, _CELL, data.resize)
    tiles = [Tile(picture=image, label="image")]
    if record.mask:
        tiles.append(Tile(picture=outlined(image, load_mask(record.mask, _CELL, data.resize)), label="mask"))
    return Case(tiles=tiles, name=_named(record))


def _featured(record: Record, colour: np.ndarray, data: DataOptions) -> Case:
    image = load_image(record.image, _CELL, data.resize)
    enlarged = np.asarray(Image.fromarray(colour).resize((_CELL, _CELL), Image.Resampling.NEAREST))
    tiles = [Tile(picture=image, label="image"), Tile(picture=enlarged, label="features", exact=True)]
    return Case(tiles=tiles, name=_named(record))


def _named(record: Record) -> str:
    kind = record.defect if record.label == 1 else "normal" if record.label == 0 else "unlabelled"
    return f"{kind}, {record.image.name}"
