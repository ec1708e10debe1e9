"""The findings of a check, as text, HTML and JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import replace

from data_prep.check import Examination
from data_prep.page import html_page, html_table, text_table
from moleflow_lib.datasets.faults import NOTE, Fault
from moleflow_lib.datasets.names import shown
from moleflow_lib.datasets.unused_files import unused_line
from moleflow_lib.errors import counted

__all__ = ["as_html", "as_json", "as_text", "verdict"]

_MANY = 4  # further notes alike that the terminal folds into one line; HTML and JSON show all
_HEADERS = ("", "class", "file", "what is wrong", "what to do")


def as_text(found: Examination) -> str:
    """The table of all faults and the verdict, for the terminal."""
    rows = _rows(_shortened(found.faults))
    return f"{text_table(_HEADERS, rows)}\n\n{verdict(found)}" if rows else verdict(found)


def as_html(found: Examination) -> str:
    """One self-contained page: the verdict first, then the table."""
    table = html_table(_HEADERS, _rows(found.faults), [fault.severity for fault in found.faults])
    body = f"<p>{html.escape(verdict(found))}</p>\n" + (
        table if found.faults else "<p>No fault, no note.</p>"
    )
    return html_page(f"Check of {shown(found.root.name or str(found.root))}", body)


def as_json(found: Examination) -> str:
    """Everything, for programs."""
    content = {
        "root": shown(str(found.root)),
        "layout": found.layout,
        "products": [shown(product.name) for product in found.products],
        "errors": len(found.errors),
        "notes": len(found.notes),
        "unused_images": sum(one.is_image for one in found.unused),
        "faults": [fault.to_dict() for fault in found.faults],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def verdict(found: Examination) -> str:
    """Whether the folder can be used, and how many of its images are not."""
    images = sum(len(product.train) + len(product.test) for product in found.products)
    masked = sum(product.has_masks for product in found.products)
    size = (
        f"{counted(len(found.products), 'product')}, {counted(images, 'image')}, "
        f"pixel metrics over {counted(masked, 'product')}"
    )
    unused = unused_line(found.unused)
    rest = f" {unused}." if unused else ""
    root = shown(str(found.root))
    notes = counted(len(found.notes), "note")
    if found.errors:
        return f"{counted(len(found.errors), 'problem')} and {notes} in {root}: {size}.{rest}"
    return f"{root} is sound: {size}, {notes}.{rest}"


def _rows(faults: Iterable[Fault]) -> list[tuple[str, str, str, str, str]]:
    return [
        (fault.severity, fault.product or "(folder)", fault.file, fault.what, fault.todo) for fault in faults
    ]


def _shortened(faults: Iterable[Fault]) -> list[Fault]:
    """All errors; of many notes that say the same of one product, the first and how many more there are."""
    groups: dict[tuple[str, ...], list[Fault]] = {}
    for index, fault in enumerate(faults):
        alike = (fault.kind, fault.product, fault.what) if fault.severity == NOTE else (str(index),)
        groups.setdefault(alike, []).append(fault)
    shown = []
    for first, *others in groups.values():
        many = len(others) >= _MANY
        shown += [replace(first, file=f"{first.file} and {len(others)} more")] if many else [first, *others]
    return shown
