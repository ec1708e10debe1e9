"""Command lines that name a misspelt option before they ask for missing ones, and that know what `~` is."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["HEAT_MAPS", "CommandParser", "place"]

HEAT_MAPS = ("all", "flagged", "none")  # of which scored images heat maps are written


class CommandParser(argparse.ArgumentParser):
    """A parser of one command that names an unknown long option, and the nearest known one, first of all.

    argparse alone reports every required option that is missing, and nothing of the misspelt one. Give it as
    `add_subparsers(parser_class=CommandParser)`.

    >>> parser = CommandParser(prog="p")
    >>> _ = parser.add_argument("--out", required=True)
    >>> parser.unknown(["--ouut=x"])
    'unknown option --ouut, did you mean --out?'
    """

    def __init__(self, **facts: Any) -> None:  # noqa: ANN401, as argparse has them
        self._flags: list[str] = []
        super().__init__(**facts)

    def add_argument(self, *names: str, **facts: Any) -> argparse.Action:  # noqa: ANN401
        """As argparse's own."""
        self._flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **facts)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """As argparse's own; exits with status 2 at an unknown option."""
        words = sys.argv[1:] if args is None else list(args)
        if told := self.unknown(words):
            self.error(told)
        return super().parse_known_args(words, namespace)

    def unknown(self, words: Sequence[str]) -> str:
        """What to say of the first long option that is none of this parser's; empty if all are known.

        Args:
            words: of the command line; what follows `--` is no option.
        """
        for word in words:
            flag = word.partition("=")[0]
            if flag == "--":
                break
            if flag.startswith("--") and not any(known.startswith(flag) for known in self._flags):
                near = difflib.get_close_matches(flag, self._flags, n=1)
                return f"unknown option {flag}" + (f", did you mean {near[0]}?" if near else "")
        return ""


def place(text: str) -> str:
    """A file or folder named on a command line, `~` being one's home also behind an equals sign.

    Raises:
        argparse.ArgumentTypeError: it is empty.

    >>> place("runs/mine"), place("~") == os.path.expanduser("~")
    ('runs/mine', True)
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a file or folder, got an empty text")
    return os.path.expanduser(text)
