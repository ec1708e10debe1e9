"""How sure the router is: a probability for each task, calibrated on held-out training images.

Squared Mahalanobis distances are −2 log-likelihoods of Gaussians up to a constant, so the natural
probability is the softmax of −d²/2. With n < D it is far too sure; one temperature puts that right
(temperature scaling, Guo et al. 2017, on distances instead of logits).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar

__all__ = ["fit_temperature", "task_probabilities"]


def task_probabilities(squared: torch.Tensor, temperature: float) -> torch.Tensor:
    """Probability of each task, softmax of −d²/(2·temperature).

    Args:
        squared: (N, T) squared distances.
        temperature: above 0; 1 takes the Gaussians at their word.

    Returns:
        (N, T), rows sum to 1. Every row assumes that the image shows one of the T tasks.

    >>> task_probabilities(torch.tensor([[1.0, 1.0], [0.0, 99.0]]), 1.0)[:, 0].tolist()
    [0.5, 1.0]
    """
    return torch.softmax(-squared / (2 * temperature), dim=1)


def fit_temperature(squared: torch.Tensor, truth: torch.Tensor) -> float | None:
    """The temperature under which held-out images are most likely.

    Where every image lies nearest to its own task, the likelihood grows as the temperature falls to
    0. So the aim for the true task is not 1 but (N + 1)/(N + 2), Platt's (1999) correction: N images
    without a mistake do not prove that there are none.

    Args:
        squared: (N, T) squared distances to prototypes that never saw these images.
        truth: (N,) their tasks.

    Returns:
        The temperature; None with a single task or without images, which say nothing about it.
    """
    if squared.shape[1] < 2 or len(squared) == 0:
        return None
    margins = _margins(squared, truth)
    scale = max(float(margins.abs().median()), 1e-12)
    aim = (len(truth) + 1) / (len(truth) + 2)

    def loss(log_temperature: float) -> float:
        """Cross-entropy of the true tasks at a temperature."""
        log_odds = _log_odds(squared, truth, scale * float(np.exp(log_temperature)))
        return -float(
            (
                aim * torch.nn.functional.logsigmoid(log_odds)
                + (1 - aim) * torch.nn.functional.logsigmoid(-log_odds)
            ).mean()
        )

    grid = np.linspace(-12, 6, 73)
    best = grid[int(np.argmin([loss(value) for value in grid]))]
    found = minimize_scalar(
        loss, bounds=(best - 0.25, best + 0.25), method="bounded", options={"xatol": 1e-6}
    )
    return scale * float(np.exp(found.x))


def _log_odds(squared: torch.Tensor, truth: torch.Tensor, temperature: float) -> torch.Tensor:
    """(N,) log of p/(1 − p), p the probability of the true task; exact where p rounds to 1."""
    logits = -squared / (2 * temperature)
    true = logits.gather(1, truth[:, None])
    others = logits.scatter(1, truth[:, None], -torch.inf)
    return (true[:, 0] - torch.logsumexp(others, dim=1)).clamp(-1e6, 1e6)


def _margins(squared: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(N,) squared distance to the nearest other task minus that to the true one."""
    others = squared.scatter(1, truth[:, None], torch.inf)
    return others.amin(dim=1) - squared.gather(1, truth[:, None])[:, 0]
