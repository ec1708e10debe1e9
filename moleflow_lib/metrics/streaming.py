"""Exact pixel metrics of any number of images in bounded memory.

float32 scores map to 32-bit keys in the same order. The first pass over the images counts keys by
their upper half. From the counts the keys are cut into ranges, highest first, and each range takes
one more pass: a range of few pixels is gathered and sorted, a crowded one is counted key by key.
A walk over the ranges sees what a walk over everything sorted would see. Engineering choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from moleflow_lib.errors import MetricError
from moleflow_lib.metrics.curve import Walk, descend_sorted, undefined
from moleflow_lib.metrics.regions import region_weights

__all__ = ["PIXELS_AT_ONCE", "Blocks", "require_rereadable", "score_keys", "streamed_curve"]

Blocks = Iterable[
    tuple[np.ndarray, np.ndarray]
]  # (n, H, W) scores, (n, H, W) bool masks; iterated several times
PIXELS_AT_ONCE = 2**24  # 64 MiB of keys
_BUCKET = 2**16  # keys a bucket, and buckets
_COUNTED = (
    4  # counting a range takes three numbers a key, so ranges that are counted hold this much fewer keys
)


def streamed_curve(blocks: Blocks, limit: int = PIXELS_AT_ONCE) -> dict[str, float | None]:
    """Every value of a walk over all pixels of all images, exact for float32 scores, ties included.

    Args:
        blocks: pairs of maps (n, H, W) and bool masks (n, H, W), the same whenever iterated: a list,
            or an object whose `__iter__` computes them anew. Maps are read as float32.
        limit: pixels held at once; memory is a small multiple of it and of one block.

    Returns:
        `auroc`, `ap`, `f1max`, `aupro` and what is registered; all None if no pixel is normal or none is
        defective.

    Raises:
        MetricError: the source can be read only once, or a score is not a number.

    >>> maps, masks = np.array([[[3.0, 2.0], [1.0, 0.0]]]), np.array([[[True, False], [False, False]]])
    >>> streamed_curve([(maps, masks)])["aupro"]
    1.0
    """
    require_rereadable(blocks)
    normal, defect = _bucket_counts(blocks)
    if not normal.any() or not defect.any():
        return undefined()
    walk = Walk(normal.sum(), defect.sum())
    for low, high, gather in _ranges(normal + defect, limit):
        (_sort_range if gather else _count_range)(walk, blocks, low * _BUCKET, high * _BUCKET)
    return {name: float(value) for name, value in walk.values().items()}


def require_rereadable(blocks: Blocks) -> None:
    """Refuse a source of images that is used up by reading it once.

    Raises:
        MetricError: it is a generator.
    """
    if iter(blocks) is blocks:
        raise MetricError(
            "expected a source of images that can be read several times, found a generator; pass a list"
        )


def score_keys(scores: np.ndarray) -> np.ndarray:
    """uint32 keys in the order of float32 scores, equal where the scores are equal (−0 and 0 too).

    Raises:
        MetricError: a score is not a number.

    >>> ascending = score_keys(np.array([-1.0, -0.0, 0.0, 1e-9])).tolist()
    >>> ascending == sorted(ascending)
    True
    """
    values = np.asarray(scores, dtype=np.float32) + np.float32(0)  # −0 becomes 0
    if np.isnan(values).any():
        raise MetricError(
            "expected scores that are numbers, found NaN; a model that gives NaN must be trained anew"
        )
    bits = values.view(np.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.uint32) ^ np.uint32(0x80000000)


def _bucket_counts(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Normal and defective pixels by the upper half of their key."""
    counts = np.zeros((2, _BUCKET), dtype=np.int64)
    for normal, defect, _ in _keys(blocks):
        for row, keys in zip(counts, (normal, defect), strict=True):
            row += np.bincount(keys >> 16, minlength=_BUCKET)
    return counts[0], counts[1]


def _ranges(pixels: np.ndarray, limit: int) -> Iterator[tuple[int, int, bool]]:
    """Buckets low to high (exclusive), from the top, and whether to gather them or to count their keys."""
    below, high = np.append(0, np.cumsum(pixels)), int(np.flatnonzero(pixels)[-1]) + 1
    while below[high]:
        gathered = int(np.searchsorted(below, below[high] - limit))
        counted = max(high - max(limit // _COUNTED // _BUCKET, 1), 0)
        gather = gathered <= counted
        low = gathered if gather else counted
        yield low, high, gather
        high = low


def _sort_range(walk: Walk, blocks: Blocks, low: int, high: int) -> None:
    """Gather the pixels with keys from low to high (exclusive), sort them, walk on."""
    chosen = [_within(block, low, high) for block in _keys(blocks, weighted=True)]
    normal, defect, weight = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
    normal.sort()
    descend_sorted(walk, normal, defect, weight)


def _count_range(walk: Walk, blocks: Blocks, low: int, high: int) -> None:
    """Count the pixels of every key from low to high (exclusive), walk on."""
    normal, defect = np.zeros((2, high - low), dtype=np.int64)
    weight = np.zeros(high - low)
    for block in _keys(blocks, weighted=True):
        calm, hit, share = _within(block, low, high)
        np.add.at(normal, calm - np.uint32(low), 1)
        np.add.at(defect, hit - np.uint32(low), 1)
        np.add.at(weight, hit - np.uint32(low), share)
    seen = np.flatnonzero(defect)[::-1]
    above = normal.sum() - np.cumsum(normal)[seen]
    walk.descend(
        above=above, tied=normal[seen], defect=defect[seen], weight=weight[seen], passed=normal.sum()
    )


def _within(block: tuple[np.ndarray, ...], low: int, high: int) -> tuple[np.ndarray, ...]:
    normal, defect, weight = block
    inside, hit = ((keys >= low) & (keys < high) for keys in (normal, defect))
    return normal[inside], defect[hit], weight[hit]


def _keys(blocks: Blocks, weighted: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Keys of normal pixels, keys of defective ones, and the PRO weights of the latter if asked for."""
    for maps, masks in blocks:
        keys, marked = score_keys(maps), np.asarray(masks, dtype=bool)
        yield keys[~marked], keys[marked], region_weights(marked) if weighted else np.zeros(0)
