"""Which weights a training run leaves behind, if not the last ones: their average, or the best on held-out images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["BestWeights", "WeightAverage"]


class WeightAverage:
    """Exponential moving average of weights; early on it forgets faster, so that the start does not linger.

    After step t the average moves towards the weights by 1 − min(decay, (1 + t)/(10 + t)) (engineering choice).

    Args:
        weights: trained in place elsewhere.
        decay: in (0, 1).

    >>> weight = nn.Parameter(torch.zeros(1))
    >>> average = WeightAverage([weight], decay=0.5)
    >>> with torch.no_grad():
    ...     _ = weight.fill_(1.0)
    >>> average.update(step=1000); average.restore(); weight.item()
    0.5
    """

    def __init__(self, weights: Sequence[nn.Parameter], decay: float) -> None:
        self.weights, self.decay = list(weights), decay
        self.average = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self.weights, share)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the average in place of the weights."""
        torch._foreach_copy_(self.weights, self.average)


class BestWeights:
    """The weights with the lowest loss seen so far.

    Args:
        weights: trained in place elsewhere.

    >>> weight = nn.Parameter(torch.ones(1))
    >>> best = BestWeights([weight])
    >>> best.offer(3.0)
    >>> with torch.no_grad():
    ...     _ = weight.zero_()
    >>> best.offer(4.0); best.restore(); weight.item()
    1.0
    """

    def __init__(self, weights: Sequence[nn.Parameter]) -> None:
        self.weights, self.loss, self.best = list(weights), math.inf, []

    def offer(self, loss: float) -> None:
        """Keep the weights as they are if this loss, theirs, is the lowest."""
        if loss < self.loss:
            self.loss, self.best = loss, [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best in place of the weights; none was offered a finite loss: leave them."""
        if self.best:
            torch._foreach_copy_(self.weights, self.best)
