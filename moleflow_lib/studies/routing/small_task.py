"""One task of few images among full ones: where do its images go?

Distances grow as n shrinks below D, so an estimate with a fixed ridge sends the small task's images
to larger ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from moleflow_lib.routing.covariances import COVARIANCES, Spectrum
from moleflow_lib.studies.routing.images import RouterImages, share
from moleflow_lib.studies.routing.sample_size import drawn

__all__ = ["SMALL_SIZES", "small_task_rows"]

SMALL_SIZES = (5, 10, 20, 40)


def small_task_rows(
    images: RouterImages, sizes: Sequence[int] = SMALL_SIZES, draws: int = 3
) -> list[dict[str, object]]:
    """Make one task's prototype of n of its training images, leave the others full, route all test images.

    Returns:
        One row for each task, n below its size, and kind: `task`, `images` (n), `variant`; `kept`, share
        of its test images still sent to it; `drawn_in`, share of the other tasks' test images sent to
        it; `lost_to`, where most of the others went, None if none did. Over all draws together.
    """
    rows = []
    for task, features in enumerate(images.train):
        generator = torch.Generator().manual_seed(images.seed)
        for size in (size for size in sizes if size < len(features)):
            chosen: dict[str, list[torch.Tensor]] = {kind: [] for kind in COVARIANCES}
            for _ in range(draws):
                for kind, squared in images.with_spectrum(
                    task, Spectrum.of(drawn(features, size, generator))
                ).items():
                    chosen[kind].append(squared.argmin(dim=1))
            rows += [
                {
                    "task": images.names[task],
                    "images": size,
                    "variant": kind,
                    **_fate(images, task, torch.stack(routes)),
                }
                for kind, routes in chosen.items()
            ]
    return rows


def _fate(images: RouterImages, task: int, routes: torch.Tensor) -> dict[str, object]:
    """Of routes (draws, M)."""
    own, foreign = routes[:, images.truth == task].flatten(), routes[:, images.truth != task].flatten()
    lost = own[own != task]
    return {
        "kept": share(own == task),
        "drawn_in": share(foreign == task),
        "lost_to": images.names[int(lost.mode().values)] if len(lost) else None,
    }
