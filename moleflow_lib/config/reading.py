"""Loose values of notebooks and command lines, read as the type that an option declares.

Papermill passes on any name and any type without a word; here both are refused.
"""

from __future__ import annotations

import ast
import difflib
import math
import typing
from collections.abc import Iterable

__all__ = ["kind_name", "read_value", "unknown_name"]


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The complaint about an unknown option, with the nearest known one."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown parameter {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def kind_name(kind: object) -> str:
    """What a type is called in messages.

    >>> kind_name(int), kind_name(tuple[str, ...])
    ('a whole number', 'a list of names')
    """
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind) or f"a list of {'whole numbers' if int in typing.get_args(kind) else 'names'}"


def read_value(raw: object, kind: object) -> object:
    """Read one loose value, refusing what only looks alike.

    Args:
        raw: as it came; comma-separated text, JSON and YAML's `[a, b]` are read as lists, text as a number.
        kind: the type that the option declares.

    Raises:
        TypeError, ValueError: it is no such value.

    >>> read_value("1, 2", tuple[int, ...]), read_value("1e-3", float)
    ((1, 2), 0.001)
    >>> read_value('["a", "b"]', tuple[str, ...]), read_value("[a, b]", tuple[str, ...])
    (('a', 'b'), ('a', 'b'))
    """
    if typing.get_origin(kind) is tuple:
        return _list(raw, typing.get_args(kind)[0])
    if kind is bool:
        return _truth(raw)
    if kind is str:
        return _text(raw)
    return _number(raw, whole=kind is int)


def _list(raw: object, item: object) -> tuple:
    parts = _parts(raw) if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    joined = ["+".join(part) if item is str and isinstance(part, (list, tuple)) else part for part in parts]
    return tuple(read_value(_as_name(part) if item is str else part, item) for part in joined)


def _parts(text: str) -> object:
    """The items of a list given as text: JSON, the same in Python's quotes, or names and commas."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        try:
            return ast.literal_eval(inner)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            inner = inner[1:-1]
    return [part.strip() for part in inner.split(",") if part.strip()]


def _as_name(part: object) -> object:
    """A whole number as the name that it was before papermill or YAML read it."""
    return str(part) if isinstance(part, int) and not isinstance(part, bool) else part


def _truth(raw: object) -> bool:
    if isinstance(raw, str) and raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    if not isinstance(raw, bool):
        raise TypeError
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _number(raw: object, whole: bool) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise TypeError
    number = float(raw)
    if not math.isfinite(number) or (whole and not number.is_integer()):
        raise ValueError
    return int(number) if whole else number
