"""The plan as data: what a config expands to, and waves that never train the same task twice at once."""

from __future__ import annotations

import pytest

from moleflow_lib.config import PRESETS, ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.studies.ablation.grid import left_out_line, plan_rows, planned_runs, waves

NAMED = ExperimentConfig().with_(classes=("nut", "grid", "board"), ablation_seeds=(0, 1))


def _names(**options: object) -> set[str]:
    return {run.variation for run in planned_runs(ExperimentConfig().with_(**options))}


def test_every_variation_runs_with_every_seed_beside_the_preset() -> None:
    runs = planned_runs(NAMED.with_(ablations="dia_blocks=0; lora_rank=4, top_k=1"))
    assert [(run.variation, run.seed) for run in runs] == [
        (name, seed) for seed in (0, 1) for name in ("preset", "dia_blocks=0", "lora_rank=4, top_k=1")
    ]
    assert runs[1].config == NAMED.with_(ablations="dia_blocks=0; lora_rank=4, top_k=1", seed=0, dia_blocks=0)
    assert runs[1].changes == {"dia_blocks": 0} and len({run.name for run in runs}) == len(runs)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_planned_run_changes_its_preset(preset: str) -> None:
    base = ExperimentConfig.from_params({"preset": preset}).with_(ablation_orders=())
    runs = planned_runs(base)
    assert len({run.name for run in runs}) == len(runs) > 10
    assert all(
        (run.variation == "preset") != any(base[name] != value for name, value in run.changes.items())
        for run in runs
    )


def test_variations_that_change_nothing_are_left_out() -> None:
    assert _names(ablations="lora_rank=4|64; top_k=1|3") == {"preset", "lora_rank=4", "top_k=1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed=3", "use ablation_seeds"),
        ("classes=a,b", "use ablation_classes or ablation_orders"),
        ("device=cpu", "changes no number"),
        ("bank_share=0.5", "changes no number"),
        ("no_such=1", "unknown parameter"),
    ],
)
def test_what_is_no_question_about_the_method_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned_runs(NAMED.with_(ablations=text))


def test_what_the_backbone_does_not_have_is_left_out_of_a_presets_list_and_told() -> None:
    params = {"preset": "recommended", "backbone": "filterbank"}
    config = ExperimentConfig.from_params(params)
    timm = {run.variation for run in planned_runs(config.with_(backbone="vit_tiny_patch16_224"))}
    left = {run.variation for run in planned_runs(config)}
    assert timm - left == {"block_norm=false", "overlap=2"} and left < timm
    told = "Left out: block_norm=false; overlap=2: backbone=filterbank has no such option."
    assert left_out_line(config) == told and left_out_line(config.with_(backbone="resnet18")) == ""
    with pytest.raises(ConfigError, match="ablations: overlap=2: backbone=filterbank has no such option; le"):
        planned_runs(config.with_(ablations="top_k=1; overlap=2"))
    back = planned_runs(config.with_(ablations="backbone=resnet18, overlap=2"))
    assert {run.variation for run in back} == {"preset", "backbone=resnet18, overlap=2"}


def test_orders_run_the_preset_alone() -> None:
    runs = planned_runs(
        NAMED.with_(ablations="top_k=1", ablation_orders=("board>nut>grid", "nut > grid > board"))
    )
    assert [run.variation for run in runs] == ["preset", "top_k=1", "preset", "top_k=1", "order 1", "order 1"]
    assert runs[-1].config.data.classes == ("board", "nut", "grid") == runs[-1].changes["classes"]


def test_orders_of_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected each of nut, grid, board once.*nut>grid"):
        planned_runs(NAMED.with_(ablation_orders=("nut>grid",)))
    with pytest.raises(ConfigError, match="by name"):
        planned_runs(ExperimentConfig().with_(ablation_orders=("nut>grid",)))


def test_a_presets_orders_do_not_follow_it_to_other_products() -> None:
    assert ExperimentConfig.from_params({"preset": "demo"}).study.ablation_orders
    for other in ({"classes": "leather"}, {"ablation_classes": "leather,nut"}):
        assert ExperimentConfig.from_params({"preset": "demo", **other}).study.ablation_orders == ()


def test_no_wave_trains_a_task_twice() -> None:
    base = ExperimentConfig.from_params({"preset": "v5_final"})
    config = NAMED.with_(ablation_orders=("nut>board>grid", "grid>nut>board"), ablations=base.study.ablations)
    runs = planned_runs(config)
    made: set = set()
    parts = waves(runs)
    for wave in parts:
        new = [run.trains() - made for run in wave]
        assert sum(map(len, new)) == len(set().union(*new)), "two runs of one wave would write the same file"
        made |= set().union(*new)
    assert sorted(run.name for wave in parts for run in wave) == sorted(run.name for run in runs)
    first = {run.variation for run in parts[0]}
    assert {"preset", "dia_blocks=0", "order 2"} <= first
    assert not {"top_k=1", "router_covariance=tied", "order 1"} & first


def test_a_plan_can_be_shown() -> None:
    rows = plan_rows(planned_runs(NAMED.with_(ablations="top_k=1", ablation_orders=("grid>nut>board",))))
    assert [row["variation"] for row in rows] == ["preset", "top_k=1", "order 1"]
    assert rows[-1] == {"variation": "order 1", "tasks": "grid > nut > board", "seeds": "0, 1"}
