"""Our differences against the public record: every verdict from numbers that force it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.studies.ablation.agreement import agreement_rows

# variation, its differences under two seeds, verdict; published: no DIA −0.06, rank 16 flat, 12 blocks
# collapse
CASES = [
    ("dia_blocks=0", (-0.059, -0.061), "agrees"),
    ("dia_blocks=0", (-0.01, -0.0101), "differs"),
    ("dia_blocks=0", (0.02, 0.0201), "opposite"),
    ("dia_blocks=0", (-0.09, 0.06), "undecided"),
    ("dia_blocks=0", (0.01, -0.01), "undecided"),
    ("lora_rank=16", (0.01, -0.01), "agrees"),
    ("lora_rank=16", (0.02, 0.0201), "differs"),
    ("coupling_layers=12", (-0.3, -0.31), "agrees"),
    ("coupling_layers=12", (0.1, -0.1), "differs"),
    ("coupling_layers=12", (0.3, 0.31), "opposite"),
]


@pytest.mark.parametrize(("variation", "moved", "verdict"), CASES)
def test_verdicts(row: Callable[..., dict], variation: str, moved: tuple[float, float], verdict: str) -> None:
    rows = [row("preset", seed, 0.5) for seed in (0, 1)] + [
        row(variation, seed, 0.5 + gap) for seed, gap in enumerate(moved)
    ]
    found = {r["metric"]: r for r in agreement_rows(rows) if r["variation"] == variation}
    assert found["image_auroc"]["verdict"] == verdict


def test_one_seed_gives_no_verdict_and_unspoken_variations_none_at_all(row: Callable[..., dict]) -> None:
    rows = [row("preset", 0, 0.5), row("use_mixer=false", 0, 0.4), row("top_k=1", 0, 0.4)]
    (only,) = agreement_rows(rows)
    assert (
        only["variation"] == "use_mixer=false"
        and only["metric"] == "pixel_ap"
        and only["verdict"] == "one seed"
    )
    assert only["published"] == pytest.approx(-0.029) and only["contains"] is None
