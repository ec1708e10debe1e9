"""Wilson score interval of a proportion."""

from __future__ import annotations

import math

__all__ = ["wilson_interval"]


def wilson_interval(hits: int, total: int, z: float = 1.959964) -> tuple[float, float] | None:
    """Interval that holds the true share with 95 % confidence (Wilson 1927); right also near 0 and 1.

    It takes the images as independent draws; they are not where several show one object.

    Args:
        hits: images counted.
        total: of how many.
        z: normal quantile of the confidence level.

    Returns:
        Lower and upper end in [0, 1]; None without images.

    >>> [round(end, 3) for end in wilson_interval(10, 10)]
    [0.722, 1.0]
    """
    if total == 0:
        return None
    share, weight = hits / total, z**2 / total
    centre = (share + weight / 2) / (1 + weight)
    reach = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))
