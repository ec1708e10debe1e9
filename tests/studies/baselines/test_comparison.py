"""Side by side: seeds averaged, differences paired, single models without routes, nothing that moved goes
unnoticed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from moleflow_lib.config import BASELINES, ExperimentConfig
from moleflow_lib.errors import ConfigError, TrainingError
from moleflow_lib.evaluation.continual import ContinualResult, evaluate_states
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import HEADLINES, METRICS
from moleflow_lib.reporting.figures.comparison import method_intervals
from moleflow_lib.reporting.text.comparison import (
    class_comparison_rows,
    comparison_result,
    comparison_rows,
    comparison_sentences,
)
from moleflow_lib.studies.baselines.base import PatchScoreMixin
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison, Estimate, compare
from moleflow_lib.studies.baselines.flows import FineTunedFlow, FreshFlows
from moleflow_lib.studies.baselines.memory_bank import MemoryBanks
from moleflow_lib.studies.baselines.run import Costs, MethodRun, run_method

WAYS = ("oracle", "routed")


def _trial(finals: list[float | None], noise: np.ndarray, fm: float = 0.0) -> MethodRun:
    """A run whose every metric ends at these values; its replicates are they plus the noise (rounds,)."""
    matrix = [[None if finals[0] is None else finals[0] + fm, None], finals]
    drawn = [None if value is None else value + noise for value in finals]
    costs = Costs(
        values_per_task=10, bytes_per_task=40, shared_values=5, learn_seconds=1.0, score_seconds=0.001
    )
    return MethodRun(
        result=ContinualResult(
            classes=("a", "b"),
            matrices={m: {w: matrix for w in WAYS} for m in METRICS},
            routing=None,
            routing_over_time=[],
        ),
        replicates={m: {w: drawn for w in WAYS} for m in METRICS},
        costs=costs,
    )


@pytest.fixture
def drawn() -> Comparison:
    """Three methods under one seed; all noise is the images', so it is the same for each."""
    noise = np.random.default_rng(0).normal(0, 0.1, 400)
    runs = {
        METHOD: [_trial([0.6, 0.8], noise)],
        "memory_bank": [_trial([0.65, 0.8], noise)],
        "fine_tune": [_trial([0.3, 0.75], noise, fm=0.4)],
        "separate": [_trial([0.7, 0.84], noise)],
    }
    return Comparison(classes=("a", "b"), seeds=(0,), runs=runs)


def test_a_difference_is_paired(drawn: Comparison) -> None:
    wide, paired = drawn.mean(METHOD, "aupro"), drawn.difference("memory_bank", "aupro")
    assert wide.interval[1] - wide.interval[0] > 0.3
    assert (
        paired.value == pytest.approx(-0.025)
        and paired.interval == pytest.approx((-0.025, -0.025))
        and paired.decided()
    )
    one = drawn.difference("memory_bank", "aupro", task=0)
    assert one.value == pytest.approx(-0.05) and one.interval == pytest.approx((-0.05, -0.05))
    assert not drawn.difference("memory_bank", "aupro", task=1).decided()


def test_seeds_are_averaged_and_widen_the_interval() -> None:
    noise = np.zeros(400)
    runs = {METHOD: [_trial([0.6, 0.6], noise), _trial([0.8, 0.8], noise)]}
    both = Comparison(classes=("a", "b"), seeds=(0, 1), runs=runs)
    assert both.final(METHOD, "image_ap") == pytest.approx([0.7, 0.7])
    assert both.mean(METHOD, "image_ap").interval == pytest.approx((0.6, 0.8)), (
        "images alone would give no width"
    )


def test_undefined_metrics_stay_undefined() -> None:
    runs = {name: [_trial([0.5, None], np.zeros(9))] for name in (METHOD, "padim")}
    comparison = Comparison(classes=("a", "b"), seeds=(0,), runs=runs)
    assert (
        comparison.final("padim", "aupro") == [0.5, None] and comparison.mean("padim", "aupro").value == 0.5
    )
    assert comparison.difference("padim", "aupro", task=1) == Estimate(value=None, interval=None)
    assert [row["task"] for row in class_comparison_rows(comparison)] == ["a"] * len(HEADLINES)


def test_the_gap_to_separate_is_theirs_told_minus_ours(drawn: Comparison) -> None:
    assert drawn.summary(METHOD)["image_auroc"]["routed"]["gap_to_separate"] == pytest.approx(
        (0.1 + 0.04) / 2
    )
    without = Comparison(classes=drawn.classes, seeds=(0,), runs={METHOD: drawn.runs[METHOD]})
    assert without.alone() is None and without.summary(METHOD)["aupro"]["oracle"]["gap_to_separate"] is None


