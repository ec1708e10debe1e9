"""Streaming moments are exact whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moleflow_lib.routing.moments import RunningMoments


@pytest.mark.parametrize("cuts", [[100], [1, 1, 98], [37, 60, 3]])
def test_equals_numpy_whatever_the_batches(cuts: list[int]) -> None:
    data = torch.randn(100, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1000
    moments = RunningMoments(5)
    for batch in data.split(cuts):
        moments.update(batch)
    assert np.allclose(moments.mean, data.numpy().mean(axis=0), rtol=1e-14)
    assert np.allclose(moments.covariance(), np.cov(data.numpy().T), rtol=1e-10)
    assert np.allclose(moments.std(), data.numpy().std(axis=0, ddof=1), rtol=1e-10)


def test_state_round_trip() -> None:
    moments = RunningMoments(2)
    moments.update(torch.eye(2))
    again = RunningMoments.from_state(moments.state())
    assert (
        again.count == 2
        and torch.equal(again.scatter, moments.scatter)
        and torch.equal(again.mean, moments.mean)
    )
