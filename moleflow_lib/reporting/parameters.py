"""Parameters of a notebook or a command: which names they are, and the experiment that they mean.

Every way of setting an option in a notebook acts, or is refused.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from moleflow_lib.config import GROUPS, ExperimentConfig
from moleflow_lib.datasets.layouts import find_tree
from moleflow_lib.errors import DataError

__all__ = ["OPTIONS", "injected_names", "parameter_names", "read_parameters"]

OPTIONS = frozenset(spec.name for group in GROUPS.values() for spec in fields(group))
_NEAR = 0.85  # how alike a lone name must be to an option to be taken for a slip of the pen


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """What one executed cell assigns at its top level."""

    names: tuple[str, ...]
    literal: bool  # assigns literals and does nothing else
    injected: bool  # by papermill


def parameter_names(cells: Sequence[str]) -> list[str]:
    """The names that `notebook_config` reads, in the order of the cells run so far.

    * The latest cell that sets `preset`, and cells that papermill injected: every name, so that an unknown
      one is refused.
    * A cell of literals alone that sets an option, as a parameters cell without its `preset`: every name.
    * Any other cell: the options among its names, and, if it holds literals alone, what is nearly one.

    Earlier versions of a cell that sets `preset` no longer count.

    Args:
        cells: sources in the order they ran, magics made calls; those that do not parse never ran.

    >>> parameter_names(['preset = "demo"', "epochs: int = 3", "x = 1", "epoch = 4"])
    ['preset', 'epochs', 'epoch']
    """
    read = [cell for source in cells if (cell := _read(source))]
    declared = [n for n, cell in enumerate(read) if "preset" in cell.names and not cell.injected]
    found = [
        name
        for n, cell in enumerate(read)
        if n not in declared[:-1]
        for name in _counted(cell, whole=n in declared[-1:])
    ]
    return list(dict.fromkeys(found))


def injected_names(cells: Sequence[str]) -> list[str]:
    """The names that papermill set."""
    return [name for source in cells if (cell := _read(source)) and cell.injected for name in cell.names]


def read_parameters(params: Mapping[str, object]) -> ExperimentConfig:
    """The experiment that parameters describe; a preset asks for its own products where they all are.

    Args:
        params: as for `ExperimentConfig.from_params`. If they name no products and the dataset lacks some
            of those that the preset names, all of the dataset's products count.

    Raises:
        ConfigError: unknown names, wrong types or values out of range.
    """
    config = ExperimentConfig.from_params(params)
    if params.get("classes") or not config.data.classes:
        return config
    try:
        there = find_tree(config.run.dataset_root).folders
    except DataError:  # told when the dataset is opened
        return config
    named = {name for task in config.data.classes for name in task.split("+")}
    return ExperimentConfig.from_params(params, preset_products=named <= set(there))


def _counted(cell: _Cell, whole: bool) -> Iterator[str]:
    if whole or cell.injected or (cell.literal and OPTIONS & set(cell.names)):
        yield from cell.names
        return
    for name in cell.names:
        if name in OPTIONS or (cell.literal and difflib.get_close_matches(name, OPTIONS, n=1, cutoff=_NEAR)):
            yield name


def _read(source: str) -> _Cell | None:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None  # it did not run either
    names = [name for node in tree.body for name in _targets(node)]
    literal = bool(names) and all(_is_literal(node) for node in tree.body)
    return _Cell(names=tuple(names), literal=literal, injected=source.startswith("# Parameters"))


def _targets(node: ast.stmt) -> Iterator[str]:
    """Names that a statement assigns: annotated, chained, unpacked ones included."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, (ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        targets = [node.target]
    for target in targets:
        parts = (part for part in ast.walk(target) if isinstance(part, ast.Name))
        yield from (part.id for part in parts if isinstance(part.ctx, ast.Store))


def _is_literal(node: ast.stmt) -> bool:
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return False
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return True
