"""Pixel metrics from one histogram of scores an image, with the worst-case error of each value.

Pixels of one bin are taken as tied. Histograms are small and add up, so a sum over images, or over
images drawn again and again (`bootstrap`), costs a matrix product instead of a sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moleflow_lib.metrics.aupro import FPR_LIMIT
from moleflow_lib.metrics.curve import Walk, undefined
from moleflow_lib.metrics.regions import region_weights
from moleflow_lib.metrics.streaming import Blocks, require_rereadable

__all__ = [
    "BINS",
    "Histograms",
    "binned_curve",
    "binned_ranges",
    "binned_values",
    "image_histograms",
    "score_edges",
]

BINS = 1024
_SAMPLE = 2**18  # scores of each kind that the edges are read off


@dataclass(frozen=True, kw_only=True)
class Histograms:
    """Scores counted in K bins, from the highest scores down; one row an image, or a sum of images."""

    normal: np.ndarray  # (M, K) normal pixels
    defect: np.ndarray  # (M, K) defective pixels
    weight: np.ndarray  # (M, K) PRO weights of the defective pixels

    def combined(self, counts: np.ndarray) -> Histograms:
        """Sums of its rows, each row taken as often as `counts` (R, M) says; gives R rows."""
        times = counts.astype(float)
        return Histograms(normal=times @ self.normal, defect=times @ self.defect, weight=times @ self.weight)

    def __add__(self, other: Histograms) -> Histograms:
        return Histograms(
            normal=self.normal + other.normal,
            defect=self.defect + other.defect,
            weight=self.weight + other.weight,
        )


def binned_curve(blocks: Blocks, bins: int = BINS) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Every value over all pixels from histograms, and how far the four built-in ones can be from exact.

    Args:
        blocks: pairs of maps and masks (n, H, W) that can be read several times.
        bins: about how many bins.

    Returns:
        Values, and worst-case errors of `auroc`, `ap`, `f1max`, `aupro`; all None where undefined.

    >>> maps, masks = np.array([[[3.0, 2.0], [1.0, 0.0]]]), np.array([[[True, False], [False, False]]])
    >>> values, errors = binned_curve([(maps, masks)])
    >>> values["ap"], errors["ap"]
    (1.0, 0.0)
    """
    edges = score_edges(blocks, bins)
    everything: Histograms | None = None
    for part in image_histograms(blocks, edges):
        total = part.combined(np.ones((1, len(part.normal))))
        everything = total if everything is None else everything + total
    if everything is None or not everything.normal.any() or not everything.defect.any():
        return undefined(), undefined()
    values, ranges = binned_values(everything), binned_ranges(everything)
    errors = {
        name: max(high - values[name], values[name] - low).item() for name, (low, high) in ranges.items()
    }
    return {name: value.item() for name, value in values.items()}, errors


