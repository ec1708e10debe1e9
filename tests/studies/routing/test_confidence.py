"""Temperature scaling on data whose temperature is known."""

from __future__ import annotations

import pytest
import torch

from moleflow_lib.metrics.wilson import wilson_interval
from moleflow_lib.studies.routing.calibration import expected_calibration_error, reliability_bins
from moleflow_lib.studies.routing.confidence import fit_temperature, task_probabilities


@pytest.mark.parametrize("temperature", [0.3, 1.0, 40.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    squared = 6 * temperature * torch.rand(20_000, 3, generator=generator, dtype=torch.float64)
    truth = torch.multinomial(task_probabilities(squared, temperature), 1, generator=generator)[:, 0]
    found = fit_temperature(squared, truth)
    assert abs(found / temperature - 1) < 0.05
    confidence = task_probabilities(squared, found).amax(dim=1)
    assert expected_calibration_error(confidence, squared.argmin(dim=1) == truth) < 0.02


def test_without_mistakes_confidence_stays_below_certainty() -> None:
    squared = torch.tensor([[0.0, 50.0, 1e9], [50.0, 0.0, 1e9]], dtype=torch.float64).repeat(20, 1)
    truth = torch.tensor([0, 1]).repeat(20)
    confidence = task_probabilities(squared, fit_temperature(squared, truth)).amax(dim=1)
    assert torch.allclose(confidence, torch.tensor(41 / 42, dtype=torch.float64), atol=1e-4)


def test_nothing_to_fit() -> None:
    assert fit_temperature(torch.ones(5, 1), torch.zeros(5, dtype=torch.long)) is None
    assert fit_temperature(torch.ones(0, 2), torch.zeros(0, dtype=torch.long)) is None


def test_calibration_error_by_hand() -> None:
    confidence = torch.tensor([0.8, 0.8, 0.95, 0.95], dtype=torch.float64)
    right = torch.tensor([True, False, True, True])
    assert abs(expected_calibration_error(confidence, right) - (0.5 * 0.3 + 0.5 * 0.05)) < 1e-12
    assert [row["images"] for row in reliability_bins(confidence, right)] == [2, 2]


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (81, 263, 0.2553, 0.3662), (263, 263, 0.9856, 1.0)],
)
def test_wilson_intervals_of_record(hits: int, total: int, low: float, high: float) -> None:
    """The second is the worked example of Newcombe 1998, table I."""
    assert [round(end, 4) for end in wilson_interval(hits, total)] == pytest.approx([low, high], abs=6e-4)
    assert wilson_interval(0, 0) is None


def test_distances_of_true_gaussians_need_no_temperature() -> None:
    generator, means = (
        torch.Generator().manual_seed(0),
        torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 2.0]], dtype=torch.float64),
    )
    truth = torch.arange(3).repeat(5000)
    x = means[truth] + torch.randn(len(truth), 2, generator=generator, dtype=torch.float64)
    assert abs(fit_temperature(torch.cdist(x, means).square(), truth) - 1) < 0.05
    assert torch.allclose(
        task_probabilities(torch.tensor([[0.0, 2.0]]), 1.0)[0, 0], torch.sigmoid(torch.tensor(1.0))
    )
