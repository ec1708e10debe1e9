"""Metrics as their definitions read: every threshold in turn, every region in turn. Slow, and independent of
the library.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import label


def literal_curves(
    maps: np.ndarray, masks: np.ndarray, neighbours: int = 8, limit: float = 0.3
) -> dict[str, float]:
    """AUROC, AP, F1-max and AUPRO of maps (N, H, W) under bool masks (N, H, W)."""
    structure = np.ones((3, 3)) if neighbours == 8 else None
    parts = [label(mask, structure) for mask in masks]
    regions = [(image, part == k) for image, (part, count) in enumerate(parts) for k in range(1, count + 1)]
    fpr, tpr, pro, f1, ap = [0.0], [0.0], [0.0], [0.0], 0.0
    for threshold in np.unique(maps)[::-1]:
        hot = maps >= threshold
        hits, alarms = (hot & masks).sum(), (hot & ~masks).sum()
        fpr.append(alarms / (~masks).sum())
        tpr.append(hits / masks.sum())
        pro.append(np.mean([hot[image][region].mean() for image, region in regions]))
        ap += (tpr[-1] - tpr[-2]) * hits / (hits + alarms)
        f1.append(2 * hits / (hits + alarms + masks.sum()))
    return {"auroc": np.trapezoid(tpr, fpr), "ap": ap, "f1max": max(f1), "aupro": area_below(fpr, pro, limit)}


def area_below(rates: list[float], overlaps: list[float], limit: float) -> float:
    """Area under a polygon up to a rate, interpolated there, divided by the rate."""
    end = next(k for k, rate in enumerate(rates) if rate >= limit)
    share = (limit - rates[end - 1]) / (rates[end] - rates[end - 1])
    last = overlaps[end - 1] + share * (overlaps[end] - overlaps[end - 1])
    return float(np.trapezoid([*overlaps[:end], last], [*rates[:end], limit]) / limit)
