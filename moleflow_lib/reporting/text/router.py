"""Notebook 04: the choice of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import percent
from moleflow_lib.rows import Row, Rows

__all__ = ["misrouted_caption", "misrouted_table", "router_sentences", "variant_table"]


def variant_table(rows: Rows) -> list[dict[str, object]]:
    """The columns of `study_routers` that fit a page; the result file holds all of them."""
    kept = ("condition_number", "image_auroc_lost", "pixel_ap_lost")
    return [
        {
            "variant": row["variant"],
            "accuracy": row["accuracy"],
            "Wilson interval": _ends(row, "accuracy"),
            **{name: row[name] for name in kept},
        }
        for row in rows
    ]


def misrouted_table(
    rows: Rows, metrics: Sequence[str] = ("image_auroc", "image_ap", "pixel_ap")
) -> list[dict[str, object]]:
    """What misrouted images cost each task, with intervals."""
    return [
        {
            "task": row["task"],
            "test images": row["images"],
            "misrouted": row["misrouted"],
            **{f"{metric}_lost": _with_ends(row, f"{metric}_lost") for metric in metrics},
        }
        for row in rows
    ]


def misrouted_caption(rows: Rows) -> str:
    """What `misrouted_table` shows, or that there is nothing to show."""
    if not any(row["misrouted"] for row in rows):
        return (
            "No labelled test image was misrouted, so nothing was lost. "
            "The figure above is what a wrong choice would cost."
        )
    return "What the images that were really misrouted cost: oracle minus routed."


def router_sentences(result: Mapping[str, Any], used: str) -> list[str]:
    """Summary of notebook 04: the answer to its question first.

    Args:
        result: contents of `04_router_analysis.result.json`.
        used: the preset's estimate.
    """
    kinds = list(dict.fromkeys((used, result["recommendation"]["covariance"])))
    sentences = [_answer(result, used), f"Recommendation. {result['recommendation']['text']}"]
    if _row(result["variants"], used)["accuracy"] is None:
        return [*sentences, "No test image is labelled, so nothing else can be said of the router."]
    return [*sentences, _accuracy(result["variants"], used), _unknown(result, kinds), _cost(result, used)]


def _answer(result: Mapping[str, Any], used: str) -> str:
    """The decision, how well the preset's estimate routes, and at which cost, in one sentence."""
    mine = _row(result["variants"], used)
    kind, advice = (result["recommendation"][key] for key in ("covariance", "advice"))
    decision = "Stay" if kind == used else f"Use `{kind}`"
    if mine["accuracy"] is None:
        return (
            f"{decision}: the preset routes by `{used}`; {advice}; no test image is labelled, so its errors "
            "are unknown."
        )
    cost = f"wrong routes cost {number(mine['image_auroc_lost'])} image AUROC"
    return (
        f"{decision}: the preset's `{used}` sends {percent(mine['accuracy'])} of the test images to their "
        f"task, {cost if _misrouted(result) else 'none is misrouted'}, and {advice}."
    )


def _accuracy(rows: Rows, used: str) -> str:
    mine = _row(rows, used)
    others = ", ".join(f"`{row['variant']}` {percent(row['accuracy'])}" for row in rows if row is not mine)
    return (
        f"Accuracy of `{used}` on test images: 95 % Wilson interval {_ends(mine, 'accuracy', share=True)}; "
        f"normal ones {percent(mine['accuracy_normal'])}, "
        f"defective ones {percent(mine['accuracy_anomalous'])}. Other estimates: {others}."
    )


def _unknown(result: Mapping[str, Any], kinds: Sequence[str]) -> str:
    texts = []
    for row in (_row(result["unknown"], kind) for kind in kinds):
        missed = (
            ""
            if row["missed"] is None
            else f" and misses {percent(row['missed'])} of a left-out product's images"
        )
        texts.append(
            f"`{row['variant']}` refuses {percent(row['false_alarm_normal'])} of the known tasks' normal "
            f"images, {percent(row['false_alarm_defective'])} of their defective ones{missed}"
        )
    nominal = percent(1 - result["router_accept"])
    return f"Open-set rejection, nominal false alarms {nominal}. {'. '.join(texts)}."


def _cost(result: Mapping[str, Any], used: str) -> str:
    """What was lost to wrong routes, where there were any, and what one would cost."""
    return " ".join(filter(None, [_lost(result, used), _hardest_hit(result), _would_cost(result)]))


def _lost(result: Mapping[str, Any], used: str) -> str:
    mine = _row(result["variants"], used)
    if _misrouted(result) == 0:
        return f"`{used}` misrouted no labelled test image, so wrong routes cost nothing here."
    return (
        f"Wrong routes of `{used}` cost {number(mine['image_auroc_lost'])} image AUROC and "
        f"{number(mine['pixel_ap_lost'])} pixel AP against the oracle, means over tasks."
    )


def _hardest_hit(result: Mapping[str, Any]) -> str:
    """The task that lost most pixel AP to images that were really misrouted; empty where none was."""
    hit = [row for row in result["misrouted"] if row["misrouted"] and row["pixel_ap_lost"] is not None]
    worst = max(hit, key=lambda row: row["pixel_ap_lost"], default=None)
    if worst is None:
        return ""
    return (
        f"Most on {worst['task']}: {worst['misrouted']} of {worst['images']} images misrouted, pixel AP "
        f"{number(worst['pixel_ap_lost'])} lost (95 % interval {_ends(worst, 'pixel_ap_lost')})."
    )


def _would_cost(result: Mapping[str, Any]) -> str:
    """The most expensive route that nothing took: all images of a task under another one's parts."""
    drops = [
        _drop(row, result["wrong_route_cost"])
        for row in result["wrong_route_cost"]
        if row["task"] != row["sent to"] and row["image_auroc"] is not None
    ]
    if not drops:
        return ""
    drop, pair = max(drops)
    return f"Were all images of a task sent wrong, it would cost {drop:.3f} image AUROC at worst ({pair})."


def _drop(row: Row, cost: Rows) -> tuple[float, str]:
    own = next(r for r in cost if r["task"] == r["sent to"] == row["task"])
    return own["image_auroc"] - row["image_auroc"], f"{row['task']} to {row['sent to']}"


def _misrouted(result: Mapping[str, Any]) -> int:
    """Test images that the preset's router sent to another task."""
    return sum(row["misrouted"] for row in result["misrouted"])


def _with_ends(row: Row, key: str) -> str:
    ends = _ends(row, key)
    return number(row[key]) + (f" ({ends})" if ends else "")


def _row(rows: Rows, kind: str) -> Row:
    return next(row for row in rows if row["variant"] == kind)


def _ends(row: Row, key: str, share: bool = False) -> str | None:
    """Both ends of an interval as text; None where it is undefined."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    if low is None:
        return None
    return f"{percent(low)} to {percent(high)}" if share else f"{low:.3f} to {high:.3f}"
