"""Notebook 05's answer: which parts earn their place, which do not, and which settings were better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.errors import counted
from moleflow_lib.metrics import HEADLINES
from moleflow_lib.reporting.text.words import listed, title
from moleflow_lib.rows import Rows
from moleflow_lib.studies.ablation.cost import part_costs
from moleflow_lib.studies.ablation.differences import paired_differences
from moleflow_lib.studies.ablation.parts import PARTS

__all__ = ["earned_sentence", "is_setting"]

_SHOWN = 3  # settings; the sentences below have all


def earned_sentence(rows: Rows) -> str:
    """What the intervals decide of every part and setting, in one paragraph.

    A part earns its place by raising a headline metric and lowering none; what its intervals decide in
    neither direction is listed as open.

    Args:
        rows: from `run_ablation`.
    """
    seeds = len({row["seed"] for row in rows})
    if seeds < 2:
        return "One seed decides nothing: no part can be said to earn its place here, or not to."
    effects = {str(row["part"]): _part_effect(row) for row in part_costs(rows)}
    earn = [f"{part} ({_metrics(up)})" for part, (up, down) in effects.items() if up and not down]
    harm = [f"{part} ({_metrics(down)})" for part, (up, down) in effects.items() if down and not up]
    mixed = [f"{part} ({_both(*moved)})" for part, moved in effects.items() if all(moved)]
    still = [part for part, moved in effects.items() if not any(moved)]
    where = listed(rows[0]["order"])
    found = "earned their place" if len(earn) > 1 else "earned its place"
    told = [f"On {where}, {listed(earn)} {found}." if earn else f"On {where}, no part earned its place."]
    if not effects:
        told = ["No part was taken out in these runs."]
    told += [f"Better without: {', '.join(harm)}."] if harm else []
    told += [f"Helps and harms: {', '.join(mixed)}."] if mixed else []
    told += [f"No effect that {counted(seeds, 'seed')} can tell: {', '.join(still)}."] if still else []
    return " ".join([*told, *_better_settings(rows)])


def is_setting(changes: Mapping[str, object]) -> bool:
    """Whether a run changes a setting: no part is taken out, no order of tasks changed."""
    return bool(changes) and "classes" not in changes and not any(part.removed_by(changes) for part in PARTS)


def _part_effect(row: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Metrics that a part raises, and that it lowers."""
    return _moved({m: (row[f"{m} low"], row[f"{m} high"]) for m in HEADLINES})


def _moved(intervals: Mapping[str, tuple]) -> tuple[list[str], list[str]]:
    known = {metric: ends for metric, ends in intervals.items() if ends[0] is not None}
    up = [metric for metric, (low, _) in known.items() if low > 0]
    down = [metric for metric, (_, high) in known.items() if high < 0]
    return up, down


def _better_settings(rows: Rows) -> list[str]:
    """Settings that some metric says are better than the preset's, those better in most of them first."""
    settings = {row["variation"] for row in rows if is_setting(row["changes"])}
    intervals: dict[str, dict[str, tuple]] = {name: {} for name in settings}
    for metric in HEADLINES:
        for gap in paired_differences(rows, metric):
            if gap["variation"] in settings:
                intervals[gap["variation"]][metric] = (gap["low"], gap["high"])
    moved = {name: _moved(ends) for name, ends in sorted(intervals.items())}
    better = sorted((name for name in moved if moved[name][0]), key=lambda name: -len(moved[name][0]))
    if not better:
        return []
    listed = "; ".join(f"`{name}` ({_both(*moved[name])})" for name in better[:_SHOWN])
    more = f"; {len(better) - _SHOWN} more below" if len(better) > _SHOWN else ""
    return [f"Settings better than the preset's: {listed}{more}."]


def _both(up: Sequence[str], down: Sequence[str]) -> str:
    worse = f", but lower {_metrics(down)}" if down else ""
    return f"higher {_metrics(up)}{worse}"


def _metrics(names: Sequence[str]) -> str:
    return ", ".join(title(name) for name in names)
