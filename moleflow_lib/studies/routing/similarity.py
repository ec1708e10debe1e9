"""Is routing free because the products are easy? Errors against the distance between products, and the
reserve.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from moleflow_lib.routing.covariances import COVARIANCES
from moleflow_lib.studies.routing.images import RouterImages
from moleflow_lib.studies.routing.mean_shrinkage import min_separation

__all__ = ["LEVELS", "pair_curves", "pair_rows", "reserve_rows"]

LEVELS = (0.99, 0.95, 0.90)


def pair_rows(images: RouterImages) -> list[dict[str, object]]:
    """Every pair of tasks as if there were no other.

    Returns:
        One row a pair, closest first: `tasks`, `separation` (`inspection.class_separation`), `error` →
        kind → share of the two tasks' test images sent to the other one, `min_separation` → kind → share of
        the gap at which 99 % are still right (a stress test on moved features).
    """
    rows = []
    curves = {kind: pair_curves(images, kind) for kind in COVARIANCES}
    for i, j in curves[COVARIANCES[0]]:
        own = {kind: pairs[i, j] for kind, pairs in curves.items()}
        rows.append(
            {
                "tasks": [images.names[i], images.names[j]],
                "separation": float(images.separation[i, j]),
                "error": {kind: float(1 - curve[0]) for kind, curve in own.items()},
                "min_separation": {kind: min_separation(curve, LEVELS[0]) for kind, curve in own.items()},
            }
        )
    return sorted(rows, key=lambda row: row["separation"])


def pair_curves(images: RouterImages, kind: str) -> dict[tuple[int, int], np.ndarray]:
    """Accuracy on each pair of tasks at each of `moved_means.GAPS`; pairs without a labelled test image are
    left out.
    """
    present = set(images.truth.tolist())
    pairs = [pair for pair in combinations(range(len(images.names)), 2) if present & set(pair)]
    return {pair: images.moved[kind].restricted(pair).curve() for pair in pairs}


def reserve_rows(images: RouterImages) -> list[dict[str, object]]:
    """How far all gaps between the tasks could shrink: a stress test on moved features, see `moved_means`.

    Returns:
        One row a kind: `variant`, `min_separation_99`, `_95`, `_90`: share of today's gaps down to which that
            many
        per cent of the test images are routed right; None where they are not today. Empty with a single task.
    """
    rows = []
    for kind in COVARIANCES if len(images.test) and len(images.names) > 1 else ():
        curve = images.moved[kind].curve()
        rows.append(
            {
                "variant": kind,
                **{f"min_separation_{100 * level:.0f}": min_separation(curve, level) for level in LEVELS},
            }
        )
    return rows
