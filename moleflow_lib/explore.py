"""Controls for JupyterLab. Each shows what a static figure of the same notebook also says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from IPython.display import display
from ipywidgets import Dropdown, FloatSlider, IntSlider, interactive

from moleflow_lib.ablation import paired_differences
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import Task, load_image, load_mask
from moleflow_lib.evaluation import TaskEvaluator
from moleflow_lib.figures.ablation import switch_differences
from moleflow_lib.figures.routing import confusion_matrix
from moleflow_lib.figures.style import heat_overlay, image_sheet, outlined
from moleflow_lib.metrics import METRICS
from moleflow_lib.router import COVARIANCES
from moleflow_lib.router_study import routing_cases

__all__ = ["browse_ablation", "browse_heat_maps", "browse_images", "browse_routes"]


def browse_images(tasks: Sequence[Task], config: ExperimentConfig) -> interactive:
    """Choose a task and leaf through its test images."""
    by_name = {task.name: task for task in tasks}

    def show(task: str, image: int) -> None:
        records = by_name[task].test
        record = records[image % len(records)]
        picture = load_image(record.image, config.image_size, config.resize)
        if record.mask:
            picture = outlined(picture, load_mask(record.mask, config.image_size, config.resize))
        display(image_sheet([[picture]], [task], [record.defect], f"{record.image.name}", "", cell=256))

    return interactive(show, task=Dropdown(options=list(by_name)), image=IntSlider(0, 0, _longest(tasks) - 1))


def browse_heat_maps(evaluators: Sequence[TaskEvaluator]) -> interactive:
    """Choose a task, an image and a threshold, and see what would be called defective."""
    by_name = {evaluator.task.name: evaluator for evaluator in evaluators}

    def show(task: str, image: int, threshold: float) -> None:
        display(_thresholded(by_name[task], image, threshold))

    return interactive(
        show, task=Dropdown(options=list(by_name)), image=IntSlider(0, 0, _longest([e.task for e in evaluators]) - 1),
        threshold=FloatSlider(99.0, min=50.0, max=99.9, step=0.1, description="percentile"),
    )


def browse_routes(evaluators: Sequence[TaskEvaluator]) -> interactive:
    """Choose a covariance estimate and see where the images go."""
    names = [evaluator.task.name for evaluator in evaluators]
    return interactive(
        lambda variant: display(confusion_matrix(names, routing_cases(evaluators, variant), variant)),
        variant=Dropdown(options=COVARIANCES),
    )


def browse_ablation(rows: Sequence[Mapping[str, object]], classes: Sequence[str]) -> interactive:
    """Choose a metric and see every switch against the preset."""
    return interactive(
        lambda metric: display(switch_differences(paired_differences(rows, metric), metric, classes)),
        metric=Dropdown(options=METRICS),
    )


def _thresholded(evaluator: TaskEvaluator, image: int, percentile: float) -> go.Figure:
    """One test image: as it is, its map, and the region above a percentile of the normal images' maps."""
    index = image % len(evaluator.task.test)
    maps = evaluator.maps(evaluator.patch_scores(evaluator.task.index))
    cut = np.percentile(maps[evaluator.labels < 1], percentile)
    record, config = evaluator.task.test[index], evaluator.config
    picture, truth = load_image(record.image, config.eval_size, config.resize), evaluator.masks()[index]
    shown = [
        outlined(picture, truth) if truth.any() else picture,
        heat_overlay(picture, maps[index], np.median(maps), maps.max()),
        outlined(picture, maps[index] > cut, (213, 94, 0)),
    ]
    return image_sheet(
        [shown], [evaluator.task.name], [record.defect, "map", f"above the {percentile:g}th percentile"],
        record.image.name, "", cell=224,
    )


def _longest(tasks: Sequence[Task]) -> int:
    return max(len(task.test) for task in tasks)
