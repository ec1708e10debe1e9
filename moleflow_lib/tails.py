"""Patch scores as tail probabilities: how rarely a normal patch of the task scores more.

Up to the 99th percentile the training patches themselves tell; above it a generalised Pareto tail does, the limit
law of what exceeds a high threshold (Balkema & de Haan 1974, Pickands 1975). The order of patches stays, except that all
below the lowest training patch are alike; what changes is how far apart they are when an image's highest are averaged.
"""

from __future__ import annotations

import math

import torch

__all__ = ["TailCalibration"]

_LEVELS = torch.arange(100).double() / 100


class TailCalibration:
    """−ln P(a normal patch scores more).

    Args:
        quantiles: (100,) float64, the scores that 0, 1, … 99 % of training patches stay below.
        tail: (2,) float64, scale and shape (at least 0) of the generalised Pareto law of what exceeds the last of them.

    >>> calibration = TailCalibration(torch.arange(100.0).double(), torch.tensor([2.0, 0.0]))
    >>> [round(x, 3) for x in calibration.surprise(torch.tensor([50.0, 99.0, 101.0])).tolist()]
    [0.693, 4.605, 5.605]
    """

    def __init__(self, quantiles: torch.Tensor, tail: torch.Tensor) -> None:
        self.quantiles, self.tail = quantiles, tail

    @classmethod
    def measured(cls, scores: torch.Tensor) -> TailCalibration:
        """Take it from patch scores of any shape, of training images.

        The tail comes by the method of moments, so its shape stays below ½.
        """
        flat = scores.flatten().double()
        quantiles = flat.quantile(_LEVELS)
        excess = flat[flat > quantiles[-1]] - quantiles[-1]
        if len(excess) < 2:  # too few tell no tail; an exponential one with the spread of all patches stands in
            return cls(quantiles, torch.stack([flat.std().clamp_min(1e-6), flat.new_zeros(())]))
        mean = excess.mean()
        shape = (0.5 * (1 - mean.square() / excess.var().clamp_min(1e-12))).clamp_min(0)
        return cls(quantiles, torch.stack([(mean * (1 - shape)).clamp_min(1e-6), shape]))

    def surprise(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores of any shape to −ln of their tail probability, float32, nats; higher = more anomalous."""
        values, (scale, shape) = scores.double(), self.tail
        lower = torch.searchsorted(self.quantiles, values.contiguous(), right=True).sub(1).clamp(0, len(_LEVELS) - 2)
        low, high = self.quantiles[lower], self.quantiles[lower + 1]
        share = ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        within = -torch.log1p(-torch.lerp(_LEVELS[lower], _LEVELS[lower + 1], share))
        excess = ((values - self.quantiles[-1]) / scale).clamp_min(0)
        beyond = math.log(100) + (torch.log1p(shape * excess) / shape if shape else excess)
        return torch.where(values > self.quantiles[-1], beyond, within).float()

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors to store."""
        return {"quantiles": self.quantiles, "tail": self.tail}
