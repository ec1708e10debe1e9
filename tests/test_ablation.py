"""Ablations: the plan as data, runs kept by key, differences paired by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib import ablation
from moleflow_lib.ablation import SWITCHES, paired_differences, planned_runs, run_ablation
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, ConfigError


def test_the_switches_cover_the_method() -> None:
    fields = {name for _, changes in SWITCHES.values() for name in changes}
    assert fields >= {"use_whitening", "tail_weight", "use_mixer", "use_position", "use_lora", "dia_blocks",
                      "coupling_layers", "lora_rank", "top_k", "count_adapter_volume"}


def test_every_switch_is_valid_against_every_preset() -> None:
    for preset in ("v5_final", "demo"):
        for run in planned_runs(ExperimentConfig.from_params({"preset": preset}).with_(ablation_switches=())):
            assert run.switch == "preset" or run.config != ExperimentConfig.from_params({"preset": preset})


def test_switches_that_change_nothing_are_left_out() -> None:
    names = {run.switch for run in planned_runs(ExperimentConfig(ablation_switches=("rank 4", "top-1")))}
    assert names == {"preset", "rank 4", "top-1"}
    assert "tail per batch" not in {run.switch for run in planned_runs(ExperimentConfig())}


def test_unknown_switches_are_refused() -> None:
    with pytest.raises(ConfigError, match="no_such"):
        planned_runs(ExperimentConfig(ablation_switches=("no_such",)))


def test_runs_are_kept_and_not_run_again(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = planned_runs(tiny_config())
    rows = run_ablation(runs, tmp_path / "kept")
    assert len(rows) == 6 and {row["switch"] for row in rows} == {"preset", "no DIA", "top-1"}
    assert all(set(row["per_class"]) == {"leather", "nut"} for row in rows)
    monkeypatch.setattr(ablation, "_measure", lambda *_: pytest.fail("ran again"))
    assert run_ablation(runs, tmp_path / "kept") == rows


def test_a_damaged_result_is_refused(tiny_config: Callable[..., ExperimentConfig], tmp_path: Path) -> None:
    runs = planned_runs(tiny_config(ablation_switches=("top-1",), ablation_seeds=(0,)))[:1]
    run_ablation(runs, tmp_path)
    path = next(tmp_path.glob("*.json"))
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    with pytest.raises(ArtifactError, match="damaged"):
        run_ablation(runs, tmp_path)


def test_differences_are_paired_by_seed() -> None:
    rows = [
        {"switch": "preset", "seed": 0, "m": 0.5}, {"switch": "preset", "seed": 1, "m": 0.9},
        {"switch": "x", "seed": 0, "m": 0.4}, {"switch": "x", "seed": 1, "m": 0.8},
    ]
    _, row = paired_differences(rows, "m")
    assert row["difference"] == pytest.approx(-0.1) and row["spread"] == pytest.approx(0.0, abs=1e-12) and row["seeds"] == 2
