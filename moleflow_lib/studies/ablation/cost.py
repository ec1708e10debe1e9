"""What each part costs in values and time, and what it brings: the switch that takes it out tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.metrics import mean_defined
from moleflow_lib.studies.ablation.differences import paired_differences
from moleflow_lib.studies.ablation.switches import SWITCHES

__all__ = ["part_costs"]

_SHARED = ("base", "mixer")
_JOINT = {"the flow's score": ("lora", "task_bias", "whitening", "dia")}  # parts that stand for several counted ones
_EFFECTS = ("image_auroc", "pixel_ap", "aupro")


def part_costs(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """One row a part whose removal was run.

    Args:
        rows: from `run_ablation`.

    Returns:
        `part`, `switch` that takes it out, `values` and whether they are `kept` per task or shared (of the flow as a
        whole what each task adds to it),
        `share` of all values kept per task (None for shared ones), training `seconds with` and
        `without` it a task, and for image AUROC, pixel AP and AUPRO what it `brings`: the preset minus
        the preset without it, with the interval `low`, `high`.
    """
    present = {row["switch"] for row in rows}
    effects = {metric: {row["switch"]: row for row in paired_differences(rows, metric)} for metric in _EFFECTS}
    return [
        {**_cost(rows, name, switch.part), **{k: v for metric in _EFFECTS for k, v in _gain(metric, effects[metric][name]).items()}}
        for name, switch in SWITCHES.items() if switch.part and name in present
    ]


def _cost(rows: Sequence[Mapping[str, object]], switch: str, part: str) -> dict[str, object]:
    preset = next(row for row in rows if row["switch"] == "preset")
    values = sum(preset["parameters"].get(name, 0) for name in _JOINT.get(part, (part,)))
    kept = None if not values else "shared" if part in _SHARED else "per task"
    return {
        "part": part, "switch": switch, "values": values, "kept": kept,
        "share": values / preset["per_task"] if kept == "per task" else None,
        "seconds with": _seconds(rows, "preset"), "seconds without": _seconds(rows, switch),
    }


def _gain(metric: str, gap: Mapping[str, object]) -> dict[str, object]:
    low, high = (None if gap[side] is None else -gap[side] for side in ("high", "low"))
    brings = None if gap["difference"] is None else -gap["difference"]
    return {f"{metric} brings": brings, f"{metric} low": low, f"{metric} high": high}


def _seconds(rows: Sequence[Mapping[str, object]], switch: str) -> float | None:
    """Training seconds a task, mean over tasks and seeds."""
    return mean_defined([s for row in rows if row["switch"] == switch for s in row["seconds_per_task"].values()])
