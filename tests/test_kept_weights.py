"""Averaged and best weights against the same done by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from moleflow_lib.kept_weights import BestWeights, WeightAverage


def _averaged(values: Sequence[float]) -> tuple[nn.Parameter, WeightAverage]:
    weight = nn.Parameter(torch.zeros(1))
    average = WeightAverage([weight], decay=0.9)
    for value in values:
        weight.data.fill_(value)
        average.after_step()
    return weight, average


def test_the_average_by_hand() -> None:
    values = [float(v) for v in range(200)]
    weight, average = _averaged(values)
    expected = 0.0
    for step, value in enumerate(values):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert weight.item() == 199.0, "averaging must not disturb training"
    average.restore()
    assert weight.item() == pytest.approx(expected, rel=1e-4)


def test_the_start_is_forgotten() -> None:
    weight, average = _averaged([5.0] * 60)
    average.restore()
    assert weight.item() == pytest.approx(5.0, rel=1e-2)


def test_the_best_is_the_lowest_and_a_loss_that_is_no_number_never_is() -> None:
    weight, losses = nn.Parameter(torch.zeros(2)), {25: 3.0, 50: 1.0, 75: 2.0, 80: math.nan}
    best = BestWeights([weight], lambda: losses[int(weight[0])], total=80)
    for step in range(1, 81):
        weight.data.fill_(step)
        best.after_step()
    best.restore()
    assert weight.tolist() == [50.0, 50.0]


def test_the_last_step_is_looked_at() -> None:
    weight, looks = nn.Parameter(torch.zeros(1)), []
    best = BestWeights([weight], lambda: looks.append(best.steps) or 1.0, total=30)
    for _ in range(30):
        best.after_step()
    assert looks == [25, 30]


def test_no_finite_loss_leaves_the_weights() -> None:
    weight = nn.Parameter(torch.ones(1))
    best = BestWeights([weight], lambda: math.nan, total=1)
    best.after_step()
    best.restore()
    assert weight.item() == 1.0
