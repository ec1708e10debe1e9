"""How far values from histograms can be from the exact ones, proved bin by bin."""

from __future__ import annotations

import numpy as np

from moleflow_lib.metrics.aupro import FPR_LIMIT
from moleflow_lib.metrics.binned import BINS, Histograms, binned_values, image_histograms, score_edges
from moleflow_lib.metrics.curve import undefined
from moleflow_lib.metrics.streaming import Blocks

__all__ = ["binned_curve", "binned_ranges"]


def binned_curve(blocks: Blocks, bins: int = BINS) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Every value over all pixels from histograms, and how far the four built-in ones can be from exact.

    Args:
        blocks: pairs of maps and masks (n, H, W) that can be read several times.
        bins: about how many bins.

    Returns:
        Values, and worst-case errors of `auroc`, `ap`, `f1max`, `aupro`; all None where undefined.
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
