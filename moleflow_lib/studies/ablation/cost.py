"""What each part costs in values and time, and what it brings: the variation without it tells."""

from __future__ import annotations

from moleflow_lib.metrics import HEADLINES, mean_defined
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation.differences import paired_differences
from moleflow_lib.studies.ablation.parts import PARTS, Part

__all__ = ["part_costs"]


def part_costs(rows: Rows) -> list[dict[str, object]]:
    """One row a part whose removal was run.

    Args:
        rows: from `run_ablation`.

    Returns:
        `part`, `without`: the variation that takes it out, `values` and whether they are `kept` per task or
        shared (of the flow as a whole what each task adds to it), `share` of all values kept per task (None
        for shared ones), training `seconds with` and `seconds without` it a task, and for each headline
        metric what it `brings`: the preset minus the preset without it, with the interval `low`, `high`.
    """
    effects = {
        metric: {row["variation"]: row for row in paired_differences(rows, metric)} for metric in HEADLINES
    }
    found = []
    for part in PARTS:
        name = part.varied_as(rows)
        if name:
            gains = [_gain(metric, effects[metric][name]) for metric in HEADLINES]
            found.append(
                {**_cost(rows, name, part), **{key: value for gain in gains for key, value in gain.items()}}
            )
    return found


def _cost(rows: Rows, name: str, part: Part) -> dict[str, object]:
    preset = next(row for row in rows if row["variation"] == "preset")
    values = sum(preset["parameters"].get(counted, 0) for counted in part.counted)
    kept = None if not values else "shared" if part.shared else "per task"
    return {
        "part": part.name,
        "without": name,
        "values": values,
        "kept": kept,
        "share": values / preset["per_task"] if kept == "per task" else None,
        "seconds with": _seconds(rows, "preset"),
        "seconds without": _seconds(rows, name),
    }


def _gain(metric: str, gap: Row) -> dict[str, object]:
    low, high = (None if gap[side] is None else -gap[side] for side in ("high", "low"))
    brings = None if gap["difference"] is None else -gap["difference"]
    return {f"{metric} brings": brings, f"{metric} low": low, f"{metric} high": high}


def _seconds(rows: Rows, name: str) -> float | None:
    """Training seconds a task, mean over tasks and seeds."""
    return mean_defined(
        [s for row in rows if row["variation"] == name for s in row["seconds_per_task"].values()]
    )
