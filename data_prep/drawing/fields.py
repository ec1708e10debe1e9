"""Scalar fields over the unit square, from which the demo pictures are built.

Every picture covers x (right) and y (down) in [0, 1], whatever its size in pixels; lengths are
fractions of its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = [
    "blob",
    "curve",
    "graded",
    "mix",
    "path_distance",
    "pixel_grid",
    "ramp",
    "smooth_noise",
    "stroke",
    "worley",
]


@lru_cache(maxsize=4)
def pixel_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixel centres: x and y, each (size, size), read-only.

    >>> x, y = pixel_grid(2)
    >>> x[0].tolist(), y[0].tolist()
    ([0.25, 0.75], [0.25, 0.25])
    """
    axis = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth step from 0 (at or below `low`) to 1 (at or above `high`), a cubic in between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(below: np.ndarray, above: np.ndarray | Sequence[float] | float, cover: np.ndarray) -> np.ndarray:
    """Lay `above` over `below` with opacity `cover` (H, W) in [0, 1]; colours have a last axis of three."""
    cover = cover[..., None] if below.ndim > cover.ndim else cover
    return below + (np.asarray(above) - below) * cover


def graded(severity: float, *levels: float) -> float:
    """A quantity of a defect, from what it is at severity 0 (hidden), 1/4 (hard), 1/2 (plain) and 1 (gross).

    >>> graded(0.75, 0.0, 1.0, 2.0, 4.0)
    3.0
    """
    return float(np.interp(severity, (0.0, 0.25, 0.5, 1.0), levels))


def smooth_noise(rng: np.random.Generator, size: int, cells: float | tuple[float, float]) -> np.ndarray:
    """Random cubic B-spline surface of about zero mean and unit deviation.

    Args:
        rng: source of the knots.
        size: side of the result in pixels.
        cells: knots across the square; two numbers (across, down) give streaks.

    Returns:
        (size, size) float64.
    """
    across, down = cells if isinstance(cells, tuple) else (cells, cells)
    knots = rng.standard_normal((int(down) + 4, int(across) + 4))
    return _spline_rows(_spline_rows(knots, size, down).T, size, across).T / 0.479


def _spline_rows(knots: np.ndarray, size: int, cells: float) -> np.ndarray:
    """Uniform cubic B-spline down the first axis, (knots, any) to (size, any), without linear algebra."""
    position = (np.arange(size) + 0.5) / size * cells
    first = position.astype(np.int64)
    t = (position - first)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return sum((weight / 6 * knots[first + k] for k, weight in enumerate(weights)), np.zeros(()))


def worley(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, period: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest and second nearest of one random point a unit cell (Worley, 1996).

    Args:
        rng: source of the points.
        u: coordinates in cells, any shape.
        v: the other coordinate, same shape.
        period: cells after which the points repeat.

    Returns:
        The two distances, nearest first, in cells.
    """
    spots = (0.05 + 0.9 * rng.random((2, period, period))).astype(np.float32)
    column = np.floor(u).astype(np.int64)
    row = np.floor(v).astype(np.int64)
    du = (u - column).astype(np.float32)
    dv = (v - row).astype(np.float32)
    nearest = np.full_like(du, 9)
    second = np.full_like(du, 9)
    around = (-1, 0, 1)
    columns = [((column + i) % period, np.float32(i) - du) for i in around]
    for j in around:
        line = (row + j) % period * period
        down = np.float32(j) - dv
        for place, across in columns:
            cell = line + place
            square = (spots[0].take(cell) + across) ** 2 + (spots[1].take(cell) + down) ** 2
            second = np.minimum(second, np.maximum(nearest, square))
            nearest = np.minimum(nearest, square)
    return np.sqrt(nearest.astype(float)), np.sqrt(second.astype(float))


def blob(
    rng: np.random.Generator, size: int, centre: tuple[float, float], radius: float, rough: float = 0.3
) -> np.ndarray:
    """Signed distance (negative inside) to an irregular patch, about exact near its edge."""
    x, y = pixel_grid(size)
    away = np.hypot(x - centre[0], y - centre[1])
    lobes = smooth_noise(rng, size, float(np.clip(1.1 / radius, 4, 40)))
    lobes = lobes - np.average(
        lobes, weights=np.exp(-((away / radius) ** 2)) + 1e-9
    )  # so that it keeps its size
    return away - radius * (1 + rough * lobes + 0.3 * rough * smooth_noise(rng, size, 60))


def curve(
    rng: np.random.Generator,
    middle: tuple[float, float],
    angle: float,
    length: float,
    bend: float,
    steps: int = 10,
) -> np.ndarray:
    """Random smooth path (steps + 1, 2) around its middle; `bend`: how far its direction drifts, radians."""
    drift = np.cumsum(rng.standard_normal(steps)) * bend / np.sqrt(steps)
    heading = angle + drift - drift.mean()
    stride = np.stack([np.cos(heading), np.sin(heading)], axis=1) * (length / steps)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(stride, axis=0)])
    return path - path.mean(axis=0) + np.asarray(middle)


def path_distance(size: int, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance of every pixel to a path, and where along the path it is nearest.

    Args:
        size: side of the result in pixels.
        path: (points, 2) corners of a polyline, x and y.

    Returns:
        Distance (size, size), positive on the right-hand side as one walks in a y-down picture,
        and position (size, size) from 0 at the start to 1 at the end.
    """
    x, y = pixel_grid(size)
    best = np.full(x.shape, np.inf)
    distance = np.zeros(x.shape)
    along = np.zeros(x.shape)
    for k, ((ax, ay), (bx, by)) in enumerate(zip(path[:-1], path[1:], strict=True)):
        dx = bx - ax
        dy = by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        rx = x - ax - t * dx
        ry = y - ay - t * dy
        square = rx * rx + ry * ry
        closer = square < best
        best = np.where(closer, square, best)
        distance = np.where(closer, np.sqrt(square) * np.where(dx * ry - dy * rx < 0, -1.0, 1.0), distance)
        along = np.where(closer, (k + t) / (len(path) - 1), along)
    return distance, along


def stroke(distance: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Opacity (S, S) of a line of half width about `width` around distance 0, never thinner than a pixel."""
    width = np.maximum(width, 0.5 / len(distance))
    return 1 - ramp(np.abs(distance) / width, 0.4, 1.4)
