"""Controls answer to their widgets, and none holds an Output widget."""

from __future__ import annotations

import torch
from ipywidgets import Output, Widget

from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.explore import browse_ablation, browse_heat_maps, browse_images, browse_routes


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
