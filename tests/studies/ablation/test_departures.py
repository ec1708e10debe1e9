"""The preset `recommended`: every departure has its reason and its row, and its costs stay within bounds."""

from __future__ import annotations

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.presets import REASONS
from moleflow_lib.studies.ablation import departure_rows, planned_runs

RECOMMENDED = ExperimentConfig.from_params({"preset": "recommended"})


def test_the_published_preset_departs_from_nothing() -> None:
    assert departure_rows(ExperimentConfig.from_params({"preset": "v5_final"})) == []


def test_every_departure_has_a_reason_and_a_planned_variation_that_puts_it_back() -> None:
    rows = departure_rows(RECOMMENDED, planned_runs(RECOMMENDED))
    assert {row["option"] for row in rows} == set(REASONS)
    assert all(row["why"] and row["put back by"] for row in rows), [
        row["option"] for row in rows if not row["put back by"]
    ]


def test_a_variation_that_is_not_planned_is_not_named() -> None:
    assert not any(row["put back by"] for row in departure_rows(RECOMMENDED))


def test_a_task_keeps_at_most_three_point_two_million_values_at_768_channels() -> None:
    flow = MoLESpatialAwareNF(768, RECOMMENDED.flow)
    counts = flow.new_parts("task", first=True).counts()
    assert counts["whitening"] == 2 * 768 + 768 + 768 * 769 // 2 + 1
    prototype = 768 + 768 * 769 // 2
    assert counts["per_task"] + RECOMMENDED.score.memory_size * 768 + prototype <= 3_200_000


def test_small_values_are_shown_in_full() -> None:
    row = next(row for row in departure_rows(ExperimentConfig().with_(lr=1e-3)) if row["option"] == "lr")
    assert (row["v5_final"], row["here"]) == ("0.0001", "0.001")
