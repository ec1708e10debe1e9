"""anomalib beside ours on the same arrays, where it is installed: `pip install anomalib` beside this package.

Its AUPRO, and its PatchCore: choosing a coreset, and scoring patches by it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.training import paired
from moleflow_lib.metrics import pixel_metrics
from moleflow_lib.runtime import quiet
from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, projected

__all__ = ["report_peers"]

WIDTH, IMAGES, PATCHES, PICKS = 768, 50, 196, 490


def report_peers(maps: np.ndarray, masks: np.ndarray) -> None:
    """One line a comparison: how many times as long anomalib takes; one pair each, so read the first digit.

    Args:
        maps: (N, S, S) float32 pixel maps.
        masks: (N, S, S) bool.
    """
    try:
        from anomalib.metrics.aupro import _AUPRO
        from anomalib.models.components import KCenterGreedy
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    except ImportError as error:
        print(f"anomalib cannot be imported, so peers are left out: {error}")
        return

    def aupro() -> torch.Tensor:
        metric = _AUPRO()  # anew: one that has been computed keeps its value
        metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
        return metric.compute()

    _report("AUPRO against all our pixel metrics", lambda: pixel_metrics([(maps, masks)]), aupro)
    points = torch.randn(IMAGES * PATCHES, WIDTH, generator=torch.Generator().manual_seed(0))
    greedy = KCenterGreedy(points, PICKS / len(points))
    _report(
        f"PatchCore's coreset, {PICKS} of {len(points):,} patches, D = {WIDTH}",
        lambda: greedy_coreset(projected(points, 0), PICKS, 0),
        greedy.select_coreset_idxs,
    )
    bank = points[:8000].contiguous()
    model = PatchcoreModel(layers=["layer1"], backbone="resnet18", pre_trained=False, num_neighbors=1)
    model.memory_bank = bank
    queries = points[-8 * PATCHES :]
    _report(
        "PatchCore's distances of 8 images to 8,000 patches",
        lambda: nearest_distances(queries, bank),
        lambda: model.nearest_neighbors(queries, n_neighbors=1),
    )


def _report(what: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    with quiet():
        own, other = paired(ours, theirs, pairs=1)
    print(f"anomalib, {what}: {other[0] / statistics.median(own):.1f} times as long", flush=True)
