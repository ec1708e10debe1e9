"""The summary of notebook 05 says what the numbers say, weak results included."""

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

EIGHT = ExperimentConfig().with_(epochs=8)
UPDATES = [{"task": task, "block": 1, "layer": "layer1", "scale": 1 / 64, "rank": 64, "effective_rank": 30.0, "stable_rank": 2.0,
            "relative_norm": 0.0005} for task in ("nut", "grid")]


def _rows(**moved: Sequence[float]) -> list[dict]:
    """The preset at 0.5 under as many seeds as a switch has values, and the switches at 0.5 + value."""
    seeds = range(len(next(iter(moved.values()))))
    rows = [made_row("preset", seed, 0.5) for seed in seeds]
    return rows + [made_row(name.replace("_", " "), seed, 0.5 + moved[name][seed]) for name in moved for seed in seeds]


def _said(rows: list[dict], start: str, updates: list[dict] = UPDATES) -> str:
    found = [sentence for sentence in ablation_sentences(rows, updates, EIGHT) if sentence.startswith(start)]
    assert found, start
    return found[0]


def test_one_seed_decides_nothing() -> None:
    rows = _rows(no_DIA=[-0.2], no_LoRA=[-0.2])
    assert "one seed gives differences without intervals, which decide nothing" in ablation_sentences(rows, UPDATES, EIGHT)[0]
    assert "earn their place: none; do harm: none; undecided: " in _said(rows, "By image_auroc")
    words = _said(rows, "Low-rank")
    assert "one seed, or the same step in all of them: no verdict" in words and "1 one seed" not in words


def test_parts_are_sorted_by_what_their_intervals_say() -> None:
    rows = _rows(no_DIA=[-0.2, -0.21, -0.19], no_mixer=[0.1, 0.11, 0.09], no_position=[0.1, -0.1, 0.0])
    words = _said(rows, "By pixel_ap")
    assert "earn their place: DIA +0.200 [+0.175, +0.225]; do harm: mixer -0.100" in words and "undecided: position" in words
    first = ablation_sentences(rows, UPDATES, EIGHT)[0]
    assert "3 seeds" in first and "6 of 9 intervals exclude zero; 0.5 would by chance" in first


def test_settings_are_sorted_by_what_their_intervals_say() -> None:
    moved = {"top-1": (0.1, 0.11, 0.09), "top-10": (0.1, 0.11, 0.09)}
    rows = _rows(**moved, rank_4=(-0.2, -0.21, -0.19), no_DIA=(0.3, 0.31, 0.29), lr_3e_4=(0.1, -0.1, 0.0))
    rows = [{**row, "switch": "lr 3e-4"} if row["switch"] == "lr 3e 4" else row for row in rows]
    words = _said(rows, "Settings, pixel AP")
    assert "better than the preset `top-1` +0.100 [+0.075, +0.125], `top-10` +0.100" in words
    assert "worse `rank 4` -0.200" in words and "not told apart 1 of 4" in words and "DIA" not in words
    assert "better" not in _said(_rows(rank_4=[0.1]), "Settings, pixel AP"), "one seed decides nothing"


@pytest.mark.parametrize(("moved", "verdict"), [
    ((0.01, -0.01, 0.0), "LoRA has not been seen to do anything here"),
    ((-0.10, -0.11, -0.09), "LoRA earns its place"),
    ((-0.0010, -0.0011, -0.0009), "sure, and less than 0.005: nothing that would justify it"),
    ((0.10, 0.11, 0.09), "better without LoRA"),
])
def test_whether_lora_does_anything(moved: tuple[float, ...], verdict: str) -> None:
    words = _said(_rows(no_LoRA=moved), "Low-rank")
    assert verdict in words and "0.05 % of the weights" in words and "effective rank of 30.0 of 64" in words


def test_lora_that_is_off_or_not_taken_out_is_said() -> None:
    assert "was not run" in _said(_rows(no_DIA=[0.1]), "Low-rank")
    assert _said(_rows(no_DIA=[0.1]), "The preset has no", []) == "The preset has no low-rank updates."


def test_one_seed_still_names_the_largest_moves_of_settings() -> None:
    words = _said(_rows(rank_8=[0.04], smoothing_8=[-0.1]), "Settings, AUPRO")
    assert words == "Settings, AUPRO, nothing decided: the largest moves are `smoothing 8` -0.100, `rank 8` +0.040."


