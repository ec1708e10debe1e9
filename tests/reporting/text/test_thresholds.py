"""The tile of thresholds: the smallest rate asked for, and what can be promised of it."""

from __future__ import annotations

import pytest

from moleflow_lib.reporting.text.thresholds import threshold_tile


def _row(task: str, asked: float, promised: float) -> dict[str, object]:
    shares = {"over threshold": 0.25, "caught": 0.5, "caught low": 0.3, "caught high": 0.7}
    counts = {"normal": 8, "defective": 4, "refused normal": 1}
    return {"task": task, "asked": asked, "promised": promised, **shares, **counts}


@pytest.mark.parametrize(("least", "beside"), [(0.02, " (2.0 % can be promised)"), (0.005, "")])
def test_the_tile_says_where_the_rate_asked_for_cannot_be_promised(least: float, beside: str) -> None:
    rows = [
        _row(task, asked, max(asked, least if task != "all" else 0.0))
        for asked in (0.05, 0.01)
        for task in ("nut", "all")
    ]
    (tile,) = threshold_tile(rows)
    assert tile["label"] == f"defects caught, 1.0 % false alarms asked for{beside}"
    assert tile["against"] == "over the threshold or refused as unknown; of 8 normal images 2 and 1"
