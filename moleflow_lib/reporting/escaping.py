"""Text from outside at the border of every output: names of folders and files, tags, parameters, exceptions.

Nothing inside the library is escaped; each output escapes what it is given, once, when it is written.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

__all__ = ["csv_safe", "html_text", "plot_text", "sentence_html", "visible"]

_HIDDEN = {"Cc", "Cs"}  # control characters; halves of surrogate pairs, as undecodable file names hold them
_TURNED = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # marks that make text read in another order
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def visible(text: object, keep: str = "") -> str:
    r"""Text whose control characters are written out, so that no terminal obeys them.

    Args:
        text: anything; its `str` is taken.
        keep: characters that stay as they are, e.g. a line break.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(_spelled(c) if c not in keep and _is_hidden(c) else c for c in shown)


def html_text(text: object) -> str:
    """Text for HTML, also inside a quoted attribute."""
    return escape(visible(text, keep="\n\t"), quote=True)


def sentence_html(sentence: str) -> str:
    """A sentence for HTML; what stands between backticks becomes code, nothing else is markup.

    >>> sentence_html("`a<b` beats [c](d)")
    '<code>a&lt;b</code> beats [c](d)'
    """
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html_text(sentence))


def plot_text(text: object) -> str:
    r"""Text for a label of plotly, which reads some HTML and mathematics; a line break stays one.

    >>> plot_text("<img>\nb")
    '&lt;img&gt;<br>b'
    """
    shown = visible(text, keep="\n").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("$", "&#36;").replace("\n", "<br>")


def csv_safe(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front.

    >>> csv_safe("=1+1"), csv_safe(-1.5), csv_safe("-1.5")
    ("'=1+1", -1.5, '-1.5')
    """
    if not isinstance(value, str):
        return value
    shown = visible(value, keep="\n\t")
    return f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) and not _is_number(shown) else shown


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN or _TURNED.match(character) is not None


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
