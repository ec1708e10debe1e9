"""Names from a disk: shown safely, compared as people read them, and made into file names that fit.

>>> same_name("Gro\\u0308\\u00dfe") == same_name("Gr\\u00f6\\u00dfe")
True
"""

from __future__ import annotations

import unicodedata

from moleflow_lib.storage.keys import file_stem

__all__ = ["LONGEST_NAME", "file_stem", "is_unicode", "same_name", "shown"]

LONGEST_NAME = 180  # bytes of a product's name: 255 of a file system, less what file names of ours add


def same_name(name: str) -> str:
    """The composed form (NFC), in which names that look alike are equal."""
    return unicodedata.normalize("NFC", name)


def is_unicode(name: str) -> bool:
    """Whether a name is text; bytes that are no UTF-8 come as lone surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    r"""A name for tables and messages: foreign bytes and control characters as escapes.

    >>> shown("pr\udcfcf\n.png")
    'pr\\xfcf\\x0a.png'
    """
    return "".join(_shown_sign(sign) for sign in name)


def _shown_sign(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if 0xD800 <= code <= 0xDFFF:
        return f"\\u{code:04x}"
    if unicodedata.category(sign) in ("Cc", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return sign
