"""Does it matter which product comes first, and in which order the others follow?"""

from __future__ import annotations

from typing import Any

import numpy as np

from moleflow_lib.metrics import mean_defined
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation.differences import paired_gap

__all__ = ["base_rows", "order_effect", "order_rows", "order_runs"]


def order_runs(rows: Rows) -> dict[str, list[Row]]:
    """Runs of the unchanged preset, by their order of tasks written `a > b > c`."""
    runs: dict[str, list[Row]] = {}
    for row in rows:
        if row["variation"] == "preset" or set(row["changes"]) == {"classes"}:
            runs.setdefault(" > ".join(row["order"]), []).append(row)
    return runs


def order_rows(rows: Rows, metric: str) -> list[dict[str, object]]:
    """Each order's metric, a class a column, means over seeds.

    Returns:
        `order`, `base` (the task the shared flow is trained on), `mean` over tasks, one entry a class,
        `seeds`.
    """
    classes = list(rows[0]["order"]) if rows else []
    return [
        {
            "order": order,
            "base": own[0]["order"][0],
            "mean": mean_defined([row[metric] for row in own]),
            **{name: mean_defined([row["per_class"][name][metric] for row in own]) for name in classes},
            "seeds": len(own),
        }
        for order, own in order_runs(rows).items()
    ]


def base_rows(rows: Rows, metric: str) -> list[dict[str, object]]:
    """Each class as the base task and as a later one, paired by seed.

    Returns:
        `class`, `as base`, `as a later task` (means over orders and seeds), and the numbers of
        `paired_gap` between the two. Classes that were never both are left out.
    """
    runs = [row for own in order_runs(rows).values() for row in own]
    result = []
    for name in dict.fromkeys(name for row in runs for name in row["order"]):
        first, later = (_by_seed(runs, name, metric, first) for first in (True, False))
        if first and later:
            sides = {
                "as base": mean_defined(list(first.values())),
                "as a later task": mean_defined(list(later.values())),
            }
            result.append({"class": name, **sides, **paired_gap(first, later)})
    return result


def order_effect(rows: Rows, metric: str) -> dict[str, Any] | None:
    """How much the order moves the mean over tasks, beside how much the seed does.

    Returns:
        `between_orders`: sample standard deviation of the orders' means; `between_seeds`: pooled
        sample standard deviation within an order (None with one seed); `best`, `worst`: orders; and
        the numbers of `paired_gap` between these two. The two were picked after looking, so their
        gap is the largest of several. None with fewer than two orders.
    """
    runs = {
        order: {row["seed"]: row[metric] for row in own if row[metric] is not None}
        for order, own in order_runs(rows).items()
    }
    means = {order: float(np.mean(list(own.values()))) for order, own in runs.items() if own}
    if len(means) < 2:
        return None
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    spreads = [np.var(list(own.values()), ddof=1) for own in runs.values() if len(own) > 1]
    return {
        "orders": len(means),
        "between_orders": float(np.std(list(means.values()), ddof=1)),
        "between_seeds": float(np.sqrt(np.mean(spreads))) if spreads else None,
        "best": best,
        "worst": worst,
        **paired_gap(runs[best], runs[worst]),
    }


def _by_seed(runs: Rows, name: str, metric: str, first: bool) -> dict[object, float | None]:
    own = [row for row in runs if name in row["order"] and (row["order"][0] == name) == first]
    seeds = dict.fromkeys(row["seed"] for row in own)
    return {
        seed: mean_defined([row["per_class"][name][metric] for row in own if row["seed"] == seed])
        for seed in seeds
    }
