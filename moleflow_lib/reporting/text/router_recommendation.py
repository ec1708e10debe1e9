"""Which estimate to use, in one paragraph: the rule looks at training images, the test images check it."""

from __future__ import annotations

from collections.abc import Sequence

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
    by_kind = {row["variant"]: row for row in evidence}
    row = by_kind[kind]
    worst = min(evidence, key=weakest_accuracy)
    if alike(evidence):
        reserves = ", ".join(f"`{other['variant']}` {_reserve(other)}" for other in evidence)
        return (
            f"On training images all {len(evidence)} estimates route equally well (none below "
            f"{percent(weakest_accuracy(worst))}), so nothing there speaks for another. Stress test, the "
            f"gaps between tasks shrunk until 99 % of the held-out images stay right: {reserves} are left."
        )
    first = (
        f"On training images it routes {percent(row['held_out'])} right when they are held out, "
        f"{percent(row['few_images'])} from prototypes of a few images, and "
        f"{percent(row['one_small_task'])} of a task that alone has few; `{worst['variant']}` falls to "
        f"{percent(weakest_accuracy(worst))} in the worst of the three"
    )
    rest = "; none of the equals has more reserve" if row["min_separation"] is not None else ""
    others = [name for name in dict.fromkeys((used, "euclidean")) if name != kind]
    others_text = ", ".join(f"`{name}` {_reserve(by_kind[name])}" for name in others)
    return (
        f"{first}{rest}: 99 % of the held-out images stay right while the gaps between tasks shrink to "
        f"{_reserve(row)} of what they are ({others_text}). Its largest condition number is "
        f"{row['condition_number']:.0f}."
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
        return f"{text}; no estimate does better{', ' + _listed(level) + ' equally well' if level else ''}."
    far = best["accuracy_low"] > mine["accuracy_high"]
    how = "clearly" if far else "by less than the intervals can tell"
    return f"{text}; `{best['variant']}` does better, {how}, with {percent(best['accuracy'])}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _reserve(row: Row) -> str:
    return "not even today" if row["min_separation"] is None else f"{100 * row['min_separation']:.0f} %"
