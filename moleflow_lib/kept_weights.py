"""Which weights a training run leaves behind, if not the last ones: their average, or the best on held-out images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

__all__ = ["BestWeights", "WeightAverage"]

_LOOKED_AT_EVERY = 25  # steps between two looks at the loss


class WeightAverage:
    """Exponential moving average of weights; early on it forgets faster, so that the start does not linger.

    After step t the average moves towards the weights by 1 − min(decay, (1 + t)/(10 + t)) (engineering choice).

    Args:
        weights: trained in place elsewhere.
        decay: in (0, 1).

    >>> weight = nn.Parameter(torch.zeros(1))
    >>> average = WeightAverage([weight], decay=0.01)
    >>> with torch.no_grad():
    ...     _ = weight.fill_(1.0)
    >>> average.after_step(); average.restore(); round(weight.item(), 2)
    0.99
    """

    def __init__(self, weights: Sequence[nn.Parameter], decay: float) -> None:
        self.weights, self.decay, self.steps = list(weights), decay, 0
        self.average = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def after_step(self) -> None:
        """Take in the weights as they are after a step."""
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, self.weights, share)
        self.steps += 1

    @torch.no_grad()
    def restore(self) -> None:
        """Put the average in place of the weights."""
        torch._foreach_copy_(self.weights, self.average)


class BestWeights:
    """The weights with the lowest loss among those looked at: every 25th step, and the last.

    Args:
        weights: trained in place elsewhere.
        loss: the loss of the weights as they are.
        total: number of steps that will be made.

    >>> weight = nn.Parameter(torch.zeros(1))
    >>> best = BestWeights([weight], lambda: abs(weight.item() - 25), total=60)
    >>> for step in range(1, 61):
    ...     with torch.no_grad():
    ...         _ = weight.fill_(step)
    ...     best.after_step()
    >>> best.restore(); weight.item()
    25.0
    """

    def __init__(self, weights: Sequence[nn.Parameter], loss: Callable[[], float], total: int) -> None:
        self.weights, self.loss, self.total, self.steps = list(weights), loss, total, 0
        self.lowest, self.best = math.inf, []

    def after_step(self) -> None:
        """Look at the weights if it is time, and keep them if their loss is the lowest."""
        self.steps += 1
        if self.steps % _LOOKED_AT_EVERY and self.steps != self.total:
            return
        loss = self.loss()
        if loss < self.lowest:
            self.lowest, self.best = loss, [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best in place of the weights; no loss was a number: leave them."""
        if self.best:
            torch._foreach_copy_(self.weights, self.best)
