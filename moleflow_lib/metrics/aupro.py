"""AUPRO, the area under the per-region overlap, read off the same walk over scores as the other kinds."""

from __future__ import annotations

import numpy as np

from moleflow_lib.metrics.curve_kinds import Step, Totals

__all__ = ["FPR_LIMIT", "RegionOverlap"]

FPR_LIMIT = 0.3  # false-positive rate up to which AUPRO is integrated (Bergmann et al. 2021)


class RegionOverlap(Totals):
    """AUPRO: area under the per-region overlap up to a false-positive rate of 0.3.

    A defect of weight w whose score beats all but F₀ of N normal pixels and ties with n of them lifts the
    curve by w along a line from F₀ to F₀+n; below the limit L = 0.3·N that adds
    w·(max(L−F₀−n, 0) + (min(L, F₀+n)−F₀)²/2n).
    """

    name = "aupro"

    def __init__(self, normal: np.ndarray, defect: np.ndarray) -> None:
        super().__init__(normal, defect)
        self.regions = np.zeros(normal.shape)

    def descend(self, step: Step) -> None:
        """Each defect lifts the curve by its weight."""
        limit = FPR_LIMIT * self.normal[..., None]
        slope = np.clip(limit - step.higher, 0, step.tied) ** 2 / (2 * np.maximum(step.tied, 1))
        self.sum += np.sum(step.weight * (np.maximum(limit - step.alarms, 0) + slope), axis=-1)
        self.regions += np.sum(step.weight, axis=-1)

    def value(self) -> np.ndarray:
        """The area, 1 where every region is found whole without a false alarm."""
        return self.sum / (self.regions * FPR_LIMIT * self.normal)
