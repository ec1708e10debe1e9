"""A batch that holds images of several tasks, each scored with its own task's parts."""

from __future__ import annotations

from collections.abc import Callable

import torch

from moleflow_lib.errors import MetricError

__all__ = ["per_task"]


def per_task(tasks: torch.Tensor, score: Callable[[torch.Tensor, int], torch.Tensor]) -> torch.Tensor:
    """Score every image under its own task; the images of one task go together.

    Args:
        tasks: (N,) task of each image, N of at least 1.
        score: from the indices of some images (n,) and their task to their scores (n, ...).

    Returns:
        (N, ...) in the order of the images.

    Raises:
        MetricError: there is no image.

    >>> per_task(torch.tensor([1, 0, 1]), lambda rows, task: rows * 10 + task).tolist()
    [1, 10, 21]
    """
    result: torch.Tensor | None = None
    for task in tasks.unique().tolist():
        rows = (tasks == task).nonzero().flatten()
        scores = score(rows, task)
        result = scores.new_empty(len(tasks), *scores.shape[1:]) if result is None else result
        result[rows] = scores
    if result is None:
        raise MetricError("expected the scores of at least one image, got none")
    return result
