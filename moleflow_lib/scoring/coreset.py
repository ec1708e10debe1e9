"""A few patches that stand for many, and the distance of others to the nearest of them (Roth et al. 2022)."""

from __future__ import annotations

import math

import torch

from moleflow_lib.runtime import progress

__all__ = ["greedy_coreset", "nearest_distances", "projected"]

_PROJECTED = 128  # channels the coreset is chosen in, as in PatchCore's own code
_CHUNK = 1 << 14  # patches projected at once
_PRODUCTS = 1 << 24  # distances held at once, 64 MB


def projected(patches: torch.Tensor, seed: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Patches (M, D) of any float type as (M, min(D, 128)) float32: a Gaussian projection that keeps
    distances roughly.
    """
    width = patches.shape[1]
    draw = torch.randn(width, _PROJECTED, generator=torch.Generator().manual_seed(seed)) / math.sqrt(
        _PROJECTED
    )
    matrix = (draw if width > _PROJECTED else torch.eye(width)).to(device)
    points = torch.empty(len(patches), matrix.shape[1], device=device)
    for rows, chunk in zip(points.split(_CHUNK), patches.split(_CHUNK), strict=True):
        rows.copy_(chunk.to(device).float() @ matrix)
    return points


def greedy_coreset(points: torch.Tensor, size: int, seed: int, name: str = "points") -> torch.Tensor:
    """Greedy k-centre: after a random first point, always the point farthest from all points picked so far.

    Exact, with one pass over the points a pick; the largest distance left is at most twice the best
    possible (Gonzalez 1985).

    Args:
        points: (M, d) float32; moved in place so that their mean is zero.
        size: K ≤ M, how many to pick.
        seed: decides the first point.
        name: what the progress bar says.

    Returns:
        (K,) int64, different indices in the order they were picked.

    >>> greedy_coreset(torch.tensor([[0.0], [0.1], [5.0], [9.0]]), 3, seed=0).sort().values.tolist()
    [0, 2, 3]
    """
    points -= points.mean(dim=0)  # only differences count; near zero their float32 squares are exact enough
    squares = points.square().sum(dim=1)
    nearest = torch.full_like(squares, math.inf)
    first = torch.randint(len(points), (1,), generator=torch.Generator().manual_seed(seed))
    picked = torch.empty(size, dtype=torch.long, device=points.device)
    index = first.to(points.device)  # stays there: no pick waits for the device
    for number in progress(range(size), f"coreset {name}"):
        picked[number : number + 1] = index
        point = points.index_select(0, index)[0]
        torch.minimum(nearest, squares + squares[index] - 2 * (points @ point), out=nearest)
        nearest.index_fill_(0, index, -math.inf)
        index = nearest.argmax(dim=0, keepdim=True)
    return picked.cpu()


def nearest_distances(queries: torch.Tensor, bank: torch.Tensor, neighbours: int = 1) -> torch.Tensor:
    """Mean Euclidean distance of each query to its nearest bank vectors; with one, exactly zero for a query
    that is in the bank.

    Args:
        queries: (Q, D) float32.
        bank: (K, D) float32.
        neighbours: how many of the nearest are averaged; all if the bank holds fewer.

    Returns:
        (Q,).
    """
    centre, gaps = bank.mean(dim=0), []
    moved = bank - centre
    squares = moved.square().sum(dim=1)
    whole = torch.compiler.is_exporting()  # a program for any batch has no fixed number of chunks
    for chunk in (queries,) if whole else queries.split(max(1, _PRODUCTS // len(bank))):
        products = torch.addmm(squares, chunk - centre, moved.T, alpha=-2)
        if neighbours == 1:
            nearest = products.argmin(dim=1, keepdim=True)
        else:
            nearest = products.topk(min(neighbours, len(bank)), dim=1, largest=False).indices
        gaps.append(torch.stack([(chunk - bank[column]).norm(dim=1) for column in nearest.T]).mean(dim=0))
    return torch.cat(gaps)
