"""`python -m benchmarks`: each ratio's median over interleaved pairs, CPU seconds of one thread.

Above 1 means that ours is faster. `python -m benchmarks.memory` and `python -m benchmarks.gpu` stand apart.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, label
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.inference import report_overheads
from benchmarks.peers import report_peers
from benchmarks.routing import report_router
from benchmarks.training import PAIRS, paired, report_training
from moleflow_lib.metrics import pixel_metrics
from moleflow_lib.runtime import quiet
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.coreset import greedy_coreset


def main() -> None:
    """Run every comparison."""
    torch.set_num_threads(1)
    report_training()
    scores = torch.rand(83, 14, 14)
    _report("pixel maps, 83 images at 224", lambda: pixel_maps(scores, 224), lambda: _literal_maps(scores))
    maps, masks = _marked_maps(20)
    _report(
        "all pixel metrics against AUROC and AP alone, 1 million pixels",
        lambda: pixel_metrics([(maps, masks)]),
        lambda: (
            roc_auc_score(masks.ravel(), maps.ravel()),
            average_precision_score(masks.ravel(), maps.ravel()),
        ),
    )
    few = maps[:1].round(3), masks[:1]
    _report("AUPRO, 1 image, 1000 thresholds", lambda: pixel_metrics([few]), lambda: _literal_aupro(*few))
    _report_many_maps()
    _report_coreset()
    report_router()
    report_overheads()


def _marked_maps(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise at 224 with two brighter squares an image, and their masks."""
    maps = np.random.default_rng(0).random((images, 224, 224), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, 20:50, 30:60] = masks[:, 150:160, 200:224] = True
    return maps + 0.3 * masks, masks


def _literal_aupro(maps: np.ndarray, masks: np.ndarray) -> float:
    """AUPRO as the definition reads: every threshold in turn, every region in turn."""
    parts = [label(mask, np.ones((3, 3))) for mask in masks]
    regions = [(image, part == k) for image, (part, count) in enumerate(parts) for k in range(1, count + 1)]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        hot = maps >= threshold
        rates.append((hot & ~masks).sum() / (~masks).sum())
        overlaps.append(np.mean([hot[image][region].mean() for image, region in regions]))
    end = next(k for k, rate in enumerate(rates) if rate >= 0.3)
    share = (0.3 - rates[end - 1]) / (rates[end] - rates[end - 1])
    last = overlaps[end - 1] + share * (overlaps[end] - overlaps[end - 1])
    return np.trapezoid([*overlaps[:end], last], [*rates[:end], 0.3]) / 0.3


def _report_many_maps() -> None:
    """All pixel metrics of 201 maps, and what anomalib takes where it is installed."""
    maps, masks = _marked_maps(201)
    ((*ours,),) = paired(lambda: pixel_metrics([(maps, masks)]), pairs=3)
    print(f"all pixel metrics, 201 maps of 224²: {statistics.median(ours):.2f} s", flush=True)
    report_peers(maps, masks)


def _report_coreset() -> None:
    """Seconds for a bank of 8,000 patches out of 900 images."""
    points = torch.randn(900 * 196, 128)
    with quiet():
        ((*times,),) = paired(lambda: greedy_coreset(points, 8000, 0), pairs=1)
    print(f"coreset of 8,000 from 900 images, without structure: {times[0]:.0f} s", flush=True)


def _literal_maps(scores: torch.Tensor) -> np.ndarray:
    enlarged = F.interpolate(scores[:, None], size=(224, 224), mode="bilinear", align_corners=False)[:, 0]
    return gaussian_filter(enlarged.numpy(), (0, 4, 4))


def _report(what: str, ours: Callable[[], object], literal: Callable[[], object]) -> None:
    own, other = paired(ours, literal)
    ratios = [b / a for a, b in zip(own, other, strict=True)]
    spread = f"min {min(ratios):.2f}, max {max(ratios):.2f}, {PAIRS} pairs"
    print(f"{what}: {statistics.median(ratios):.2f}x ({spread})", flush=True)


if __name__ == "__main__":
    main()
