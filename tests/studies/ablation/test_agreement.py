"""Our differences against the public record: every verdict from numbers that force it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.studies.ablation.agreement import agreement_rows

CASES = [  # switch, its differences under two seeds, verdict; published: no DIA −0.06, rank 16 flat, 12 blocks collapse
    ("no DIA", (-0.059, -0.061), "agrees"),
    ("no DIA", (-0.01, -0.0101), "differs"),
    ("no DIA", (0.02, 0.0201), "opposite"),
    ("no DIA", (-0.09, 0.06), "undecided"),
    ("no DIA", (0.01, -0.01), "undecided"),
    ("rank 16", (0.01, -0.01), "agrees"),
    ("rank 16", (0.02, 0.0201), "differs"),
    ("12 blocks", (-0.3, -0.31), "agrees"),
    ("12 blocks", (0.1, -0.1), "differs"),
    ("12 blocks", (0.3, 0.31), "opposite"),
]


@pytest.mark.parametrize(("switch", "moved", "verdict"), CASES)
def test_verdicts(row: Callable[..., dict], switch: str, moved: tuple[float, float], verdict: str) -> None:
    rows = [row("preset", seed, 0.5) for seed in (0, 1)] + [row(switch, seed, 0.5 + gap) for seed, gap in enumerate(moved)]
    found = {r["metric"]: r for r in agreement_rows(rows) if r["switch"] == switch}
    assert found["image_auroc"]["verdict"] == verdict


def test_one_seed_gives_no_verdict_and_unspoken_switches_none_at_all(row: Callable[..., dict]) -> None:
    rows = [row("preset", 0, 0.5), row("no mixer", 0, 0.4), row("top-1", 0, 0.4)]
    (only,) = agreement_rows(rows)
    assert only["switch"] == "no mixer" and only["metric"] == "pixel_ap" and only["verdict"] == "one seed"
    assert only["published"] == pytest.approx(-0.029) and only["contains"] is None
