"""Area under the ROC curve, average precision, best F1 and AUPRO from one descending walk over scores.

Every one of them can be read off the distinct scores of the defects alone: how many normal pixels
(or images) score higher, how many score the same. So normal scores are only sorted and counted, and
what cannot move a curve is never looked at.
"""

from __future__ import annotations

import numpy as np

from moleflow_lib.errors import MetricError

__all__ = ["CURVE_VALUES", "FPR_LIMIT", "Walk", "curve_values"]

CURVE_VALUES = ("auroc", "ap", "f1max", "aupro")
FPR_LIMIT = 0.3  # false-positive rate up to which AUPRO is integrated (Bergmann et al. 2021)


class Walk:
    """Adds up the four values, chunk by chunk, from the highest scores down.

    The areas are sums over the defects of what each adds to the curve. A defect of weight w whose
    score beats all but F₀ of N normal pixels and ties with n of them lifts the curve by w along a line
    from F₀ to F₀+n; below the limit L = 0.3·N that adds w·(max(L−F₀−n, 0) + (min(L, F₀+n)−F₀)²/2n).

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
        self._alarms, self._hits, self._regions = _zeros(3, self._normal.shape)
        self._pairs, self._precision, self._overlap, self._f1 = _zeros(4, self._normal.shape)

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
        alarms, hits = higher + tied, self._hits[..., None] + np.cumsum(defect, axis=-1)
        limit = FPR_LIMIT * self._normal[..., None]
        slope = np.clip(limit - higher, 0, tied) ** 2 / (2 * np.maximum(tied, 1))
        self._pairs += np.sum(defect * (self._normal[..., None] - alarms + tied / 2), axis=-1)
        self._precision += np.sum(defect * hits / np.maximum(hits + alarms, 1), axis=-1)
        self._overlap += np.sum(weight * (np.maximum(limit - alarms, 0) + slope), axis=-1)
        f1 = 2 * hits / np.maximum(hits + alarms + self._defect[..., None], 1)
        self._f1 = np.maximum(self._f1, f1.max(axis=-1, initial=0))
        self._regions += np.sum(weight, axis=-1)
        self._alarms, self._hits = self._alarms + passed, self._hits + np.sum(defect, axis=-1)

    def values(self) -> dict[str, np.ndarray]:
        """`auroc`, `ap`, `f1max` and `aupro`, () or (rounds,) in [0, 1]; NaN where one kind is missing."""
        both = (self._normal > 0) & (self._defect > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = {
                "auroc": self._pairs / (self._normal * self._defect),
                "ap": self._precision / self._defect,
                "f1max": self._f1,
                "aupro": self._overlap / (self._regions * FPR_LIMIT * self._normal),
            }
        return {name: np.where(both, np.minimum(value, 1.0), np.nan) for name, value in values.items()}


def _zeros(count: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    return list(np.zeros((count, *shape)))


def curve_values(
    normal: np.ndarray, defect: np.ndarray, weight: np.ndarray | None = None
) -> dict[str, float | None]:
    """The four values, exact with ties, of scores that fit into memory.

    Args:
        normal: (N,) scores of normal pixels or images.
        defect: (P,) scores of defective ones.
        weight: (P,) PRO weights; one region a score if None.

    Returns:
        `auroc`, `ap`, `f1max`, `aupro`; all None if there is no normal or no defective score.

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
        return dict.fromkeys(CURVE_VALUES)
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
