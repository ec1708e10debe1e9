"""Tables for notebooks and reports: plain HTML that a report makes sortable, and CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from typing import TypeGuard
from urllib.parse import quote

from moleflow_lib.reporting.definitions import definition_of
from moleflow_lib.reporting.escaping import csv_safe, html_text, visible
from moleflow_lib.rows import Row, Rows

__all__ = ["Table", "number"]

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "\u2009": r"\,",
        "–": "--",
        "−": "$-$",
        "±": r"$\pm$",
        "→": r"$\rightarrow$",
        "·": r"$\cdot$",
        "½": r"$\frac12$",
        "σ": r"$\sigma$",
    }
)

_WIDE = 8  # columns; a table with more is printed on a page turned sideways


class Table:
    """Rows under named columns, shown as HTML by Jupyter.

    Args:
        rows: one mapping a row; a missing value shows as a dash.
        caption: what to look for.
        digits: decimals of fractional numbers.

    >>> Table([{"class": "nut", "auroc": 0.98765}], "One row.")._repr_html_().count("<td")
    2
    """

    def __init__(self, rows: Rows, caption: str, digits: int = 3) -> None:
        self.rows, self.caption, self.digits = list(rows), caption, digits
        self.columns = list(dict.fromkeys(name for row in self.rows for name in row))

    def to_csv(self) -> str:
        """Comma-separated values under one line of names, numbers in full precision, nothing for what is
        undefined.

        Text that a spreadsheet would take for a formula has an apostrophe in front.

        >>> print(Table([{"class": "nut", "auroc": 2 / 3, "ap": None}], "").to_csv())
        class,auroc,ap
        nut,0.6666666666666666,
        <BLANKLINE>
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        lines = [self.columns, *([row.get(name) for name in self.columns] for row in self.rows)]
        writer.writerows([csv_safe(value) for value in line] for line in lines)
        return text.getvalue()

    def to_latex(self) -> str:
        r"""A LaTeX table with booktabs rules (`\usepackage{booktabs}`), numbers as shown.

        >>> print(Table([{"class": "metal_nut", "auroc": 2 / 3}], "One row.").to_latex())
        \begin{table}
        \centering
        \caption{One row.}
        \begin{tabular}{lr}
        \toprule
        class & auroc \\
        \midrule
        metal\_nut & 0.667 \\
        \bottomrule
        \end{tabular}
        \end{table}
        """
        align = "".join("r" if self._is_numeric(name) else "l" for name in self.columns)
        head, *body = (" & ".join(_latex(text) for text in line) + r" \\" for line in self._lines())
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{{align}}}",
                r"\toprule",
                head,
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
            ]
        )

    def _repr_html_(self) -> str:
        if not self.rows:
            return f'<p class="note">{html_text(self.caption)} None here.</p>'
        head = "".join(_head(name) for name in self.columns)
        body = "".join(self._row(row) for row in self.rows)
        label = html_text(self.caption.split(".")[0])
        wide = " wide" if len(self.columns) > _WIDE else ""
        caption = f"<caption>{html_text(self.caption)} {self._downloads()}</caption>"
        return (
            f'<div class="scroll{wide}" tabindex="0" role="region" aria-label="Table: {label}" '
            f'style="overflow-x:auto"><table class="sortable">{caption}'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        return "\n".join("\t".join(visible(text) for text in line) for line in self._lines())

    def _lines(self) -> list[list[str]]:
        """Names, then the values of each row, as shown."""
        return [
            self.columns,
            *([number(row.get(name), self.digits) for name in self.columns] for row in self.rows),
        ]

    def _downloads(self) -> str:
        """Links that carry their file with them, so they work in a page without a network or a server."""
        name = re.sub(r"\W+", "-", self.caption.split(".")[0]).strip("-").lower()[:40] or "table"
        files = (("CSV", "csv", "text/csv", self.to_csv()), ("LaTeX", "tex", "text/x-tex", self.to_latex()))
        return " ".join(
            f'<a download="{name}.{suffix}" href="data:{kind};charset=utf-8,{quote(text)}">{label}</a>'
            for label, suffix, kind, text in files
        )

    def _row(self, row: Row) -> str:
        """A line of the table; one that sums the others up stays below them however they are sorted."""
        summary = str(row.get(self.columns[0])).lower().startswith("mean")
        cells = "".join(self._cell(row.get(name), self._is_numeric(name)) for name in self.columns)
        return f'<tr class="summary">{cells}</tr>' if summary else f"<tr>{cells}</tr>"

    def _is_numeric(self, column: str) -> bool:
        return any(_is_number(row.get(column)) for row in self.rows)

    def _cell(self, value: object, numeric: bool) -> str:
        if value is None and numeric:
            return f'<td class="number">{number(None)}</td>'
        if _is_number(value):
            return f'<td class="number" data-value="{float(value)!r}">{number(value, self.digits)}</td>'
        return f"<td>{html_text(number(value, self.digits))}</td>"


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


def _head(name: str) -> str:
    """A column's head; what it means shows on hovering, in JupyterLab too."""
    meaning = definition_of(name)
    title = f' title="{html_text(meaning.text)}"' if meaning else ""
    return f'<th scope="col"{title}>{html_text(name)}</th>'


def _latex(text: str) -> str:
    """Text on one line of LaTeX, none of it a command."""
    return " ".join(visible(text, keep="\n\t\r").split("\n")).translate(_LATEX)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
