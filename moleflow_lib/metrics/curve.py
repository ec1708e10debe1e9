"""Area under the ROC curve, average precision, best F1, AUPRO and what else is registered, from one walk.

Every one of them can be read off the distinct scores of the defects alone: how many normal pixels
(or images) score higher, how many score the same. So normal scores are only sorted and counted, and
what cannot move a curve is never looked at.
"""

from __future__ import annotations

import numpy as np

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics.curve_kinds import Step
from moleflow_lib.metrics.metric_table import curve_kinds

__all__ = ["Walk", "curve_values", "descend_sorted", "undefined"]


class Walk:
    """Adds up every value, chunk by chunk, from the highest scores down.

    Args:
        normal: number of normal pixels or images, () or (rounds,).
        defect: number of defective ones, likewise.

    >>> walk = Walk(2, 2)  # normal scores 0.1, 0.4; defective ones 0.35, 0.8
    >>> ones, halves = np.array([1, 1]), np.array([0.5, 0.5])
    >>> walk.descend(above=np.array([0, 1]), tied=np.array([0, 0]), defect=ones, weight=halves, passed=2)
    >>> float(walk.values()["auroc"])
    0.75
    """

    def __init__(self, normal: np.ndarray | int, defect: np.ndarray | int) -> None:
        self._normal, self._defect = np.asarray(normal, dtype=float), np.asarray(defect, dtype=float)
        self._alarms = np.zeros(self._normal.shape)
        self._hits = np.zeros(self._normal.shape)
        self._kinds = {name: kind(self._normal, self._defect) for name, kind in curve_kinds().items()}

    def descend(
        self,
        *,
        above: np.ndarray,
        tied: np.ndarray,
        defect: np.ndarray,
        weight: np.ndarray,
        passed: np.ndarray | int,
    ) -> None:
        """Take in the next lower scores.

        Args:
            above: (..., G) normal ones of this chunk that score higher than each of G falling scores.
            tied: (..., G) normal ones at that score.
            defect: (..., G) defective ones at that score.
            weight: (..., G) sum of their PRO weights, 1 / pixels of their region.
            passed: (...) all normal ones of this chunk.
        """
        higher = self._alarms[..., None] + above
        hits = self._hits[..., None] + np.cumsum(defect, axis=-1)
        step = Step(higher=higher, tied=tied, alarms=higher + tied, hits=hits, defect=defect, weight=weight)
        for kind in self._kinds.values():
            kind.descend(step)
        self._alarms, self._hits = self._alarms + passed, self._hits + np.sum(defect, axis=-1)

    def values(self) -> dict[str, np.ndarray]:
        """Each of `curve_kinds`, () or (rounds,) in [0, 1]; NaN where one kind of score is missing."""
        both = (self._normal > 0) & (self._defect > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {name: kind.value() for name, kind in self._kinds.items()}
        return {name: np.where(both, np.minimum(value, 1.0), np.nan) for name, value in values.items()}


def undefined() -> dict[str, float | None]:
    """None for every value."""
    return {name: None for name in curve_kinds()}


def curve_values(
    normal: np.ndarray, defect: np.ndarray, weight: np.ndarray | None = None
) -> dict[str, float | None]:
    """Every value of a walk, exact with ties, of scores that fit into memory.

    Args:
        normal: (N,) scores of normal pixels or images.
        defect: (P,) scores of defective ones.
        weight: (P,) PRO weights; one region a score if None.

    Returns:
        `auroc`, `ap`, `f1max`, `aupro` and what is registered; all None if there is no normal or no
        defective score.

    Raises:
        MetricError: a score is not a number.

    >>> curve_values(np.array([0.1, 0.4]), np.array([0.35, 0.8]))["ap"]
    0.8333333333333333
    """
    if np.isnan(normal).any() or np.isnan(defect).any():
        raise MetricError(
            "expected scores that are numbers, found NaN; a model that gives NaN must be trained anew"
        )
    if not len(normal) or not len(defect):
        return undefined()
    walk = Walk(len(normal), len(defect))
    descend_sorted(walk, np.sort(normal), defect, np.ones(len(defect)) if weight is None else weight)
    return {name: float(value) for name, value in walk.values().items()}


def descend_sorted(walk: Walk, normal: np.ndarray, defect: np.ndarray, weight: np.ndarray) -> None:
    """Feed one chunk of scores to a walk.

    Args:
        walk: where they go.
        normal: (N,) ascending.
        defect: (P,) in any order.
        weight: (P,) PRO weights of the defects.
    """
    order = np.argsort(defect)[::-1]
    ranked = defect[order]
    first = (
        np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.zeros(0, dtype=int)
    )
    scores = ranked[first]
    above = len(normal) - np.searchsorted(normal, scores, side="right")
    at_least = len(normal) - np.searchsorted(normal, scores, side="left")
    walk.descend(
        above=above,
        tied=at_least - above,
        defect=np.diff(first, append=len(ranked)),
        weight=np.add.reduceat(weight[order], first) if len(first) else weight[:0],
        passed=len(normal),
    )
