"""Controls for JupyterLab. Each shows what a static figure of the same notebook also says.

A control is plain widgets and one picture or table that follows them. None uses ipywidgets' Output
widget (`interact` does): in batch runs its messages were seen to leave the notebook client waiting
for ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ipywidgets import HTML, Dropdown, FileUpload, FloatSlider, Image, IntSlider, Layout, Text, VBox

from moleflow_lib.config import DataOptions
from moleflow_lib.datasets import Record, Task, load_image, load_mask
from moleflow_lib.errors import DataError, FalseAlarmRateWarning
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.inference import LearnedDetector, ScoredImage
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.escaping import html_text, visible
from moleflow_lib.reporting.figures.heat_maps import photo_and_map
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.figures.style import composed, heat_overlay, outlined, png_bytes
from moleflow_lib.reporting.notebook import repository_root
from moleflow_lib.reporting.tables import Table, number
from moleflow_lib.routing.router import COVARIANCES
from moleflow_lib.rows import Rows
from moleflow_lib.runtime import quiet
from moleflow_lib.studies.ablation import paired_differences
from moleflow_lib.studies.routing import routing_cases

__all__ = ["browse_ablation", "browse_heat_maps", "browse_images", "browse_routes", "score_photo"]


def browse_images(tasks: Sequence[Task], data: DataOptions) -> VBox:
    """Choose a task and leaf through its test images, defects outlined."""
    by_name = {task.name: task for task in tasks}

    def draw(task: str, image: int) -> tuple[bytes, str]:
        """One test image and its name."""
        record = by_name[task].test[image % len(by_name[task].test)]
        picture = load_image(record.image, data.image_size, data.resize)
        if record.mask:
            picture = outlined(picture, load_mask(record.mask, data.image_size, data.resize))
        return png_bytes(composed([[picture]], 1, 256)), _named(record)

    return _control(draw, _picture(), task=Dropdown(options=list(by_name)), image=_image_slider(tasks))


def browse_heat_maps(evaluators: Sequence[TaskEvaluator], routed: bool = False) -> VBox:
    """Choose a task, an image and a threshold: the image, its map, and what would be called defective.

    Args:
        evaluators: one a task.
        routed: score each image under the task that the router chose, not under its own.
    """
    by_name = {evaluator.task.name: evaluator for evaluator in evaluators}
    percentile = FloatSlider(99.0, min=50.0, max=99.9, step=0.1, description="percentile")
    return _control(
        lambda task, image, threshold: _thresholded(by_name[task], image, threshold, routed),
        _picture(),
        task=Dropdown(options=list(by_name)),
        image=_image_slider([evaluator.task for evaluator in evaluators]),
        threshold=percentile,
    )


def browse_routes(evaluators: Sequence[TaskEvaluator]) -> VBox:
    """Choose a covariance estimate and see where the images of each task go."""
    names = [evaluator.task.name for evaluator in evaluators]

    def count(variant: str) -> str:
        """The routes under one estimate, as a table."""
        case = routing_cases(evaluators, variant)
        counts = np.zeros((len(names), len(names)), dtype=int)
        np.add.at(counts, (case.truth, case.chosen), 1)
        sent = [f"to {name}" for name in names]
        rows = [
            {"images of": name, **dict(zip(sent, row.tolist(), strict=True))}
            for name, row in zip(names, counts, strict=True)
        ]
        return Table(rows, f"Test images, routed with {variant}.")._repr_html_()

    return _control(count, HTML(), variant=Dropdown(options=COVARIANCES))


def browse_ablation(rows: Rows) -> VBox:
    """Choose a metric and see every variation against the preset."""
    return _control(
        lambda metric: Table(
            paired_differences(rows, metric), f"{metric}, difference to the preset."
        )._repr_html_(),
        HTML(),
        metric=Dropdown(options=tuple(METRICS)),
    )


def score_photo(learned: LearnedDetector) -> VBox:
    """Upload a photo, or name an image file, and see task, score, decision and heat map.

    What cannot be read is told in words. The latest of upload and name counts; a relative name is meant from
    the repository's root.

    Args:
        learned: from `load_detector`; nothing else of a run is needed.
    """
    photo = FileUpload(accept="image/*", description="photo")
    file = Text(continuous_update=False, placeholder="or the name of an image file")
    rate = FloatSlider(
        0.01,
        min=0.001,
        max=0.2,
        step=0.001,
        readout_format=".1%",
        continuous_update=False,
        description="rate",
    )
    photo.observe(lambda _: setattr(file, "value", ""), names="value")

    def draw(photo: Sequence[Mapping[str, Any]], file: str, rate: float) -> str:
        """The verdict on the latest photo, or what is wrong with it."""
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FalseAlarmRateWarning)  # `_verdict` says so
                scored = (
                    _scored_file(learned, file, rate)
                    if file.strip()
                    else _scored_upload(learned, photo, rate)
                )
        except Exception as error:  # a control has nowhere to show a traceback
            return _told(str(error) or type(error).__name__)
        if scored is None:
            return _told(f"No photo yet. This detector knows {', '.join(learned.tasks)}.")
        return _told(f"{scored.name}: {scored.error}") if scored.error else _verdict(learned, scored, rate)

    return _control(draw, HTML(), photo=photo, file=file, rate=rate)


def _scored_file(learned: LearnedDetector, name: str, rate: float) -> ScoredImage:
    path = repository_root() / Path(name.strip()).expanduser()
    if path.is_dir():
        raise DataError(
            f"{path} is a folder; expected one image file (a folder: python -m moleflow_lib score)"
        )
    return learned.score(path, false_alarm_rate=rate)[0]


def _scored_upload(
    learned: LearnedDetector, photos: Sequence[Mapping[str, Any]], rate: float
) -> ScoredImage | None:
    """The latest upload, read from a file as any photo is, so that the same is refused."""
    if not photos:
        return None
    upload = photos[-1]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        path.write_bytes(upload["content"])
        scored = learned.score(path, false_alarm_rate=rate)[0]
    name = str(upload["name"])
    return replace(scored, name=name, error=scored.error.replace(str(path), name))


def _told(text: str) -> str:
    return f"<p>{html_text(text)}</p>"


def _verdict(learned: LearnedDetector, image: ScoredImage, rate: float) -> str:
    """The photo beside its map, under what was decided and why."""
    photo, overlay = photo_and_map(learned, image)
    smallest = learned.calibration.smallest_rate(learned.tasks.index(image.task))
    accepted = {
        True: "accepted",
        False: "not accepted: another product or a strong defect",
        None: "too few training images to accept or refuse it",
    }
    margin = "it knows no other" if image.margin is None else f"margin {image.margin:.3g}"
    words = [f"task {image.task} ({margin}; {accepted[image.accepted]})"]
    words += [f"score {number(image.score)}, threshold {number(image.threshold)} at a rate of {rate:.1%}"]
    words += [f"flagged from a rate of {image.smallest_rate:.1%} on"]
    words += [f"the task's training images promise no rate below {smallest:.1%}"] if rate < smallest else []
    return Sheet(
        title=f"{image.name}: {image.decision}",
        rows=[("", [Case(tiles=[Tile(picture=photo, label="photo"), Tile(picture=overlay, label="map")])])],
        caption="; ".join(words) + ".",
    )._repr_html_()


def _control(
    draw: Callable[..., tuple[bytes, str] | str],
    shown: Image | HTML,
    **controls: Any,  # noqa: ANN401, widgets share no typed base with a value
) -> VBox:
    """Widgets above a table, or a picture and its words, drawn anew whenever one of them moves."""
    said = HTML()

    def refresh(_: object = None) -> None:
        """Draw with the controls' present values."""
        drawn = draw(**{name: control.value for name, control in controls.items()})
        shown.value, words = (drawn, "") if isinstance(drawn, str) else drawn
        said.value = escape(visible(words))

    for name, control in controls.items():
        control.description = control.description or name
        control.observe(refresh, names="value")
    refresh()
    words = [said] if isinstance(shown, Image) else []
    return VBox([*controls.values(), *words, shown])


