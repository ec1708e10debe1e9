"""Ranks of matrices whose ranks are known, and of updates as they were learned."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from moleflow_lib.config import FlowOptions
from moleflow_lib.experiment import Experiment
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.model.lora import LoRALinear
from moleflow_lib.studies.ablation.lora_rank import (
    effective_rank,
    lora_summary,
    lora_updates,
    singular_values,
    stable_rank,
)


def test_singular_values_of_a_product_never_formed() -> None:
    left, right = torch.randn(30, 4, dtype=torch.float64), torch.randn(4, 20, dtype=torch.float64)
    torch.testing.assert_close(singular_values(left, right), torch.linalg.svdvals(left @ right)[:4])


def _detector(options: FlowOptions) -> SimpleNamespace:
    """As much of a detector as the study looks at: a flow and one untrained task."""
    flow = MoLESpatialAwareNF(8, options)
    return SimpleNamespace(flow=flow, tasks=[SimpleNamespace(name="a", flow=flow.new_parts("a", first=True))])


@pytest.mark.parametrize(
    ("values", "effective", "stable"),
    [
        ([5.0], 1.0, 1.0),
        ([1.0] * 7, 7.0, 7.0),
        ([3.0, 0.0, 0.0], 1.0, 1.0),
        ([4.0, 2.0], math.exp(-2 / 3 * math.log(2 / 3) + math.log(3) / 3), 1.25),
    ],
)
def test_ranks_by_hand(values: list[float], effective: float, stable: float) -> None:
    spectrum = torch.tensor(values, dtype=torch.float64)
    assert effective_rank(spectrum) == pytest.approx(effective) and stable_rank(spectrum) == pytest.approx(
        stable
    )
    assert effective_rank(1e-6 * spectrum) == pytest.approx(effective), (
        "the scale says nothing about the rank"
    )


def test_the_zero_update_has_no_rank_and_no_size() -> None:
    rows = lora_updates(_detector(FlowOptions(coupling_layers=2, lora_rank=2)))
    assert len(rows) == 4 and all(
        row["effective_rank"] is row["stable_rank"] is None and row["relative_norm"] == 0 for row in rows
    )
    assert [(row["block"], row["layer"]) for row in rows] == [
        (1, "layer1"),
        (1, "layer2"),
        (2, "layer1"),
        (2, "layer2"),
    ]


def test_updates_are_read_as_the_layer_applies_them() -> None:
    detector = _detector(FlowOptions(coupling_layers=1, lora_rank=3, lora_alpha=6.0))
    parts = detector.tasks[0].flow
    torch.nn.init.normal_(parts.updates[0].lora_B)
    detector.flow.activate(parts)
    layer = next(module for module in detector.flow.modules() if isinstance(module, LoRALinear))
    moved = (layer.effective()[0] - layer.base.weight).detach()
    row = lora_updates(detector)[0]
    assert row["relative_norm"] == pytest.approx(
        float(moved.norm() / layer.base.weight.detach().norm()), rel=1e-5
    )
    assert row["effective_rank"] == pytest.approx(
        effective_rank(torch.linalg.svdvals(moved.double())[:3]), rel=1e-4
    )


def test_a_learned_sequence_has_a_row_a_task_and_layer(learned: Experiment) -> None:
    rows = lora_updates(learned.detector)
    assert len(rows) == 3 * 2 * learned.config.flow.coupling_layers
    assert all(1 <= row["effective_rank"] <= row["rank"] == 4 and row["relative_norm"] > 0 for row in rows)
    assert lora_summary(learned.detector)["effective_rank"] == pytest.approx(
        sum(row["effective_rank"] for row in rows) / len(rows)
    )
    assert lora_summary(_detector(FlowOptions(lora_rank=0)))["relative_norm"] is None
