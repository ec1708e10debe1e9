"""Each variation against the preset under the same seed, with an interval: the same images, order of batches
and start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moleflow_lib.metrics import mean_defined, t_interval
from moleflow_lib.rows import Rows

__all__ = ["class_differences", "metric_differences", "paired_differences", "paired_gap"]

_SAME = 1e-12  # differences of the same size, to rounding


def paired_differences(rows: Rows, metric: str) -> list[dict[str, Any]]:
    """Each variation against the preset, seed by seed.

    Args:
        rows: from `run_ablation`.
        metric: one of `METRICS`.

    Returns:
        One row a variation: `variation`, `mean` of the metric, and the numbers of `paired_gap`.
    """
    preset = _by_seed(rows, "preset", metric)
    return [
        {"variation": variation, "mean": mean_defined(list(own.values())), **paired_gap(own, preset)}
        for variation in dict.fromkeys(row["variation"] for row in rows)
        if (own := _by_seed(rows, variation, metric)) is not None
    ]


def metric_differences(rows: Rows, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """`paired_differences` of several metrics under each other, the preset's own rows left out; `metric` says
    which.
    """
    names = {row["variation"] for row in rows} - {"preset"}
    return [
        {"metric": m, **row}
        for m in metrics
        for row in paired_differences(rows, m)
        if row["variation"] in names
    ]


def class_differences(rows: Rows, metric: str) -> list[dict[str, Any]]:
    """The same for every class by itself: `variation`, `class`, and the numbers of `paired_gap`."""
    classes = list(dict.fromkeys(name for row in rows for name in row["per_class"]))
    preset = {name: _by_seed(rows, "preset", metric, name) for name in classes}
    variations = [
        variation for variation in dict.fromkeys(row["variation"] for row in rows) if variation != "preset"
    ]
    return [
        {
            "variation": variation,
            "class": name,
            **paired_gap(_by_seed(rows, variation, metric, name), preset[name]),
        }
        for variation in variations
        for name in classes
    ]


def paired_gap(own: Mapping[object, float | None], base: Mapping[object, float | None]) -> dict[str, Any]:
    """Mean difference of values that share a seed.

    Args:
        own: seed → value.
        base: seed → value it is compared with; seeds that only one of the two has are left out.

    Returns:
        `difference` (own − base), its Student-t 95 % interval `low`, `high` over seeds (None for one
        seed: a single difference says nothing about the next; and where all seeds differ by the same, as
        they do when few test images change places: an interval without width would claim certainty),
        `spread` (sample standard deviation), `sign`: 1 or −1 where the interval excludes zero, 0 where
        it holds it, None without one; `seeds`.

    >>> wide, narrow = ({0: 0.9, 1: 0.81}, {0: 0.8, 1: 0.7}), ({0: 0.9, 1: 0.9}, {0: 0.8, 1: 0.8})
    >>> paired_gap(*wide)["sign"], paired_gap(*narrow)["sign"]
    (1, None)
    """
    gaps = [
        value - other
        for seed, value in own.items()
        if value is not None and (other := base.get(seed)) is not None
    ]
    spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else None
    one_step = spread is not None and spread < _SAME and any(abs(gap) > _SAME for gap in gaps)
    ends = None if one_step else t_interval(gaps)
    low, high = ends or (None, None)
    return {
        "difference": mean_defined(gaps),
        "low": low,
        "high": high,
        "sign": None if ends is None else int(ends[0] > 0) - int(ends[1] < 0),
        "spread": spread,
        "seeds": len(gaps),
    }


def _by_seed(rows: Rows, variation: str, metric: str, name: str = "") -> dict[object, float | None]:
    """Seed → value of a metric, over all tasks or of one class."""
    own = [row for row in rows if row["variation"] == variation]
    return {row["seed"]: row["per_class"].get(name, {}).get(metric) if name else row[metric] for row in own}
