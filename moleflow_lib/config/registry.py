"""Tables that can be added to: baselines, metrics, backbones. An incomplete entry is refused at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from moleflow_lib.errors import ConfigError

__all__ = ["Described", "Registry"]

Entry = TypeVar("Entry")


@dataclass(frozen=True, kw_only=True)
class Described:
    """What reports say of an entry.

    Raises:
        ConfigError: a field is empty, or the text is no sentence.
    """

    title: str  # as in prose and table heads
    text: str  # what it is, in whole sentences
    source: str  # paper, or "definition of this project"

    def __post_init__(self) -> None:
        empty = [name for name in ("title", "text", "source") if not getattr(self, name).strip()]
        if empty or not self.text.endswith("."):
            found = f"no {', '.join(empty)}" if empty else f"a text without a full stop: {self.text!r}"
            raise ConfigError(f"expected a title, a text of whole sentences and a source, found {found}")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name, in order; built-in ones first, `add` brings more.

    Args:
        kind: what an entry is called in errors.
        entries: the built-in ones.

    Attributes:
        added: names that this process registered; other processes do not know them.

    >>> numbers = Registry("number", {"one": 1})
    >>> numbers.add("two", 2)
    2
    >>> list(numbers), numbers["two"]
    (['one', 'two'], 2)
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self.added: list[str] = []

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: Entry) -> Entry:
        """Register an entry under a new name, and return it.

        Raises:
            ConfigError: the name is taken, or is not lower-case letters, digits and underscores.
        """
        if not name.isidentifier() or name != name.lower():
            raise ConfigError(f"{self.kind} {name!r}: expected a name of a-z, 0-9 and _, as mean_distance")
        if name in self._entries:
            raise ConfigError(f"{self.kind} {name}: the name is taken by {self._entries[name]}; give another")
        self._entries[name] = entry
        self.added.append(name)
        return entry

    def drop(self, name: str) -> None:
        """Take out again what was added."""
        self.added.remove(name)
        del self._entries[name]
