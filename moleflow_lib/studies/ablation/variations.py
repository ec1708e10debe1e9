"""Variations of a configuration as text: `dia_blocks=0; lora_rank=4|8|16; use_mixer=false, tail_weight=0`.

A semicolon separates variations, a comma the options that one of them sets together, a bar the values that
are tried one after another. A piece without an equals sign belongs to the list before it: `blocks=2,4,6,8`.
Any option can be varied.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from moleflow_lib.config import read_options
from moleflow_lib.errors import ConfigError

__all__ = ["parse_variations", "variation_name"]

Changes = dict[str, object]


def parse_variations(text: str) -> list[Changes]:
    """Options and values that each variation sets, in the order written; every combination of its
    alternatives.

    Raises:
        ConfigError: an assignment without a name or value, an unknown option or a value of the wrong type.

    >>> parse_variations("lora_rank=4|8; use_mixer=false, tail_weight=0")
    [{'lora_rank': 4}, {'lora_rank': 8}, {'use_mixer': False, 'tail_weight': 0.0}]
    """
    return [changes for one in text.split(";") if one.strip() for changes in _alternatives(one)]


def variation_name(changes: Mapping[str, object]) -> str:
    """The canonical text of a variation, its name in tables and result files.

    >>> variation_name({"use_mixer": False, "tail_weight": 0.0, "blocks": (2, 4)})
    'use_mixer=false, tail_weight=0, blocks=2,4'
    """
    return ", ".join(f"{name}={_written(value)}" for name, value in changes.items())


def _alternatives(text: str) -> list[Changes]:
    choices = []
    for assignment in _assignments(text):
        name, sign, values = (part.strip() for part in assignment.partition("="))
        if not (name and sign and values):
            raise ConfigError(
                "ablations: expected option=value (as in dia_blocks=0; lora_rank=4|8), got "
                f"{assignment.strip()!r}"
            )
        choices.append([(name, value.strip()) for value in values.split("|")])
    return [read_options(dict(chosen)) for chosen in product(*choices)]


def _assignments(text: str) -> list[str]:
    """Pieces between commas; one without an equals sign continues the list before it."""
    found: list[str] = []
    for piece in text.split(","):
        if "=" in piece or not found:
            found.append(piece)
        else:
            found[-1] += f",{piece}"
    return found


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(map(_written, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
