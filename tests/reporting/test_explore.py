"""Controls answer to their widgets, and none holds an Output widget."""

from __future__ import annotations

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
