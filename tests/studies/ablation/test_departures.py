"""The preset `recommended`: every departure has its reason and its row, and its costs stay within bounds."""

from __future__ import annotations

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.studies.ablation import SWITCHES, departure_rows, planned_runs
from moleflow_lib.studies.ablation.departures import REASONS

RECOMMENDED = ExperimentConfig.from_params({"preset": "recommended"})
PUBLISHED = ExperimentConfig()


def test_the_published_preset_departs_from_nothing() -> None:
    assert departure_rows(PUBLISHED) == []


def test_every_departure_has_a_reason_and_a_switch_that_the_preset_runs() -> None:
    planned = {run.switch for run in planned_runs(RECOMMENDED)}
    rows = departure_rows(RECOMMENDED)
    assert rows and all(row["why"] for row in rows)
    for row in rows:
        if row["option"] != "memory_weight":  # it acts only where patches are stored, and is varied, not put back
            assert row["put back by"] in planned, row["option"]
            assert row["option"] in SWITCHES[row["put back by"]].changes, row["option"]


@pytest.mark.parametrize("option", sorted(set(REASONS) - {"memory_weight"}))  # which has no published value to go back to
def test_the_switch_puts_the_option_back(option: str) -> None:
    assert SWITCHES[REASONS[option].undone_by].changes[option] == PUBLISHED[option]


def test_a_task_keeps_at_most_three_point_two_million_values_at_768_channels() -> None:
    flow = MoLESpatialAwareNF(768, RECOMMENDED.flow)
    flow.add_task()
    counts, prototype = flow.parameter_counts(), 768 + 768 * 769 // 2
    assert counts["per_task"] + RECOMMENDED.score.memory_size * 768 + prototype <= 3_200_000


def test_small_values_are_shown_in_full() -> None:
    row = next(row for row in departure_rows(RECOMMENDED) if row["option"] == "lr")
    assert (row["v5_final"], row["here"]) == ("0.0001", "0.001")
