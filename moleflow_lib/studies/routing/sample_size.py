"""Routing accuracy against the number of training images a prototype is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum, spectra_distances
from moleflow_lib.rows import Rows
from moleflow_lib.studies.routing.images import RouterImages

__all__ = ["accuracy_by_sample_size", "enough_images", "sample_sizes"]


def accuracy_by_sample_size(images: RouterImages, draws: int = 5) -> list[dict[str, object]]:
    """Make every task's prototype of n training images drawn at random, and route all test images.

    Args:
        images: features of all tasks.
        draws: at each n; a task with fewer than n images gives all it has.

    Returns:
        One row for each n and kind: `images` (n), `variant`, mean `accuracy` over the draws, `low` and
        `high` (least and most of any draw), `draws`. The last n is that of the largest task: all images.
    """
    generator = torch.Generator().manual_seed(images.seed)
    sizes, rows = sample_sizes([len(x) for x in images.train]), []
    for size in sizes:
        count = 1 if size == sizes[-1] else draws
        found: dict[str, list[float | None]] = {kind: [] for kind in COVARIANCES}
        for _ in range(count):
            spectra = [Spectrum.of(drawn(x, size, generator)) for x in images.train]
            for kind, squared in spectra_distances(spectra, images.test).items():
                found[kind].append(images.accuracy(squared))
        rows += [
            {"images": size, "variant": kind, **_spread(values), "draws": count}
            for kind, values in found.items()
        ]
    return rows


def sample_sizes(counts: Sequence[int]) -> list[int]:
    """5, 10, 20, 40, … below the largest task, then its size.

    >>> sample_sizes([60, 209])
    [5, 10, 20, 40, 80, 160, 209]
    """
    most = max(counts)
    return [5 * 2**step for step in range(most.bit_length()) if 5 * 2**step < most] + [most]


def enough_images(rows: Rows) -> dict[str, int | None]:
    """For each kind the n from which on its mean accuracy stays within one point of the best any kind reaches
    with all.

    None where it does not get there even with all images.
    """
    all_images = max((row["images"] for row in rows), default=0)
    best = max(
        (row["accuracy"] for row in rows if row["images"] == all_images and row["accuracy"] is not None),
        default=None,
    )
    found: dict[str, int | None] = {}
    for kind in dict.fromkeys(row["variant"] for row in rows):
        own = sorted((row for row in rows if row["variant"] == kind), key=lambda row: -row["images"])
        found[kind] = None
        for row in own:
            if best is None or row["accuracy"] < best - 0.01:
                break
            found[kind] = row["images"]
    return found


def drawn(features: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` rows of (n, D) at random; all of them if there are fewer."""
    return features[torch.randperm(len(features), generator=generator)[:count]]


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return {"accuracy": None, "low": None, "high": None}
    return {"accuracy": sum(known) / len(known), "low": min(known), "high": max(known)}
