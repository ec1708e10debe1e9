"""A few patches that stand for many, and the distance of others to the nearest of them (Roth et al. 2022)."""

from __future__ import annotations

import math

import torch

from moleflow_lib.runtime import progress, threads

__all__ = ["greedy_coreset", "nearest_distances", "nearest_neighbours", "projected"]

_PROJECTED = 128  # channels the coreset is chosen in, as in PatchCore's own code
_CHUNK = 1 << 14  # patches projected at once
_FARTHEST = 1024  # points that a round picks from
_ROUND = 256  # picks of a round at most
_AT_ONCE = 64  # picks that all distances are brought up to date with at once
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

    Exact up to rounding; the largest distance left is at most twice the best possible (Gonzalez 1985).
    Distances only fall as points are picked. So picks are made among the farthest points alone, as long as
    the farthest of them is farther than any other point was; then all distances are brought up to date by a
    few matrix products. Nothing waits for an accelerator within a round.

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
    squares = torch.empty(len(points), device=points.device)
    for rows, chunk in zip(squares.split(_CHUNK), points.split(_CHUNK), strict=True):
        torch.sum(chunk.square(), dim=1, out=rows)  # in place: results between blocks would keep their memory
    nearest = torch.full_like(squares, math.inf)
    fresh = torch.randint(len(points), (1,), generator=torch.Generator().manual_seed(seed)).to(points.device)
    picked = [fresh]
    with progress(None, f"coreset {name}", total=size, initial=1) as bar:
        while (left := size - sum(map(len, picked))) > 0:
            _fall(nearest, points, squares, fresh)
            farthest = nearest.topk(min(_FARTHEST, len(points)))
            pool = farthest.indices.sort().values
            with threads(1):  # steps of a few microseconds, which two threads spend waiting for one another
                picks, distances = _picks(points[pool], squares[pool], nearest[pool], min(left, _ROUND))
            elsewhere = farthest.values[-1] if len(pool) < len(points) else -math.inf
            fresh = pool[picks[: max(1, int((distances > elsewhere).sum()))]]
            picked.append(fresh)
            bar.update(len(fresh))
    return torch.cat(picked).cpu()


def _fall(nearest: torch.Tensor, points: torch.Tensor, squares: torch.Tensor, fresh: torch.Tensor) -> None:
    """Bring squared distances (M,) to the nearest pick up to date with new ones (P,), in place."""
    for some in fresh.split(_AT_ONCE):
        chunks = zip(nearest.split(_CHUNK), points.split(_CHUNK), squares.split(_CHUNK), strict=True)
        for near, chunk, square in chunks:
            gaps = torch.addmm(squares[some], chunk, points[some].T, alpha=-2).amin(dim=1) + square
            torch.minimum(near, gaps, out=near)
    nearest.index_fill_(0, fresh, -math.inf)


def _picks(
    points: torch.Tensor, squares: torch.Tensor, nearest: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next picks (count,) if these points were all, and how far each was from all picked before."""
    picks = torch.empty(count, dtype=torch.long, device=points.device)
    distances = torch.empty(count, device=points.device)
    for number in range(count):
        index = nearest.argmax(dim=0, keepdim=True)
        picks[number : number + 1] = index
        distances[number : number + 1] = nearest[index]
        gaps = torch.addmv(squares, points, points.index_select(0, index)[0], alpha=-2) + squares[index]
        torch.minimum(nearest, gaps, out=nearest)
        nearest.index_fill_(0, index, -math.inf)
    return picks, distances


def nearest_distances(queries: torch.Tensor, bank: torch.Tensor, neighbours: int = 1) -> torch.Tensor:
    """Mean Euclidean distance (Q,) of each query (Q, D) to its `nearest_neighbours` in a bank (K, D)."""
    return nearest_neighbours(queries, bank, neighbours)[0].mean(dim=0)


def nearest_neighbours(
    queries: torch.Tensor, bank: torch.Tensor, neighbours: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The bank vectors nearest to each query.

    Args:
        queries: (Q, D) float32.
        bank: (K, D) float32.
        neighbours: n, how many of the nearest; all if the bank holds fewer.

    Returns:
        Their Euclidean distances (n, Q), of the nearest exactly zero for a query that is in the bank, and
        their indices (n, Q).
    """
    centre, gaps, found = bank.mean(dim=0), [], []
    moved = bank - centre
    squares = moved.square().sum(dim=1)
    whole = torch.compiler.is_exporting()  # a program for any batch has no fixed number of chunks
    for chunk in (queries,) if whole else queries.split(max(1, _PRODUCTS // len(bank))):
        products = torch.addmm(squares, chunk - centre, moved.T, alpha=-2)
        if neighbours == 1:
            columns = products.argmin(dim=1, keepdim=True).T
        else:
            columns = products.topk(min(neighbours, len(bank)), dim=1, largest=False).indices.T
        gaps.append(torch.stack([(chunk - bank[column]).norm(dim=1) for column in columns]))
        found.append(columns)
    return torch.cat(gaps, dim=1), torch.cat(found, dim=1)
