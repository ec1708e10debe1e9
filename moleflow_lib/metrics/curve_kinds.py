"""What is read off one descending walk over scores: areas, average precision, best F1.

Each kind adds up what the next lower scores give. A walk may be over all images or pixels, or over many
bootstrap rounds at once; then every array has one row a round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["AveragePrecision", "BestF1", "CurveKind", "RocArea", "Step", "Totals"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """G distinct falling scores, each (..., G): what scores above them, at them, and at least as high."""

    higher: np.ndarray  # normal ones above
    tied: np.ndarray  # normal ones at this score
    alarms: np.ndarray  # normal ones at least as high: higher + tied
    hits: np.ndarray  # defective ones at least as high
    defect: np.ndarray  # defective ones at this score
    weight: np.ndarray  # sum of their PRO weights, 1 / pixels of their region


class CurveKind(Protocol):
    """One value of a walk.

    Made from the number of normal and of defective images or pixels, () or (rounds,).
    """

    name: str

    def __init__(self, normal: np.ndarray, defect: np.ndarray) -> None: ...

    def descend(self, step: Step) -> None:
        """Take in the next lower scores; nothing is said about how they are cut into steps."""

    def value(self) -> np.ndarray:
        """() or (rounds,) in [0, 1]; what comes out where one kind is missing is not looked at."""
        ...


class Totals:
    """The two totals and a sum that starts at zero."""

    def __init__(self, normal: np.ndarray, defect: np.ndarray) -> None:
        self.normal = normal
        self.defect = defect
        self.sum = np.zeros(normal.shape)


class RocArea(Totals):
    """Pairs of a defective and a normal one in the right order, ties counting half."""

    name = "auroc"

    def descend(self, step: Step) -> None:
        """A defect beats every normal one that scores lower."""
        beaten = self.normal[..., None] - step.alarms + step.tied / 2
        self.sum += np.sum(step.defect * beaten, axis=-1)

    def value(self) -> np.ndarray:
        """Their share of all pairs."""
        return self.sum / (self.normal * self.defect)


class AveragePrecision(Totals):
    """Precision at each defect's score."""

    name = "ap"

    def descend(self, step: Step) -> None:
        """Each defect adds the precision of calling all that score at least as high."""
        self.sum += np.sum(step.defect * step.hits / np.maximum(step.hits + step.alarms, 1), axis=-1)

    def value(self) -> np.ndarray:
        """Their mean."""
        return self.sum / self.defect


class BestF1(Totals):
    """Highest F1 of any threshold."""

    name = "f1max"

    def descend(self, step: Step) -> None:
        """Each score is a threshold."""
        f1 = 2 * step.hits / np.maximum(step.hits + step.alarms + self.defect[..., None], 1)
        self.sum = np.maximum(self.sum, f1.max(axis=-1, initial=0))

    def value(self) -> np.ndarray:
        """The highest."""
        return self.sum
