"""Pixel metrics from one histogram of scores an image, with the worst-case error of each value.

Pixels of one bin are taken as tied. Histograms are small and add up, so a sum over images, or over
images drawn again and again (`bootstrap`), costs a matrix product instead of a sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moleflow_lib.metrics.curve import Walk
from moleflow_lib.metrics.regions import region_weights
from moleflow_lib.metrics.streaming import Blocks, require_rereadable

__all__ = ["BINS", "Histograms", "binned_values", "image_histograms", "score_edges"]

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
