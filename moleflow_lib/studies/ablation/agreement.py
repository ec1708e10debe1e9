"""Our differences beside those of the public record: same direction, and is the published value in our
interval?
"""

from __future__ import annotations

from typing import Any

from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation.differences import paired_differences
from moleflow_lib.studies.ablation.parts import PUBLISHED, Published, varied_as

__all__ = ["agreement_rows"]


def agreement_rows(rows: Rows) -> list[dict[str, Any]]:
    """Every published effect whose variation was run.

    Args:
        rows: from `run_ablation`.

    Returns:
        One row an effect: `variation`, `metric`, `record` (its words), `published`, `difference`, `low`,
        `high`, `seeds`, `contains` (whether our interval holds the published value; None without an
        interval or a published number), `verdict`: `agrees`, `opposite`, `differs`, `undecided` or
        `one seed`.
    """
    metrics = dict.fromkeys(effect.metric for effect in PUBLISHED)
    gaps = {(row["variation"], metric): row for metric in metrics for row in paired_differences(rows, metric)}
    named = [(varied_as(rows, effect.changes), effect) for effect in PUBLISHED]
    return [
        _compared(name, effect, gaps[name, effect.metric])
        for name, effect in named
        if name and gaps[name, effect.metric]["difference"] is not None
    ]


def _compared(name: str, effect: Published, own: Row) -> dict[str, Any]:
    low = own["low"]
    published = effect.difference
    contains = None if published is None or low is None else low <= published <= own["high"]
    return {
        "variation": name,
        "metric": effect.metric,
        "record": effect.words,
        "published": effect.difference,
        **{key: own[key] for key in ("difference", "low", "high", "seeds")},
        "contains": contains,
        "verdict": _verdict(effect, own["sign"], contains),
    }


def _verdict(effect: Published, sign: int | None, contains: bool | None) -> str:
    """One word for how we stand to the record.

    `opposite`: we are sure of a sign and it is the other one. `differs`: the published value lies
    outside our interval. `undecided`: the interval holds both the published value and zero, though
    the record claims an effect. A collapse (no number) agrees when we are sure that it is worse.
    """
    if sign is None:
        return "one seed"
    claimed = -1 if effect.difference is None else (effect.difference > 0) - (effect.difference < 0)
    if sign and claimed and sign != claimed:
        return "opposite"
    if effect.difference is None:
        return "agrees" if sign == claimed else "differs"
    if not contains:
        return "differs"
    return "undecided" if claimed and not sign else "agrees"
