"""Notebook 04: the choice of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.narrative.words import percent
from moleflow_lib.tables import number

__all__ = ["router_sentences"]


def router_sentences(
    rows: Sequence[Mapping[str, object]], cost: Sequence[Mapping[str, object]], used: str
) -> list[str]:
    """Summary of notebook 04."""
    best = max(rows, key=lambda row: row["accuracy"])
    mine = next(row for row in rows if row["variant"] == used)
    euclid = next(row for row in rows if row["variant"] == "euclidean")
    sentences = [
        f"The preset's `{used}` covariance sends {percent(mine['accuracy'])} of the images to their task "
        f"({percent(mine['accuracy_normal'])} of the normal, {percent(mine['accuracy_anomalous'])} of the defective ones); "
        f"Euclidean distance {percent(euclid['accuracy'])}; best is `{best['variant']}` with {percent(best['accuracy'])}.",
        f"Its worst condition number is {mine['condition_number']:.1e}.",
        f"Routing costs {number(mine['image_auroc_lost'])} image AUROC and {number(mine['pixel_ap_lost'])} pixel AP "
        "against being told the task, as means over tasks.",
    ]
    drops = [_worst_drop(row, cost) for row in cost if row["task"] != row["sent to"] and row["image_auroc"] is not None]
    if drops:
        drop, pair = max(drops)
        sentences.append(f"The dearest wrong route sends all of {pair}: {drop:.3f} image AUROC lost.")
    return sentences


def _worst_drop(row: Mapping[str, object], cost: Sequence[Mapping[str, object]]) -> tuple[float, str]:
    own = next(r for r in cost if r["task"] == r["sent to"] == row["task"])
    return own["image_auroc"] - row["image_auroc"], f"{row['task']} to {row['sent to']}"