def _picture() -> Image:
    """A picture at its own size, and no larger than the page."""
    layout = Layout(
        width="auto", max_width="100%", max_height="80vh", object_fit="contain", align_self="flex-start"
    )
    return Image(format="png", layout=layout)


def _named(record: Record) -> str:
    kind = "unlabelled" if record.label is None else record.defect if record.label else "normal"
    return f"{record.image.name}, {kind}"


def _thresholded(evaluator: TaskEvaluator, image: int, percentile: float, routed: bool) -> tuple[bytes, str]:
    """One test image, its map, and the region above a percentile of the normal images' maps; its words."""
    index = image % len(evaluator.task.test)
    own = evaluator.task.index
    chosen = torch.full((len(evaluator.labels),), own)
    if routed:
        chosen = evaluator.detector.route(evaluator.image_means)
    maps = evaluator.maps(evaluator.patch_scores(chosen))
    scores = evaluator.image_scores(chosen)
    calm = maps[evaluator.labels == 0]
    cut = np.percentile(calm if len(calm) else maps, percentile)
    record, config = evaluator.task.test[index], evaluator.config
    picture, truth = (
        load_image(record.image, config.score.eval_size, config.data.resize),
        evaluator.masks()[index],
    )
    pictures = [
        outlined(picture, truth) if truth.any() else picture,
        heat_overlay(picture, maps[index], np.median(maps), maps.max()),
        outlined(picture, maps[index] > cut, (213, 94, 0)),
    ]
    words = f"{_named(record)}, score {scores[index]:.3g}, rank {1 + (scores > scores[index]).sum()}"
    words += f" of {len(scores)}"
    if int(chosen[index]) != own:
        words += ", routed to another task"
    return png_bytes(composed([pictures], 3, 224)), words


def _image_slider(tasks: Sequence[Task]) -> IntSlider:
    return IntSlider(0, 0, max(len(task.test) for task in tasks) - 1)
