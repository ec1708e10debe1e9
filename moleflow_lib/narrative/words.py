"""Words that several notebooks use."""

from __future__ import annotations

__all__ = ["percent"]


def percent(share: float | None) -> str:
    """A share in percent, a dash where it is undefined.

    >>> percent(0.9876), percent(None)
    ('98.8 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"
