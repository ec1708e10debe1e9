"""What the parts cost and bring, with signs turned: the preset minus the preset without the part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.studies.ablation.cost import part_costs


def test_costs_and_gains(row: Callable[..., dict]) -> None:
    rows = [
        row("preset", 0, 0.8),
        row("preset", 1, 0.8),
        row("dia_blocks=0", 0, 0.7, seconds_per_task={"nut": 1.0, "grid": 1.0}),
        row("dia_blocks=0", 1, 0.6, seconds_per_task={"nut": 1.0, "grid": 1.0}),
        row("use_mixer=false", 0, 0.9),
        row("lora_rank=4", 0, 0.1),
    ]
    mixer, dia = part_costs(rows)
    assert (dia["part"], dia["values"], dia["kept"], dia["share"]) == ("DIA", 30, "per task", 0.3)
    assert (dia["seconds with"], dia["seconds without"]) == (2.0, 1.0)
    assert dia["image_auroc brings"] == pytest.approx(0.15)
    assert dia["image_auroc low"] < 0.15 < dia["image_auroc high"]
    assert dia["image_auroc high"] - 0.15 == pytest.approx(0.15 - dia["image_auroc low"])
    assert (mixer["values"], mixer["kept"], mixer["share"], mixer["image_auroc low"]) == (
        7,
        "shared",
        None,
        None,
    )
    assert mixer["image_auroc brings"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    "without", ["score_parts=gaussian,memory, image_parts=memory", "score_parts=memory"], ids=["three", "two"]
)
def test_the_flow_as_a_whole_is_charged_with_all_that_a_task_adds_to_it(
    row: Callable[..., dict], without: str
) -> None:
    counts = {
        "base": 500,
        "mixer": 7,
        "lora": 40,
        "task_bias": 2,
        "whitening": 8,
        "dia": 30,
        "stored_patches": 20,
        "per_task": 100,
    }
    rows = [row("preset", 0, 0.8, parameters=counts), row(without, 0, 0.7)]
    (flow,) = part_costs(rows)
    assert (flow["part"], flow["values"], flow["kept"], flow["share"]) == (
        "the flow's score",
        72,
        "per task",
        0.72,
    )