def test_sentences_say_who_wins_and_who_forgets(drawn: Comparison) -> None:
    text = " ".join(comparison_sentences(drawn))
    assert "best first: separate flows" in text and "MoLE-Flow is highest, or ties, on 0 of 2 tasks" in text
    assert "MoLE-Flow minus memory bank: image AUROC -0.025" in text and "(worse)" in text
    assert "forgets 0.400 image AUROC (FM_max)" in text
    assert (
        comparison_sentences(Comparison(classes=("a",), seeds=(0,), runs={METHOD: drawn.runs[METHOD]})) == []
    )


def test_what_is_undefined_is_not_talked_about() -> None:
    ends = {METHOD: 0.5, "memory_bank": 0.6, "fine_tune": 0.4}
    runs = {name: [_trial([None, end], np.zeros(9))] for name, end in ends.items()}
    text = " ".join(comparison_sentences(Comparison(classes=("a", "b"), seeds=(0,), runs=runs)))
    assert "best first: memory bank 0.600" in text and "forget" not in text and "–" not in text
    nothing = {name: [_trial([None, None], np.zeros(9))] for name in runs}
    assert comparison_sentences(Comparison(classes=("a", "b"), seeds=(0,), runs=nothing)) == [
        "No task has normal and defective test images, so nothing can be compared."
    ]


def test_ties_are_shared(drawn: Comparison) -> None:
    runs = {name: drawn.runs[name] for name in (METHOD, "memory_bank")}
    rows = class_comparison_rows(Comparison(classes=("a", "b"), seeds=(0,), runs=runs))
    assert [row["best"] for row in rows[:2]] == ["memory bank", "MoLE-Flow = memory bank"]


def test_a_variation_of_the_method_is_no_rival_unless_it_is_all_there_is(drawn: Comparison) -> None:
    assert drawn.best("aupro") == "memory_bank", "separate flows are better, and the method itself"
    alone = {name: drawn.runs[name] for name in (METHOD, "separate")}
    assert Comparison(classes=("a", "b"), seeds=(0,), runs=alone).best("aupro") == "separate"


@pytest.fixture(scope="module")
def compared(learned: Experiment) -> Comparison:
    """Every method on the three tiny tasks."""
    return compare(learned)


def test_result_keys(compared: Comparison) -> None:
    result = json.loads(json.dumps(comparison_result(compared), allow_nan=False))
    assert set(result["baselines"]) == set(BASELINES) and result["comparison_seeds"] == [0]
    for ways in (ways for metrics in result["baselines"].values() for ways in [metrics]):
        assert set(ways) == set(METRICS)
        assert all(
            set(cell) == set(WAYS) and all(len(values) == 3 for values in cell.values())
            for cell in ways.values()
        )
    assert set(result["baseline_summary"]) == set(result["baseline_costs"]) == {METHOD, *BASELINES}
    assert set(result["baseline_differences"]) == set(BASELINES)
    for name, metrics in result["baseline_summary"].items():
        for way in WAYS:
            cell = metrics["image_auroc"][way]
            assert {"acc", "fm_max", "fm_first", "bwt", "gap_to_separate", "interval"} == set(cell)
            assert (cell["fm_max"] is None) == (name == "joint"), (
                "one model trained at once has no earlier values"
            )
            low, high = cell["interval"]
            assert low <= high
    for costs in result["baseline_costs"].values():
        assert (
            costs["learn_seconds"] > 0
            and costs["score_seconds"] > 0
            and all(map(math.isfinite, costs.values()))
        )


def test_oracle_and_routed(compared: Comparison, learned: Experiment) -> None:
    for name in BASELINES:
        summary = compared.summary(name)["image_auroc"]
        if name in ("fine_tune", "joint"):
            assert summary["oracle"] == summary["routed"], "nothing is routed"
        else:
            assert summary["oracle"]["fm_max"] == 0.0
    assert compared.final(METHOD, "aupro", "oracle") == pytest.approx(
        learned.evaluate().final("aupro", "oracle")
    )
    own, separate = (compared.final(name, "image_ap", "oracle") for name in (METHOD, "separate"))
    assert own[0] == separate[0], "the first task is the same"


def test_prototypes_are_counted_where_a_router_chooses(compared: Comparison, learned: Experiment) -> None:
    prototype, dim = learned.detector.stored_values()[2], learned.detector.dim
    assert prototype == dim + dim * (dim + 1) // 2
    own, base = (learned.detector.stored_values()[i] for i in (1, 0))
    for single in ("fine_tune", "joint"):
        costs = compared.costs(single)
        assert (costs["values_per_task"], costs["bytes_per_task"], costs["shared_values"]) == (
            0,
            0,
            own + base,
        )
    assert compared.costs("separate")["values_per_task"] == own + base + prototype
    assert compared.costs(METHOD)["values_per_task"] == own + prototype
    assert compared.costs(METHOD)["bytes_per_task"] == 4 * (own + prototype)


