"""The plan as data: what a config expands to, and waves that never train the same task twice at once."""

from __future__ import annotations

import pytest

from moleflow_lib.config import PRESETS, ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.studies.ablation.grid import Grid, plan_rows, planned_runs, waves
from moleflow_lib.studies.ablation.switches import SWITCHES

NAMED = ExperimentConfig().with_(classes=("nut", "grid", "board"), ablation_seeds=(0, 1))


def test_a_grid_is_the_product_of_its_sides() -> None:
    orders = {"": NAMED.data.classes, "order 1": ("grid", "nut", "board")}
    runs = Grid(switches=("preset", "no DIA"), orders=orders, seeds=(3, 5)).runs(NAMED)
    assert [(run.switch, run.seed) for run in runs[:4]] == [("preset", 3), ("no DIA", 3), ("order 1", 3), ("no DIA, order 1", 3)]
    assert len(runs) == 8 and len({run.name for run in runs}) == 8
    assert runs[3].config == NAMED.with_(seed=3, dia_blocks=0, classes=("grid", "nut", "board"))
    assert runs[3].changes == {"dia_blocks": 0, "classes": ("grid", "nut", "board")}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_planned_run_changes_its_preset(preset: str) -> None:
    base = ExperimentConfig.from_params({"preset": preset}).with_(ablation_switches=(), ablation_epochs=0, ablation_orders=())
    runs = planned_runs(base)
    assert len({run.name for run in runs}) == len(runs)
    assert all((run.switch == "preset") != any(base[name] != value for name, value in run.changes.items()) for run in runs)


def test_switches_that_change_nothing_are_left_out() -> None:
    names = {run.switch for run in planned_runs(ExperimentConfig().with_(ablation_switches=("rank 4", "top-1", "rank 64", "top-3")))}
    assert names == {"preset", "rank 4", "top-1"}
    unfinished = ExperimentConfig().with_(use_lora=False, backbone="filterbank", ablation_switches=("rank 4", "block norm", "no DIA"))
    assert {run.switch for run in planned_runs(unfinished)} == {"preset", "no DIA"}, "moot without LoRA, without blocks"
    unwhitened = ExperimentConfig().with_(use_whitening=False, identity_weight=0)
    assert "identity regulariser" not in {run.switch for run in planned_runs(unwhitened)}


def test_orders_run_the_preset_alone() -> None:
    runs = planned_runs(NAMED.with_(ablation_switches=("top-1",), ablation_orders=("board>nut>grid", "nut > grid > board")))
    assert [run.switch for run in runs] == ["preset", "top-1", "preset", "top-1", "order 1", "order 1"]
    assert runs[-1].config.data.classes == ("board", "nut", "grid") and runs[-1].changes == {"classes": ("board", "nut", "grid")}


def test_unknown_switches_and_orders_of_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="no_such"):
        planned_runs(ExperimentConfig().with_(ablation_switches=("no_such",)))
    with pytest.raises(ConfigError, match=r"expected each of nut, grid, board once.*nut>grid"):
        planned_runs(NAMED.with_(ablation_orders=("nut>grid",)))
    with pytest.raises(ConfigError, match="by name"):
        planned_runs(ExperimentConfig().with_(ablation_orders=("nut>grid",)))


def test_a_presets_orders_do_not_follow_it_to_other_products() -> None:
    assert ExperimentConfig.from_params({"preset": "demo"}).study.ablation_orders
    for other in ({"classes": "leather"}, {"ablation_classes": "leather,nut"}):
        assert ExperimentConfig.from_params({"preset": "demo", **other}).study.ablation_orders == ()


def test_no_wave_trains_a_task_twice() -> None:
    runs = planned_runs(NAMED.with_(ablation_orders=("nut>board>grid", "grid>nut>board"), ablation_switches=tuple(SWITCHES)))
    made: set = set()
    parts = waves(runs)
    for wave in parts:
        new = [run.trains() - made for run in wave]
        assert sum(map(len, new)) == len(set().union(*new)), "two runs of one wave would write the same file"
        made |= set().union(*new)
    assert sorted(run.name for wave in parts for run in wave) == sorted(run.name for run in runs)
    first = {run.switch for run in parts[0]}
    assert {"preset", "no DIA", "order 2"} <= first and not {"top-1", "router tied", "order 1"} & first


@pytest.mark.parametrize("preset", ["v5_final", "recommended", "demo"])
def test_every_plan_can_be_shown(preset: str) -> None:
    two = {"classes": "nut,grid", "ablation_classes": "nut,grid", "ablation_orders": "grid>nut"}
    rows = plan_rows(planned_runs(ExperimentConfig.from_params({"preset": preset, **two})))
    assert all(row["what"] and (row["changes"] or row["switch"] == "preset") for row in rows)
    shown = {row["switch"]: row["changes"] for row in rows}
    assert shown["order 1"] == "classes = grid > nut" and shown.get("even blocks", "blocks = 2, 4, 6, 8") == "blocks = 2, 4, 6, 8"
