"""One name of the reports and what it means."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Definition"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A name as it stands in tables and result files, and what it means."""

    name: str  # key in result files
    title: str  # as in prose
    text: str
    source: str
    also: tuple[str, ...] = ()  # other heads under which it stands in tables

    @property
    def anchor(self) -> str:
        """Where a report prints it."""
        return f"definition-{self.name}"