def score_edges(blocks: Blocks, bins: int = BINS) -> np.ndarray:
    """Edges between bins, ascending (about `bins`): quantiles of the scores, dense where metrics are decided.

    A half are quantiles of the defective pixels; the rest of the normal ones, evenly over their ranks and
    ever closer towards their highest scores, where a few pixels decide precision. With no more distinct
    scores than bins each score has its own bin and nothing is lost.

    Raises:
        MetricError: the source can be read only once.
    """
    require_rereadable(blocks)
    kinds = _sampled(blocks)
    distinct = np.unique(np.concatenate(kinds))
    if len(distinct) <= bins:
        return distinct
    even, tail = np.linspace(0, 1, bins // 4), 1 - np.logspace(0, -5, bins // 4)
    levels = (np.append(even, tail), np.linspace(0, 1, bins // 2))
    return np.unique(
        np.concatenate(
            [
                np.quantile(scores, level, method="higher")
                for scores, level in zip(kinds, levels, strict=True)
                if len(scores)
            ]
        )
    )


def image_histograms(blocks: Blocks, edges: np.ndarray) -> Iterator[Histograms]:
    """Histograms of the images of each block, one row an image.

    Args:
        blocks: pairs of maps and masks (n, H, W).
        edges: ascending; a bin holds the scores from its edge up to the next, that one left out.
    """
    for maps, masks in blocks:
        images, marked, bins = len(maps), np.asarray(masks, dtype=bool), len(edges) + 1
        column = len(edges) - np.searchsorted(edges, np.asarray(maps, dtype=np.float32), side="right")
        cell = column + bins * np.arange(images)[:, None, None]
        hit = cell[marked]
        normal, defect, weight = (
            np.bincount(cells, weights, minlength=images * bins).astype(float).reshape(images, bins)
            for cells, weights in ((cell[~marked], None), (hit, None), (hit, region_weights(marked)))
        )
        yield Histograms(normal=normal, defect=defect, weight=weight)


def binned_values(rows: Histograms) -> dict[str, np.ndarray]:
    """Every value of each row, (M,); NaN where a row has one kind of pixel only."""
    walk = Walk(rows.normal.sum(axis=1), rows.defect.sum(axis=1))
    above = np.cumsum(rows.normal, axis=1) - rows.normal
    walk.descend(
        above=above, tied=rows.normal, defect=rows.defect, weight=rows.weight, passed=rows.normal.sum(axis=1)
    )
    return walk.values()


def binned_ranges(rows: Histograms) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lowest and highest value that any order of the pixels within their bins could have, (M,) each.

    With n normal and d defective pixels in a bin, F₀ → F₁ and T₀ → T₁ passed before and after it:
    AUROC lies within Σ nd/2NP. A defect's precision is at most T₁/(T₁+F₀), and the j-th one's at least
    (T₀+j)/(T₀+j+F₁), whose sum is at least ∫ x/(x+F₁) from T₀ to T₁. F1 is at most 2T₁/(T₁+F₀+P), and
    the bins' own thresholds are among the exact ones. The PRO curve rises in a bin at F₀ at the
    earliest, at F₁ at the latest.
    """
    normal, defect, weight = rows.normal, rows.defect, rows.weight
    alarms, hits = np.cumsum(normal, axis=1), np.cumsum(defect, axis=1)
    before, all_normal, all_defect = alarms - normal, alarms[:, -1:], hits[:, -1:]
    values, limit = binned_values(rows), FPR_LIMIT * all_normal
    swapped = np.sum(normal * defect, axis=1) / (2 * all_normal * all_defect)[:, 0]
    most = np.sum(defect * hits / np.maximum(hits + before, 1), axis=1) / all_defect[:, 0]
    missed = alarms * np.log1p(defect / np.maximum(hits - defect + alarms, 1))
    least = np.sum(defect - missed, axis=1) / all_defect[:, 0]
    best = np.max(2 * hits / np.maximum(hits + before + all_defect, 1), axis=1)
    late, early = (
        np.sum(weight * np.maximum(limit - start, 0), axis=1) / (limit[:, 0] * weight.sum(axis=1))
        for start in (alarms, before)
    )
    return {
        "auroc": (values["auroc"] - swapped, values["auroc"] + swapped),
        "ap": (least, most),
        "f1max": (values["f1max"], best),
        "aupro": (late, early),
    }


def _sampled(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Scores of normal and of defective pixels, evenly thinned to a bounded number."""
    kept, step = [np.zeros(0, dtype=np.float32)] * 2, [1, 1]
    for maps, masks in blocks:
        scores, marked = np.asarray(maps, dtype=np.float32), np.asarray(masks, dtype=bool)
        for kind, own in enumerate((scores[~marked], scores[marked])):
            kept[kind] = np.append(kept[kind], own[:: step[kind]])
            while len(kept[kind]) > _SAMPLE:
                kept[kind], step[kind] = kept[kind][::2], 2 * step[kind]
    return kept[0], kept[1]
