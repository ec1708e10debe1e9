"""For mkdocstrings: doctests of docstrings become code blocks, where Markdown would quote them."""

from __future__ import annotations

import re

import griffe

__all__ = ["FencedDoctests"]

_DOCTEST = re.compile(r"^([ ]*)>>> .*(?:\n(?![ ]*\n).+)*", re.MULTILINE)


class FencedDoctests(griffe.Extension):
    """Fences each doctest, from its first prompt to the next empty line."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for every object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)
