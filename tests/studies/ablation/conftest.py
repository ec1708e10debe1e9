"""Rows as `run_ablation` returns them, made up so that every number can be checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.metrics import METRICS
from moleflow_lib.studies.ablation import parse_variations


def untimed(rows: list[dict]) -> list[dict]:
    """Rows without what a clock measured."""
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in rows]


def made_row(
    variation: str, seed: int, value: float, order: tuple[str, ...] = ("nut", "grid"), **other: object
) -> dict[str, object]:
    """One row as `run_ablation` returns it: a variation, a seed, and the value that every metric takes."""
    changes = {"classes": list(order)} if variation.startswith("order") else {}
    changes |= {
        name: list(value) if isinstance(value, tuple) else value
        for one in parse_variations(variation if "=" in variation else "")
        for name, value in one.items()
    }
    quantiles = {"50": 1.0, "95": 2.0, "99": 3.0, "99.9": 5.0}
    tail = {
        "train": quantiles,
        "normal": quantiles,
        "defects": 4.0,
        "width": 1.0,
        "reach": 4.0,
        "beyond": 0.25,
    }
    return {
        "variation": variation,
        "seed": seed,
        "changes": changes,
        "order": list(order),
        **dict.fromkeys(METRICS, value),
        "per_class": {name: dict.fromkeys(METRICS, value) for name in order},
        "routing": 1.0,
        "seconds": 4.0,
        "device": "cpu",
        "seconds_per_task": dict.fromkeys(order, 2.0),
        "per_task": 100,
        "lora": {"effective_rank": 2.0, "relative_norm": 0.01},
        "parameters": {
            "base": 500,
            "mixer": 7,
            "lora": 60,
            "task_bias": 4,
            "whitening": 6,
            "dia": 30,
            "per_task": 100,
        },
        "tail": {name: dict(tail) for name in order},
        **other,
    }


@pytest.fixture
def row() -> Callable[..., dict[str, object]]:
    """`made_row`."""
    return made_row
