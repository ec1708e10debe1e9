"""Averaged and best weights against the same done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from moleflow_lib.kept_weights import BestWeights, WeightAverage


def _train(values: list[float]) -> tuple[nn.Parameter, WeightAverage]:
    weight = nn.Parameter(torch.zeros(1))
    average = WeightAverage([weight], decay=0.9)
    for step, value in enumerate(values):
        weight.data.fill_(value)
        average.update(step)
    return weight, average


def test_the_average_by_hand() -> None:
    values = [float(v) for v in range(200)]
    weight, average = _train(values)
    expected = 0.0
    for step, value in enumerate(values):
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert weight.item() == 199.0, "averaging must not disturb training"
    average.restore()
    assert weight.item() == pytest.approx(expected, rel=1e-4)


def test_the_start_is_forgotten() -> None:
    weight, average = _train([5.0] * 60)
    average.restore()
    assert weight.item() == pytest.approx(5.0, rel=1e-2)


def test_the_best_is_the_lowest_and_a_loss_that_is_no_number_never_is() -> None:
    weight = nn.Parameter(torch.zeros(2))
    best = BestWeights([weight])
    for loss in (3.0, 1.0, 2.0, math.nan):
        weight.data.fill_(loss)
        best.offer(loss)
    best.restore()
    assert weight.tolist() == [1.0, 1.0]


def test_nothing_offered_leaves_the_weights() -> None:
    weight = nn.Parameter(torch.ones(1))
    BestWeights([weight]).restore()
    assert weight.item() == 1.0
