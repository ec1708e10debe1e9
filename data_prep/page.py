"""Tables as text for the terminal, and as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from textwrap import wrap

__all__ = ["html_page", "html_table", "text_table"]

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
body { color: #1b1f23 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d0d7de }
th { background: #f6f8fa } td.number { text-align: right; font-variant-numeric: tabular-nums }
tr.error td:first-child { color: #a40e26; font-weight: 600 } img { max-width: 100%; height: auto }
td { overflow-wrap: anywhere } figcaption { color: #57606a }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; img-src data:; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'"
)


def html_page(title: str, body: str) -> str:
    """One page that needs no network: its style is inside, and no script, of whoever, may run in it."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def html_table(headers: Sequence[str], rows: Sequence[Sequence[object]], classes: Sequence[str] = ()) -> str:
    """A table, every cell escaped; `classes` names a style class for each row."""
    head = "".join(f"<th>{html.escape(header)}</th>" for header in headers)
    body = []
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td class="number">{cell}</td>'
            if isinstance(cell, int)
            else f"<td>{html.escape(str(cell))}</td>"
            for cell in row
        )
        body.append(f'<tr class="{classes[index]}">{cells}</tr>' if classes else f"<tr>{cells}</tr>")
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table>"


def text_table(headers: Sequence[str], rows: Sequence[Sequence[object]], widest: int = 60) -> str:
    """A table in plain text; cells longer than `widest` characters are wrapped.

    >>> print(text_table(["class", "images"], [["bottle", 209]]))
    class   images
    ------  ------
    bottle     209
    """
    cells = [[wrap(str(cell), widest) or [""] for cell in row] for row in rows]
    widths = [
        max([len(header), *(len(line) for row in cells for line in row[column])])
        for column, header in enumerate(headers)
    ]
    lines = [_line(headers, widths), _line(["-" * width for width in widths], widths)]
    for row, wrapped in zip(rows, cells, strict=True):
        numbers = [isinstance(cell, int) for cell in row]
        for index in range(max(len(part) for part in wrapped)):
            lines.append(
                _line([part[index] if index < len(part) else "" for part in wrapped], widths, numbers)
            )
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool] = ()) -> str:
    right = list(numbers) or [False] * len(cells)
    parts = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
    return "  ".join(parts).rstrip()
