"""Intervals: over test images by the bootstrap, over seeds on top, and Student's t for a handful of values.

An interval says how far a number could have come out otherwise if *only what is drawn anew* had come
out otherwise: the image bootstrap covers the choice of test images, for the one model that was
trained; `over_seeds` covers test images and training seeds; `t_interval` covers what the values at
hand differ by. None covers other products, other backbones, or an error in the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics.binned import BINS, Histograms, binned_values, image_histograms, score_edges
from moleflow_lib.metrics.metric_table import METRICS, of_level
from moleflow_lib.metrics.streaming import Blocks

__all__ = [
    "ROUNDS",
    "Replicates",
    "average",
    "image_draws",
    "interval",
    "over_seeds",
    "replicate_metrics",
    "t_interval",
]

ROUNDS = 200
Replicates = dict[str, "np.ndarray | None"]


def image_draws(labels: np.ndarray, name: str, rounds: int = ROUNDS) -> np.ndarray:
    """How often each image is drawn in each round, normal and defective images drawn apart with replacement.

    The draws depend on the name and the labels alone. So every method and every seed sees the same
    images in the same round, and the difference between two of them, taken round by round, is paired.

    Args:
        labels: (N,) 1 for defective images, 0 for normal ones.
        name: of the product.
        rounds: R.

    Returns:
        (R, N) counts; each row holds as many normal and as many defective images as there are.

    >>> image_draws(np.array([0, 0, 1, 1, 1]), "bottle", rounds=2).sum(axis=1).tolist()
    [5, 5]
    """
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    counts = np.zeros((rounds, len(labels)), dtype=int)
    for kind in (0, 1):
        own = np.flatnonzero(np.asarray(labels) == kind)
        if len(own):
            counts[:, own] = random.multinomial(len(own), np.full(len(own), 1 / len(own)), size=rounds)
    return counts


def replicate_metrics(
    image_scores: np.ndarray,
    labels: np.ndarray,
    name: str,
    blocks: Blocks | None = None,
    rounds: int = ROUNDS,
) -> Replicates:
    """Every metric on the images of each bootstrap round.

    Covers: had other images of the same kind been photographed for the test. Does not cover: another
    training run, other kinds of defects (each defect type is drawn as often as chance has it), and
    with fewer than about 20 images of a kind intervals are somewhat too short. F1-max chooses its
    threshold anew in every round and so lies a little high. Pixel metrics are those of the binned
    variant, see `binned`; image metrics are exact up to 1024 distinct scores.

    Args:
        image_scores: (N,).
        labels: (N,) 1 for defective images, 0 for normal ones.
        name: of the product; seeds the draws.
        blocks: maps and masks of the same images in the same order, as for `pixel_metrics`; None
            where there are no masks.
        rounds: R.

    Returns:
        Each of METRICS → (R,), NaN in rounds where it is undefined; None where it is undefined in all.
    """
    counts = image_draws(labels, name, rounds)
    as_pixels = [
        (np.reshape(image_scores, (-1, 1, 1)), np.reshape(labels, (-1, 1, 1)) > 0)
    ]  # an image of one pixel
    found = of_level("image", _replicated(as_pixels, counts))
    if blocks is not None:
        found |= of_level("pixel", _replicated(blocks, counts))
    return {
        metric: found[metric] if metric in found and np.isfinite(found[metric]).any() else None
        for metric in METRICS
    }


def interval(replicates: np.ndarray | None, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile interval: the middle `level` of the replicates (Efron 1979); None where undefined.

    The replicates of a difference between two methods are the differences of their replicates.

    >>> interval(np.arange(101.0), level=0.5)
    (25.0, 75.0)
    """
    if replicates is None or not np.isfinite(replicates).any():
        return None
    low, high = np.nanquantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def over_seeds(replicates: Sequence[np.ndarray]) -> np.ndarray:
    """Replicates of the mean over training seeds: seeds are drawn with replacement, their rounds averaged.

    Covers test images and seeds together. With S seeds the part of the seeds comes out too small by the
    factor (S−1)/S in variance, so below about five seeds show `t_interval` beside it; with one seed it
    is the image bootstrap and says nothing about seeds. Same draws for every method, so differences are
    paired.

    Args:
        replicates: one (R,) a seed.

    >>> over_seeds([np.array([1.0, 2.0])]).tolist()
    [1.0, 2.0]
    """
    table = np.stack(list(replicates))  # (S, R)
    seeds, rounds = table.shape
    drawn = np.random.default_rng(seeds).integers(seeds, size=(seeds, rounds))
    return np.take_along_axis(table, drawn, axis=0).mean(axis=0)


def average(replicates: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Replicates of a mean over tasks, over those where the metric is defined; None if there are none."""
    kept = [values for values in replicates if values is not None]
    return np.mean(kept, axis=0) if kept else None


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of the mean of a handful of values, one a seed (or one paired difference a seed).

    Covers what moves from one seed to the next on the same test images; not the choice of images. It
    takes the values for normally distributed.

    Returns:
        Low and high end, or None for a single value, which says nothing about spread.

    >>> [round(end, 4) for end in t_interval([0.9, 0.92, 0.94])]  # 0.92 ± 4.303 · 0.02 / √3
    [0.8703, 0.9697]
    """
    if len(values) < 2:
        return None
    reach = stdtrit(len(values) - 1, (1 + level) / 2) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - reach), float(np.mean(values) + reach)


def _replicated(blocks: Blocks, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The four values on the images of each round, from histograms summed block by block."""
    total: Histograms | None = None
    start = 0
    for part in image_histograms(blocks, score_edges(blocks, BINS)):
        drawn = part.combined(counts[:, start : start + len(part.normal)])
        total, start = drawn if total is None else total + drawn, start + len(part.normal)
    if total is None:
        raise MetricError("expected at least one image to draw from, got none")
    return binned_values(total)
