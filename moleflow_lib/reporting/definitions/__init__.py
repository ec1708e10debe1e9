"""What every number of the reports means, in one place. Reports print it and link table heads to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from moleflow_lib.reporting.definitions.ablations import ABLATIONS
from moleflow_lib.reporting.definitions.definition import Definition
from moleflow_lib.reporting.definitions.methods import METHODS
from moleflow_lib.reporting.definitions.metrics import METRICS
from moleflow_lib.reporting.definitions.routing import ROUTING

__all__ = ["DEFINITIONS", "Definition", "definition_of", "link_cells", "link_words"]

DEFINITIONS = (*METRICS, *ROUTING, *METHODS, *ABLATIONS)

_BY_HEAD: Mapping[str, Definition] = {
    head: entry for entry in DEFINITIONS for head in (entry.name, *entry.also)
}
_CELL = re.compile(r"<(th|td)((?: [^>]*)?)>([^<]+)</\1>")
_WORD = re.compile(
    r"\b(?:(?:image|pixel)_(?:auroc|ap|f1max)|aupro|fm_max|fm_first|bwt|gap_to_separate)\b", re.IGNORECASE
)


def definition_of(head: str) -> Definition | None:
    """The definition behind a table's head; what stands in brackets after the name is passed over.

    >>> definition_of("pixel_ap (oracle)").title, definition_of("image F1-max").name, definition_of("seconds")
    ('pixel AP', 'image_f1max', None)
    """
    name = head.split(" (")[0].strip().lower().replace("-", "").replace(" ", "_").removesuffix("_lost")
    return _BY_HEAD.get(name)


def link_cells(html: str) -> str:
    """HTML tables with a link to the definition behind every cell that is the name of something defined."""

    def linked(cell: re.Match[str]) -> str:
        tag, attributes, text = cell.groups()
        found = definition_of(text)
        return f"<{tag}{attributes}>{text}{_link(found)}</{tag}>" if found else cell.group()

    return _CELL.sub(linked, html)


def link_words(html: str) -> str:
    """Escaped prose with a link behind every metric that is named as in result files.

    >>> link_words("R of image_auroc").count('href="#definition-image_auroc"')
    1
    """
    return _WORD.sub(lambda word: word.group() + _link(_BY_HEAD[word.group().lower()]), html)


def _link(found: Definition) -> str:
    return (
        f'<a class="definition" href="#{found.anchor}" title="{escape(found.text, quote=True)}" '
        f'aria-label="definition of {escape(found.title, quote=True)}">?</a>'
    )