def test_tables_and_figure_show_every_method(compared: Comparison) -> None:
    assert len(comparison_rows(compared)) == len(method_intervals(compared).data[0].x) == 8
    assert len(class_comparison_rows(compared)) == 3 * len(HEADLINES)
    values = [row["MoLE-Flow"] for row in class_comparison_rows(compared) if row["metric"] == "pixel AP"]
    assert values == compared.final(METHOD, "pixel_ap")


def test_every_image_is_scored_in_the_state_in_force(learned: Experiment) -> None:
    class Steps(PatchScoreMixin):
        """Scores that follow from the state alone: state 1 turns the order of state 0 round."""

        config = learned.config

        def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
            return patches.float().mean(dim=-1) * (1, -1, 1)[task]

    evaluators = [TaskEvaluator(e.task, e.features, Steps()) for e in learned.evaluators]
    result = evaluate_states(evaluators, [0, 1, 2])
    for j in range(3):
        for i in range(j, 3):
            assert result.matrices["image_auroc"]["oracle"][i][j] == evaluators[j].metrics(i)["image_auroc"]
    late = evaluate_states(evaluators, [None, None, 0])
    assert late.matrices["image_auroc"]["routed"][:2] == [[None] * 3] * 2
    assert late.final("image_auroc") == [evaluator.metrics(0)["image_auroc"] for evaluator in evaluators]


def test_several_seeds(learned: Experiment) -> None:
    experiment = Experiment(learned.config.with_(comparison_seeds=(0, 1), baselines=("padim", "memory_bank")))
    comparison = compare(experiment)
    assert [len(runs) for runs in comparison.runs.values()] == [2, 2, 2]
    first, second = (run.result.final("image_auroc") for run in comparison.runs[METHOD])
    assert first == learned.evaluate().final("image_auroc") and first != second


def test_scores_that_move_stop_the_comparison(learned: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = MemoryBanks.learn

    def forgetful(self: MemoryBanks, name: str, train: object) -> float:
        for bank in self.banks:
            bank.patches += 1
        return inner(self, name, train)

    monkeypatch.setattr(MemoryBanks, "learn", forgetful)
    with pytest.raises(TrainingError, match="memory_bank: the scores of leather changed"):
        run_method(learned, "memory_bank")


def test_baselines_that_are_not_asked_for_are_not_learned(
    learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FineTunedFlow, "learn", lambda *_: pytest.fail("learned"))
    experiment = Experiment(ExperimentConfig.from_params({**learned.config.to_dict(), "baselines": "none"}))
    assert list(compare(experiment).runs) == [METHOD]
    with pytest.raises(ConfigError, match="baselines: expected one of memory_bank"):
        ExperimentConfig.from_params({"baselines": "memory_bank,pca"})


def test_without_an_invertible_adapter_there_is_no_adapter_alone(learned: Experiment, tmp_path: Path) -> None:
    config = learned.config.with_(
        dia_blocks=0, baselines=("adapter_only", "padim"), classes=("leather",), out_dir=str(tmp_path)
    )
    assert list(compare(Experiment(config)).runs) == [METHOD, "padim"]


def test_nothing_of_a_baseline_lands_outside_the_store(compared: Comparison, learned: Experiment) -> None:
    folders = {
        path.relative_to(learned.folder).parts[0] for path in Path(learned.folder).rglob("*.safetensors")
    }
    folders -= {
        "calibrations"
    }  # of the detector's thresholds: tests that share this store may have asked for them
    assert {"memory_bank", "gaussian", "padim", "fine_tune", "tasks", "features"} == folders


def test_one_model_of_all_tasks_gets_the_steps_and_patches_of_all(
    tiny_config: Callable[..., ExperimentConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(
        tiny_config(classes=("leather", "nut"), steps=2, score_parts="flow,memory", memory_size=5)
    )
    experiment.learn()
    seen, inner = [], FreshFlows.learn
    monkeypatch.setattr(
        FreshFlows, "learn", lambda self, name, train: seen.append(self.config) or inner(self, name, train)
    )
    run_method(experiment, "joint")
    assert [(config.train.steps, config.score.memory_size) for config in seen] == [(4, 10)]


def test_every_seed_keeps_as_much(tiny_config: Callable[..., ExperimentConfig]) -> None:
    """Costs are means over seeds, so a run that was not learned when it was counted would show."""
    config = tiny_config(classes=("leather", "nut"), baselines=(), score_parts="flow,memory", memory_size=5)
    one, three = (
        compare(Experiment(config.with_(comparison_seeds=seeds))).costs(METHOD) for seeds in ((0,), (0, 1, 2))
    )
    for key in ("values_per_task", "bytes_per_task", "shared_values"):
        assert one[key] == three[key] > 0
