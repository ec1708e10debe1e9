"""Rows of results: what a study measured, a table shows and a file keeps, by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["Row", "Rows"]

Row: TypeAlias = Mapping[str, Any]  # numbers, texts and nested rows, as JSON holds them
Rows: TypeAlias = Sequence[Row]
