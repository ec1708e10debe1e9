"""Names from a disk: shown safely, compared as people read them, and made into file names that fit.

>>> same_name("Gro\\u0308\\u00dfe") == same_name("Gr\\u00f6\\u00dfe")
True
"""

from __future__ import annotations

import hashlib
import os
import unicodedata

__all__ = ["LONGEST_NAME", "file_stem", "is_unicode", "same_name", "shown"]

LONGEST_NAME = 180  # bytes of a product's name: 255 of a file system, less what file names of ours add
_MARK = 13  # bytes of "~" and twelve hex digits


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


def file_stem(name: str, longest: int = 120) -> str:
    """A name as the stem of a file of ours: itself if it fits, else its start and a hash of it all.

    Args:
        name: a product or task, e.g. thirty products joined by `+`.
        longest: bytes of the stem; what is added to it must fit into 255 as well.

    >>> file_stem("bolt+nut"), len(os.fsencode(file_stem("bolt+" * 99)))
    ('bolt+nut', 120)
    """
    data = os.fsencode(name)
    if len(data) <= longest:
        return name
    kept = data[: longest - _MARK].decode("utf-8", "ignore")
    return f"{kept}~{hashlib.sha256(data).hexdigest()[: _MARK - 1]}"
