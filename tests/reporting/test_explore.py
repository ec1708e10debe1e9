"""Controls answer to their widgets, and none holds an Output widget."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from ipywidgets import Output, VBox, Widget
from PIL import Image

from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, load_detector, save_detector
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.explore import (
    browse_ablation,
    browse_heat_maps,
    browse_images,
    browse_routes,
    score_photo,
)
from moleflow_lib.reporting.running.notebooks import NOTEBOOKS
from moleflow_lib.reporting.tables import number


def _parts(widget: Widget) -> list[Widget]:
    return [widget, *(part for child in getattr(widget, "children", ()) for part in _parts(child))]


def test_every_control_redraws_and_none_uses_output(learned: Experiment) -> None:
    values = (("preset", 0.5), ("x", 0.7))
    rows = [{"variation": s, "seed": 0, **{m: v / (1 + k) for k, m in enumerate(METRICS)}} for s, v in values]
    controls = {
        browse_images(learned.tasks, learned.config.data): 1,
        browse_heat_maps(learned.evaluators): 2,
        browse_routes(learned.evaluators): 0,
        browse_ablation(rows): 0,
    }
    for control, place in controls.items():
        assert not any(isinstance(part, Output) for part in _parts(control))
        shown, moved = control.children[-1], control.children[place]
        before = shown.value
        moved.value = moved.options[1] if hasattr(moved, "options") else moved.min + 1
        assert before and shown.value and shown.value != before


@pytest.fixture(scope="module")
def folder(learned: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_detector(learned, tmp_path_factory.mktemp("saved"))


@pytest.fixture(scope="module")
def detector(folder: Path) -> LearnedDetector:
    return load_detector(folder, "cpu")


@pytest.fixture
def photo(learned: Experiment) -> Path:
    return learned.tasks[1].test[0].image


def _uploaded(name: str, content: bytes) -> tuple[dict[str, object]]:
    """An upload as ipywidgets 8 gives it."""
    when = datetime(2024, 1, 1, tzinfo=timezone.utc)
    facts = {"name": name, "type": "image/png", "size": len(content), "last_modified": when}
    return ({**facts, "content": memoryview(content)},)


def _text(control: VBox) -> str:
    return unescape(control.children[-1].value)


def test_a_photo_is_scored_by_upload_and_by_name(detector: LearnedDetector, photo: Path) -> None:
    control = score_photo(detector)
    upload, file, rate, shown = control.children
    assert "No photo yet" in shown.value and "leather, nut, board" in shown.value
    upload.value = _uploaded("mine.png", photo.read_bytes())
    one = detector.score(photo)[0]
    by_upload = _text(control)
    assert f"mine.png: {one.decision}" in by_upload and by_upload.count("<img") == 2
    told = f"task {one.task} (margin {one.margin:.3g}; {'' if one.accepted else 'not '}accepted)"
    assert told in by_upload and f"score {number(one.score)}, threshold {number(one.threshold)}" in by_upload
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a control tells it in its own words
        file.value = str(photo)
    assert "the task's training images promise no rate below 14.3%" in by_upload
    assert _text(control) == by_upload.replace("mine.png", str(photo)), "both ways say the same"
    rate.value = 0.2
    threshold = detector.thresholds(0.2)[one.task]
    assert f"threshold {number(threshold)} at a rate of 20.0%" in _text(control)
    upload.value = _uploaded("again.png", photo.read_bytes())
    assert "again.png: " in _text(control) and file.value == "", "the latest counts"


def _broken(photo: Path) -> Iterator[tuple[str, bytes]]:
    deep = io.BytesIO()
    Image.fromarray(np.full((64, 64), 40000, dtype=np.uint16)).save(deep, format="PNG")
    yield "cut.png", photo.read_bytes()[:200]
    yield "<b>notes</b>.txt", b"no image"
    yield "empty.png", b""
    yield "deep.png", deep.getvalue()


def test_what_cannot_be_scored_is_told_in_words(
    detector: LearnedDetector, photo: Path, tmp_path: Path
) -> None:
    control = score_photo(detector)
    upload, file, _, shown = control.children
    for name, content in _broken(photo):
        upload.value = _uploaded(name, content)
        assert name in _text(control) and "<img" not in shown.value and "<b>" not in shown.value
        assert "Traceback" not in shown.value and "/photo" not in shown.value, "no temporary file is named"
    for name, told in ((tmp_path / "none.png", "found nothing there"), (tmp_path, "is a folder")):
        file.value = str(name)
        assert told in _text(control) and "<img" not in shown.value
    file.value = str(photo)
    assert shown.value.count("<img") == 2, "a bad photo does not end the control"


def test_a_restarted_kernel_needs_the_folder_alone(folder: Path, photo: Path, tmp_path: Path) -> None:
    code = (
        "import sys, datetime, pathlib; from moleflow_lib import load_detector; "
        "from moleflow_lib.reporting.explore import score_photo; "
        "control = score_photo(load_detector(sys.argv[1], 'cpu')); "
        "content = memoryview(pathlib.Path(sys.argv[2]).read_bytes()); "
        "facts = {'type': 'image/png', 'size': len(content), 'last_modified': datetime.datetime.now()}; "
        "control.children[0].value = ({'name': 'mine.png', 'content': content, **facts},); "
        "print(control.children[-1].value)"
    )
    command = [sys.executable, "-c", code, str(folder), str(photo)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert "mine.png: " in done.stdout and done.stdout.count("<img") == 2


@pytest.mark.parametrize("number", ["03", "04"])
def test_the_cell_needs_parameters_and_imports_alone(number: str) -> None:
    book = nbformat.read(next(NOTEBOOKS.glob(f"{number}_*.ipynb")), as_version=4)
    cell = next(cell for cell in book.cells if "score_photo(" in cell.source)
    assert cell.metadata.tags == ["interactive"] and "load_detector(" in cell.source
    assert "experiment" not in cell.source and "evaluators" not in cell.source


def test_pictures_say_what_they_show_and_are_no_taller_than_the_page(learned: Experiment) -> None:
    task, evaluator = learned.tasks[1], learned.evaluators[1]
    for control in (browse_images(learned.tasks, learned.config.data), browse_heat_maps(learned.evaluators)):
        control.children[0].value = task.name
        *_, said, shown = control.children
        assert shown.layout.max_height == "80vh" and shown.layout.align_self == "flex-start"
        for image in (0, len(task.test) - 1):
            control.children[1].value = image
            record = task.test[image]
            assert said.value.startswith(
                f"{record.image.name}, {record.defect if record.label else 'normal'}"
            )
    scores = evaluator.image_scores(task.index)
    assert (
        f"score {scores[image]:.3g}, rank {1 + (scores > scores[image]).sum()} of {len(scores)}" in said.value
    )


def test_routed_maps_are_those_of_the_task_chosen(learned: Experiment, monkeypatch) -> None:
    detector = learned.detector
    monkeypatch.setattr(detector, "route", lambda means: torch.zeros(len(means), dtype=torch.long))
    oracle, routed = (browse_heat_maps(learned.evaluators, routed=way) for way in (False, True))
    pictures = []
    for control in (oracle, routed):
        control.children[0].value = learned.tasks[2].name
        pictures.append((control.children[-1].value, control.children[-2].value))
    foreign = learned.evaluators[2].image_scores(0)[0]
    assert pictures[0][0] != pictures[1][0] and f"score {foreign:.3g}" in pictures[1][1]
    assert "routed to another task" in pictures[1][1] and "routed" not in pictures[0][1]
