"""plotly.js as the pages carry it: packed, since it is most of what a report weighs."""

from __future__ import annotations

import base64
import re
import zlib
from functools import cache
from pathlib import Path

from plotly.offline import get_plotlyjs

__all__ = ["packed", "packed_plotly"]

_UNPACK = Path(__file__).parents[1] / "templates" / "unpack.js"


@cache
def packed_plotly() -> str:
    """A script that defines `Plotly`, two fifths the size of plotly.js itself, under plotly's own notice.

    It unpacks itself while it runs, so that what follows it in a page need not wait; no browser is too old.
    """
    library = get_plotlyjs()
    notice = re.match(r"\s*/\*.*?\*/", library, re.DOTALL)
    return packed(library, notice.group(0).strip() if notice else "")


def packed(script: str, notice: str = "") -> str:
    """A script that runs another, which it holds as raw deflate (RFC 1951) in base64.

    >>> script = "console.log(1);" * 999
    >>> packed(script, "/* mine */").startswith("/* mine */"), len(packed(script)) < len(script)
    (True, True)

    Args:
        script: JavaScript.
        notice: a comment to begin with.
    """
    content = script.encode()
    deflate = zlib.compressobj(level=9, wbits=-15)
    text = base64.b64encode(deflate.compress(content) + deflate.flush()).decode()
    body = _UNPACK.read_text(encoding="utf-8")
    return f"{notice}\n{body.replace('{{packed}}', text).replace('{{size}}', str(len(content)))}".lstrip()
