"""What every number of the reports means, in one place. Reports print it and link table heads to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from html import escape

from moleflow_lib.config import BASELINES
from moleflow_lib.config.registry import Described
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.definitions.ablations import ABLATIONS
from moleflow_lib.reporting.definitions.definition import Definition
from moleflow_lib.reporting.definitions.methods import COSTS, METHOD
from moleflow_lib.reporting.definitions.metrics import SUMMARIES
from moleflow_lib.reporting.definitions.routing import ROUTING

__all__ = [
    "Definition",
    "all_definitions",
    "definition_of",
    "definition_sections",
    "link_cells",
    "link_words",
]

_CELL = re.compile(r"<(th|td)((?: [^>]*)?)>([^<]+)</\1>")
_MORE_WORDS = ("fm_max", "fm_first", "bwt", "gap_to_separate")


def definition_sections() -> dict[str, tuple[Definition, ...]]:
    """Every definition by the heading it stands under, registered metrics and baselines among them."""
    return {
        "Detection and forgetting": (*_registered(METRICS), *SUMMARIES),
        "Routing": ROUTING,
        "Methods and their costs": (*METHOD, *_registered(BASELINES), *COSTS),
        "Ablations": ABLATIONS,
    }


def all_definitions() -> tuple[Definition, ...]:
    """Every definition, in the order in which reports print them."""
    return tuple(one for section in definition_sections().values() for one in section)


def definition_of(head: str) -> Definition | None:
    """The definition behind a table's head; what stands in brackets after the name is passed over.

    >>> definition_of("pixel_ap (oracle)").title, definition_of("image F1-max").name, definition_of("seconds")
    ('pixel AP', 'image_f1max', None)
    """
    return _by_head(tuple(METRICS), tuple(BASELINES)).get(_as_name(head.split(" (")[0]).removesuffix("_lost"))


def link_cells(html: str) -> str:
    """HTML tables with a link to the definition behind every cell that is the name of something defined."""

    def linked(cell: re.Match[str]) -> str:
        """A cell, with a link where it names something defined."""
        tag, attributes, text = cell.groups()
        found = definition_of(text)
        return f"<{tag}{attributes}>{text}{_link(found)}</{tag}>" if found else cell.group()

    return _CELL.sub(linked, html)


def link_words(html: str) -> str:
    """Escaped prose with a link behind every metric that is named as in result files.

    >>> link_words("R of image_auroc").count('href="#definition-image_auroc"')
    1
    """
    words = re.compile(rf"\b(?:{'|'.join((*METRICS, *_MORE_WORDS))})\b", re.IGNORECASE)
    return words.sub(
        lambda word: word.group() + _link(known) if (known := definition_of(word.group())) else "", html
    )


def _registered(entries: Mapping[str, Described]) -> Iterable[Definition]:
    for name, entry in entries.items():
        also = () if _as_name(entry.title) == name else (_as_name(entry.title),)
        yield Definition(name=name, title=entry.title, text=entry.text, source=entry.source, also=also)


@lru_cache(maxsize=1)
def _by_head(metrics: tuple[str, ...], baselines: tuple[str, ...]) -> Mapping[str, Definition]:
    """Definitions by what stands above columns; made anew when something was registered."""
    return {head: entry for entry in all_definitions() for head in (entry.name, *entry.also)}


def _as_name(head: str) -> str:
    return head.strip().lower().replace("-", "").replace(" ", "_")


def _link(found: Definition) -> str:
    return (
        f'<a class="definition" href="#{found.anchor}" title="{escape(found.text, quote=True)}" '
        f'aria-label="definition of {escape(found.title, quote=True)}">?</a>'
    )
