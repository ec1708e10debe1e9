"""What a notebook must have so that the runner, its report and the index of a run can use it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import nbformat

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, NotebookError, counted, problem_list

__all__ = ["require_skeletons", "skeleton_faults"]

_TAGS = ("parameters", "summary", "provenance")
_WORDS = ("Question", "In", "Out")


def require_skeletons(notebooks: Sequence[Path]) -> None:
    """Refuse incomplete notebooks before anything runs.

    Raises:
        NotebookError: all faults of all notebooks, one line each.
    """
    faults = [f"{book.name}: {fault}" for book in notebooks for fault in skeleton_faults(book)]
    if faults:
        raise NotebookError(
            problem_list(
                f"{counted(len(faults), 'problem')} with notebooks; docs/extending.md has an example:", faults
            )
        )


def skeleton_faults(path: Path) -> list[str]:
    """Everything that a notebook lacks; empty if it can be run.

    Args:
        path: an `.ipynb` file.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception as error:  # nbformat raises a dozen kinds on damaged files
        return [f"expected a notebook of format 4, found a file that cannot be read ({error})"]
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    faults = [*_head_faults(cells), *_tag_faults(cells)]
    if "notebook_config(globals())" not in code:
        faults.append("expected cfg = notebook_config(globals()), which reads and checks the parameters")
    if "write_result(" not in code or not any(f"{quote}{path.stem}{quote}" in code for quote in "\"'"):
        faults.append(f'expected write_result(cfg, "{path.stem}", …), the file\'s own name in it')
    return faults


def _head_faults(cells: Sequence[nbformat.NotebookNode]) -> list[str]:
    first = cells[0].source if cells and cells[0].cell_type == "markdown" else ""
    missing = [] if first.startswith("# ") else ["# Title"]
    missing += [f"**{word}.**" for word in _WORDS if f"**{word}.**" not in first]
    return [f"expected a first markdown cell with {', '.join(missing)}"] if missing else []


def _tag_faults(cells: Sequence[nbformat.NotebookNode]) -> list[str]:
    tagged = {tag: [cell for cell in cells if tag in cell.metadata.get("tags", [])] for tag in _TAGS}
    faults = [
        f"expected one cell tagged {tag}, found {len(own)}" for tag, own in tagged.items() if len(own) != 1
    ]
    return faults + [fault for cell in tagged["parameters"][:1] for fault in _parameter_faults(cell.source)]


def _parameter_faults(source: str) -> list[str]:
    """The cell assigns literals to known options, and nothing else; `preset` is among them."""
    values: dict[str, object] = {}
    try:
        for node in ast.parse(source).body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
                raise ValueError(f"line {node.lineno} assigns no value")
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if len(targets) != 1 or not isinstance(targets[0], ast.Name):
                raise ValueError(f"line {node.lineno} is no assignment to one name")
            values[targets[0].id] = ast.literal_eval(node.value)
        ExperimentConfig.from_params(values)
    except ConfigError as error:
        return [f"parameters: {error}"]
    except (ValueError, SyntaxError) as error:
        return [f"parameters: expected one literal a line, as epochs = 3, found something else ({error})"]
    return [] if "preset" in values else ["parameters: expected preset among them, found none"]
