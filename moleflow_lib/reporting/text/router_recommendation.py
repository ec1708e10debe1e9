"""Which estimate to use, decision first: the rule looks at training images, the test images check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.reporting.text.words import percent
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.routing.covariance_choice import alike, preferred, weakest_accuracy

__all__ = ["recommendation"]


def recommendation(evidence: Rows, variants: Rows, used: str, tasks: int) -> dict[str, str]:
    """The estimate that training images speak for, why, and what test images say.

    Args:
        evidence: `covariance_choice.covariance_evidence`; it alone decides.
        variants: `study_routers`; only quoted.
        used: the preset's estimate.
        tasks: T.

    Returns:
        `covariance`, `advice` (the end of a sentence) and `text`. Where all estimates route alike, the
        preset's stays: a stress test alone is no reason to change it.
    """
    if tasks < 2:
        nothing = "with a single task there is nothing to route"
        return {"covariance": used, "advice": nothing, "text": f"Stay with `{used}`: {nothing}."}
    if alike(evidence):
        kind, advice = used, f"on training images all {len(evidence)} covariances route alike"
    else:
        kind = preferred(evidence, used)
        advice = "training images speak for " + ("staying with it" if kind == used else f"`{kind}` instead")
    head = f"Stay with `{kind}`" if kind == used else f"Use `{kind}` instead of the preset's `{used}`"
    text = f"{head}. {_why(evidence, kind, used)} {_check(variants, kind)}"
    return {"covariance": kind, "advice": advice, "text": text}


def _why(evidence: Rows, kind: str, used: str) -> str:
    """What training images say, in short sentences; the notebook's table holds all of it."""
    by_kind = {row["variant"]: row for row in evidence}
    worst = min(evidence, key=weakest_accuracy)
    if alike(evidence):
        return (
            f"On training images all {len(evidence)} estimates route equally well (none below "
            f"{percent(weakest_accuracy(worst))}), so nothing there speaks for another. "
            "Stress test: the gaps between tasks are shrunk until 99 % of the held-out images just stay "
            "right. What they shrink to, as a share of what they are (less is safer): "
            f"{_reserves(list(by_kind), by_kind)}."
        )
    row = by_kind[kind]
    others = [name for name in dict.fromkeys((used, "euclidean")) if name != kind]
    return (
        f"On training images it routes {percent(row['held_out'])} right when they are held out, and "
        f"{percent(row['few_images'])} from prototypes of a few images. "
        f"Of a task that alone has few it routes {percent(row['one_small_task'])} right. "
        f"`{worst['variant']}` falls to {percent(weakest_accuracy(worst))} in the worst of the three. "
        + ("None of the equals has more reserve. " if row["min_separation"] is not None else "")
        + "99 % of the held-out images stay right while the gaps between tasks shrink to "
        f"{_reserve(row)} of what they are ({_reserves(others, by_kind)}). "
        f"Its largest condition number is {row['condition_number']:.0f}."
    )


def _check(variants: Rows, kind: str) -> str:
    """What the test images, which had no say, make of it."""
    mine = next(row for row in variants if row["variant"] == kind)
    if mine["accuracy"] is None:
        return "No labelled test image can check this."
    best = max(variants, key=lambda row: row["accuracy"])
    ends = f"{percent(mine['accuracy_low'])} to {percent(mine['accuracy_high'])}"
    text = f"Check on test images, which had no say: {percent(mine['accuracy'])} right (95 % interval {ends})"
    level = [row["variant"] for row in variants if row["accuracy"] == mine["accuracy"] and row is not mine]
    if best["accuracy"] <= mine["accuracy"]:
        return f"{text}; no estimate does better." + (f" As well does: {_listed(level)}." if level else "")
    far = best["accuracy_low"] > mine["accuracy_high"]
    how = "clearly" if far else "by less than the intervals can tell"
    return f"{text}. `{best['variant']}` does better, {how}, with {percent(best['accuracy'])}."


def _reserves(kinds: Sequence[str], by_kind: Mapping[str, Row]) -> str:
    return ", ".join(f"`{kind}` {_reserve(by_kind[kind])}" for kind in kinds)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _reserve(row: Row) -> str:
    return "not even today" if row["min_separation"] is None else f"{100 * row['min_separation']:.0f} %"