def test_what_a_switch_cannot_move_is_not_counted() -> None:
    rows = _rows(no_DIA=[0.1, 0.2, 0.3], top_1=[0.0, 0.0, 0.0])
    for row in rows:
        row["switch"] = row["switch"].replace("top 1", "top-1")
    assert "0 of 3 intervals" in ablation_sentences(rows, UPDATES, EIGHT)[0]


def test_the_order_beside_the_seed() -> None:
    assert "One order of tasks was run" in _said(_rows(no_DIA=[0.1]), "One order")
    rows = [made_row("preset", seed, 0.8 + seed / 1000) for seed in range(3)]
    rows += [made_row("order 1", seed, 0.7, ("grid", "nut")) for seed in range(3)]
    words = _said(rows, "Order, image_auroc")
    assert "2 orders" in words and "best nut > grid, worst grid > nut" in words and words.endswith("the order matters.")


def test_what_the_tail_loss_does() -> None:
    rows = _rows(no_tail_loss=[0.0, 0.0, 0.0])
    for row in rows:
        if row["switch"] == "no tail loss":
            row["tail"] = {name: {**tail, "width": 3.0 + row["seed"] / 10} for name, tail in row["tail"].items()}
    words = _said(rows, "Score tail")
    assert "the preset minus `no tail loss`" in words and "spread by -2.100 [-2.348, -1.852] nats" in words
    told = ablation_sentences(_rows(no_DIA=[0.1]), UPDATES, EIGHT)
    assert not [sentence for sentence in told if sentence.startswith("Score tail")]


def test_disagreement_with_the_record_is_named() -> None:
    rows = _rows(no_DIA=[0.02, 0.021, 0.019], no_mixer=[-0.029, -0.03, -0.028])
    words = _said(rows, "Public record")
    assert "other backbones and settings" in words and "2 effect(s): agrees 1, opposite 1." in words
    assert "no DIA, image_auroc: record -0.060, here +0.020 [+0.018, +0.022] (the other sign)" in words and "no mixer" not in words
    assert "No interval of ours excludes" in _said(_rows(no_mixer=[-0.029, -0.03, -0.028]), "Public record")


def test_results_are_json_and_figures_hold_their_points() -> None:
    rows = _rows(no_DIA=[-0.2, -0.1], no_tail_loss=[0.0, 0.1])
    result = json.loads(json.dumps(ablation_results(rows, UPDATES), allow_nan=False))
    assert result["classes"] == ["nut", "grid"] and set(result["differences"]) == set(METRICS) and len(result["parts"]) == 2
    gaps = figures.switch_differences(paired_differences(rows, "aupro"), "aupro", ["nut"])
    assert list(gaps.data[0].y) == ["no DIA", "no tail loss"] and list(gaps.data[0].x) == pytest.approx([-0.15, 0.05])
    assert gaps.data[0].error_x.array[0] == pytest.approx(12.7062 * 0.05, rel=1e-4)
    assert len(figures.orders_by_class(rows, "aupro").data[0].x) == 2 * 3
    assert len(figures.lora_size_and_rank(UPDATES).data) == 4 and figures.lora_size_and_rank([]).layout.title.text
    assert list(figures.score_tails(tail_rows(rows, ["preset"])).data[0].y) == pytest.approx([2, 4, 3] * 2)
    assert len(figures.record_beside_ours(agreement_rows(rows)).data[1].x) == 3


def test_flow_and_stored_patches_are_weighed_where_both_were_taken_out() -> None:
    rows = _rows(no_stored_patches=[-0.02, -0.04], stored_patches_alone=[0.0, 0.0], no_noise=[-0.1, -0.1])
    told = ablation_sentences(rows, UPDATES, EIGHT)
    words = next(sentence for sentence in told if sentence.startswith("Why the flow wins or loses"))
    assert "without stored patches image AUROC -0.030" in words and "without the flow image AUROC +0.000" in words
    assert any(sentence.startswith("Without feature noise: image AUROC -0.100") for sentence in told)
    assert not any("Why the flow" in sentence for sentence in ablation_sentences(_rows(no_DIA=[0.1, 0.1]), UPDATES, EIGHT))
