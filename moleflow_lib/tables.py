"""Tables for notebooks and reports: plain HTML that a report makes sortable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["Table", "number"]


class Table:
    """Rows under named columns, shown as HTML by Jupyter.

    Args:
        rows: one mapping a row; a missing value shows as a dash.
        caption: what to look for.
        digits: decimals of fractional numbers.

    >>> Table([{"class": "nut", "auroc": 0.98765}], "One row.")._repr_html_().count("<td")
    2
    """

    def __init__(self, rows: Sequence[Mapping[str, object]], caption: str, digits: int = 3) -> None:
        self.rows, self.caption, self.digits = list(rows), caption, digits
        self.columns = list(dict.fromkeys(name for row in self.rows for name in row))

    def _repr_html_(self) -> str:
        if not self.rows:
            return f'<p class="note">{escape(self.caption)} None here.</p>'
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(self._cell(row.get(name)) for name in self.columns) + "</tr>" for row in self.rows
        )
        return (
            f'<table class="sortable"><caption>{escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __repr__(self) -> str:
        lines = [self.columns, *([number(row.get(name), self.digits) for name in self.columns] for row in self.rows)]
        return "\n".join("\t".join(line) for line in lines)

    def _cell(self, value: object) -> str:
        kind = ' class="number"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
        return f"<td{kind}>{escape(number(value, self.digits))}</td>"


def number(value: object, digits: int = 3) -> str:
    """A value as readers expect it: fixed decimals, thin spaces in long integers, a dash for nothing.

    >>> number(0.98765), number(3164160), number(None), number(81234.5)
    ('0.988', '3\u2009164\u2009160', '–', '8.1e+04')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u2009")
    if isinstance(value, float):
        return f"{value:.1e}" if abs(value) >= 1e4 else f"{value:.{digits}f}"
    return str(value)
