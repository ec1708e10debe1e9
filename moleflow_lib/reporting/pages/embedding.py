"""A figure inside a page: data for plotly.js, a picture where that is missing, title, caption."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape, unescape

from moleflow_lib.reporting.definitions import link_words

__all__ = ["PLOTLY", "figure_html", "picture_source"]

PLOTLY = "application/vnd.plotly.v1+json"
_PANEL_WIDTH = 290  # pixels that a panel needs to be read; a narrower page scrolls the figure
_CATEGORY_WIDTH = 34
_MISSING = (
    "Drawn without plotly.js (the file plotly.min.js is not beside this page), so nothing here can be "
    "hovered or zoomed."
)


def figure_html(figure: Mapping, picture: str = "") -> str:
    """A figure as data for plotly.js, with its title, caption and the picture that stands in for it.

    Args:
        figure: plotly's JSON.
        picture: the same as SVG, shown where plotly.js is missing.
    """
    layout = dict(figure["layout"])
    title = (layout.pop("title", None) or {}).get("text", "")
    meta = layout.get("meta") or {}
    data = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    label = escape(meta.get("alt") or f"Figure: {unescape(title)}", quote=True)
    static = f'<img alt="{label}" src="{picture_source(picture)}">' if picture else ""
    size = f"height:{layout.get('height', 450)}px;min-width:{_width(figure)}px"
    caption = link_words(escape(meta.get("caption", "")))
    return (
        f'<figure class="plot"><h4>{escape(unescape(title))}</h4>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<div class="drawing" role="img" aria-label="{label}" style="{size}"></div>'
        f'<div class="static">{static}<p class="note">{_MISSING}</p></div></div>'
        f'<script type="{PLOTLY}">{data}</script><figcaption>{caption}</figcaption></figure>'
    )


def picture_source(svg: str) -> str:
    """An SVG picture as the address of an image; nothing inside it can run there."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode(errors="backslashreplace")).decode()


def _width(figure: Mapping) -> int:
    """Pixels below which the figure cannot be read: its panels and the names along them."""
    axes = [axis for name, axis in figure["layout"].items() if name.startswith("xaxis")]
    panels = max(1, len({tuple(axis.get("domain", (0, 1))) for axis in axes}))
    names = [trace.get("x") for trace in figure["data"] if isinstance(trace.get("x"), list)]
    most = max((len({x for x in own if isinstance(x, str)}) for own in names), default=0)
    return panels * max(_PANEL_WIDTH, most * _CATEGORY_WIDTH + 60)
