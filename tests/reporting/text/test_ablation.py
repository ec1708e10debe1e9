"""The summary of notebook 05 holds the numbers of the run and what their intervals decide."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.figures import ablation as figures
from moleflow_lib.reporting.text.ablation import ablation_results, ablation_sentences
from moleflow_lib.studies.ablation import agreement_rows, paired_differences, tail_rows
from tests.studies.ablation.conftest import made_row

_NAMES = {
    "no_DIA": "dia_blocks=0",
    "no_mixer": "use_mixer=false",
    "no_LoRA": "lora_rank=0",
    "no_position": "use_position=false",
    "no_tail_loss": "tail_weight=0",
    "no_stored_patches": "score_parts=flow,gaussian, image_parts=flow",
    "no_flow": "score_parts=gaussian,memory, image_parts=memory",
    "rank_4": "lora_rank=4",
    "rank_8": "lora_rank=8",
    "top_1": "top_k=1",
    "top_10": "top_k=10",
    "lr_3e_4": "lr=0.0003",
    "smoothing_8": "smoothing_sigma=8",
}
EIGHT = ExperimentConfig().with_(epochs=8)
UPDATES = [
    {
        "task": task,
        "block": 1,
        "layer": "layer1",
        "scale": 1 / 64,
        "rank": 64,
        "effective_rank": 30.0,
        "stable_rank": 2.0,
        "relative_norm": 0.0005,
    }
    for task in ("nut", "grid")
]


def _rows(**moved: Sequence[float]) -> list[dict]:
    """The preset at 0.5 under as many seeds as a variation has values, and the variations at 0.5 + value."""
    seeds = range(len(next(iter(moved.values()))))
    rows = [made_row("preset", seed, 0.5) for seed in seeds]
    return rows + [made_row(_NAMES[name], seed, 0.5 + moved[name][seed]) for name in moved for seed in seeds]


def _said(rows: list[dict], start: str, updates: list[dict] = UPDATES) -> str:
    found = [sentence for sentence in ablation_sentences(rows, updates, EIGHT) if sentence.startswith(start)]
    assert found, start
    return found[0]


def test_one_seed_decides_nothing() -> None:
    rows = _rows(no_DIA=[-0.2], no_LoRA=[-0.2])
    answer, second, *_ = ablation_sentences(rows, UPDATES, EIGHT)
    assert answer == "One seed decides nothing: no part can be said to earn its place here, or not to."
    assert "one seed gives differences without intervals, which decide nothing" in second
    assert "raise it: none; lower it: none; undecided: LoRA +0.200" in _said(rows, "image AUROC, the preset")


def test_parts_are_sorted_by_what_their_intervals_say() -> None:
    rows = _rows(no_DIA=[-0.2, -0.21, -0.19], no_mixer=[0.1, 0.11, 0.09], no_position=[0.1, -0.1, 0.0])
    words = _said(rows, "pixel AP, the preset")
    assert (
        "raise it: DIA +0.200 [+0.175, +0.225]; lower it: mixer -0.100" in words
        and "undecided: position" in words
    )
    answer, second, *_ = ablation_sentences(rows, UPDATES, EIGHT)
    assert "3 seeds" in second and "6 of 9 intervals exclude zero; 0.5 would by chance" in second
    every = "image AUROC, pixel AP, AUPRO"
    assert answer == (
        f"On nut and grid, DIA ({every}) earned its place. "
        f"Better without: mixer ({every}). No effect that 3 seeds can tell: position code."
    )


def test_the_answer_names_settings_that_beat_the_preset_and_what_they_cost() -> None:
    rows = _rows(
        no_DIA=[-0.2, -0.21, -0.19],
        no_LoRA=[-0.2, -0.21, -0.19],
        top_10=[0.1, 0.11, 0.09],
        lr_3e_4=[0.0, 0.1, -0.1],
    )
    for row in rows:
        if row["variation"] == "top_k=10":
            row["aupro"] = 0.2 + row["seed"] / 1000
    answer = ablation_sentences(rows, UPDATES, EIGHT)[0]
    assert "LoRA (image AUROC, pixel AP, AUPRO) and DIA (" in answer
    assert answer.endswith(
        "Settings better than the preset's: `top_k=10` (higher image AUROC, pixel AP, but lower AUPRO)."
    )
    only = ablation_sentences(_rows(top_1=[0.0, 0.1, -0.1]), UPDATES, EIGHT)[0]
    assert only == "No part was taken out in these runs."


def test_settings_are_sorted_by_what_their_intervals_say() -> None:
    moved = {"top_1": (0.1, 0.11, 0.09), "top_10": (0.1, 0.11, 0.09)}
    rows = _rows(**moved, rank_4=(-0.2, -0.21, -0.19), no_DIA=(0.3, 0.31, 0.29), lr_3e_4=(0.1, -0.1, 0.0))
    words = _said(rows, "Settings, pixel AP")
    assert "better than the preset `top_k=1` +0.100 [+0.075, +0.125], `top_k=10` +0.100" in words
    assert "worse `lora_rank=4` -0.200" in words and "not told apart 1 of 4" in words and "DIA" not in words
    assert "better" not in _said(_rows(rank_4=[0.1]), "Settings, pixel AP"), "one seed decides nothing"


def test_the_size_of_low_rank_updates_and_what_training_without_them_moves() -> None:
    words = _said(_rows(no_LoRA=(-0.10, -0.11, -0.09)), "Low-rank")
    assert "0.05 % of the weights" in words and "effective rank of 30.0 of 64" in words
    assert "Without them: image AUROC -0.100 [-0.125, -0.075]" in words


def test_lora_that_is_off_or_not_taken_out_is_said() -> None:
    assert "was not run" in _said(_rows(no_DIA=[0.1]), "Low-rank")
    assert _said(_rows(no_DIA=[0.1]), "The preset has no", []) == "The preset has no low-rank updates."


def test_one_seed_still_names_the_largest_moves_of_settings() -> None:
    words = _said(_rows(rank_8=[0.04], smoothing_8=[-0.1]), "Settings, AUPRO")
    assert (
        words == "Settings, AUPRO, nothing decided: the largest moves are `smoothing_sigma=8` -0.100, "
        "`lora_rank=8` +0.040."
    )


def test_what_a_variation_cannot_move_is_not_counted() -> None:
    rows = _rows(no_DIA=[0.1, 0.2, 0.3], top_1=[0.0, 0.0, 0.0])
    assert "0 of 3 intervals" in ablation_sentences(rows, UPDATES, EIGHT)[1]


def test_the_order_beside_the_seed() -> None:
    assert "One order of tasks was run" in _said(_rows(no_DIA=[0.1]), "One order")
    rows = [made_row("preset", seed, 0.8 + seed / 1000) for seed in range(3)]
    rows += [made_row("order 1", seed, 0.7, ("grid", "nut")) for seed in range(3)]
    words = _said(rows, "Order, image AUROC")
    assert (
        "2 orders" in words
        and "best nut > grid, worst grid > nut" in words
        and words.endswith("the interval excludes zero.")
    )


def test_what_the_tail_loss_does() -> None:
    rows = _rows(no_tail_loss=[0.0, 0.0, 0.0])
    for row in rows:
        if row["variation"] == "tail_weight=0":
            row["tail"] = {
                name: {**tail, "width": 3.0 + row["seed"] / 10} for name, tail in row["tail"].items()
            }
    words = _said(rows, "Score tail")
    assert "the preset minus `tail_weight=0`" in words and "spread by -2.100 [-2.348, -1.852] nats" in words
    told = ablation_sentences(_rows(no_DIA=[0.1]), UPDATES, EIGHT)
    assert not [sentence for sentence in told if sentence.startswith("Score tail")]


def test_disagreement_with_the_record_is_named() -> None:
    rows = _rows(no_DIA=[0.02, 0.021, 0.019], no_mixer=[-0.029, -0.03, -0.028])
    words = _said(rows, "Public record")
    assert "other backbones and settings" in words and "2 effects: agrees 1, opposite 1." in words
    assert (
        "dia_blocks=0, image AUROC: record -0.060, here +0.020 [+0.018, +0.022] (the other sign)" in words
        and "use_mixer=false" not in words
    )
    assert "No interval of ours excludes" in _said(_rows(no_mixer=[-0.029, -0.03, -0.028]), "Public record")


def test_results_are_json_and_figures_hold_their_points() -> None:
    rows = _rows(no_DIA=[-0.2, -0.1], no_tail_loss=[0.0, 0.1])
    result = json.loads(json.dumps(ablation_results(rows, UPDATES), allow_nan=False))
    assert (
        result["classes"] == ["nut", "grid"]
        and set(result["differences"]) == set(METRICS)
        and len(result["parts"]) == 2
    )
    gaps = figures.variation_differences(paired_differences(rows, "aupro"), "aupro", ["nut"])
    assert list(gaps.data[0].y) == ["dia_blocks=0", "tail_weight=0"] and list(
        gaps.data[0].x
    ) == pytest.approx([-0.15, 0.05])
    assert gaps.data[0].error_x.array[0] == pytest.approx(12.7062 * 0.05, rel=1e-4)
    assert len(figures.orders_by_class(rows, "aupro").data[0].x) == 2 * 3
    assert (
        len(figures.lora_size_and_rank(UPDATES).data) == 4
        and figures.lora_size_and_rank([]).layout.title.text
    )
    assert list(figures.score_tails(tail_rows(rows, ["preset"])).data[0].y) == pytest.approx([2, 4, 3] * 2)
    assert len(figures.record_beside_ours(agreement_rows(rows)).data[1].x) == 3


def test_score_parts_are_weighed_where_they_were_taken_out() -> None:
    words = _said(_rows(no_stored_patches=[-0.02, -0.04], no_flow=[0.0, 0.0]), "Score parts")
    assert (
        "without stored patches image AUROC -0.030" in words
        and "without the flow's score image AUROC +0.000" in words
    )
    assert not any(
        "Score parts" in text for text in ablation_sentences(_rows(no_DIA=[0.1, 0.1]), UPDATES, EIGHT)
    )
