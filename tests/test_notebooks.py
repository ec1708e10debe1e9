"""Every notebook as it lies in the repository: clean, tagged, short, and in the house's skeleton."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.reporting.parameters import parameter_names
from moleflow_lib.reporting.running.notebooks import NOTEBOOKS, available_notebooks
from moleflow_lib.reporting.running.skeleton import skeleton_faults

BOOKS = sorted(NOTEBOOKS.glob("*.ipynb"))
QUICKSTART = "00_quickstart"  # shows its training loop in the open; nothing in it needs a widget
pytestmark = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def _cells(path: Path, kind: str = "code") -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def _tagged(path: Path, tag: str) -> list:
    return [cell for cell in _cells(path) if tag in cell.metadata.get("tags", [])]


def test_valid_and_without_outputs(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "python3" and set(book.metadata) == {
        "kernelspec",
        "language_info",
    }
    assert all(not cell.outputs and cell.execution_count is None for cell in _cells(path))


def test_short(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert len(cells) <= 20
    assert all(len(cell.source.splitlines()) <= 15 for cell in _cells(path))


def test_the_skeleton(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.source.startswith("# ") and all(
        f"**{word}.**" in first.source for word in ("Question", "In", "Out")
    )
    for tag in ("parameters", "summary", "provenance"):
        assert len(_tagged(path, tag)) == 1, tag
    assert _tagged(path, "interactive") or path.stem == QUICKSTART
    assert f'"{path.stem}"' in "".join(cell.source for cell in _cells(path)), (
        "the result file carries the notebook's name"
    )


def test_parameters_are_literals_that_the_config_knows(path: Path) -> None:
    tree = ast.parse(_tagged(path, "parameters")[0].source)
    values = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body}
    assert "preset" in values and ExperimentConfig.from_params(values)


def test_no_other_cell_assigns_an_option(path: Path) -> None:
    """`notebook_config`, run again, would take the value."""
    options = ExperimentConfig().to_dict()
    for cell in _cells(path):
        if "parameters" not in cell.metadata.get("tags", []):
            names = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)]
            assert not [n.id for n in names if isinstance(n.ctx, ast.Store) and n.id in options]


def test_nothing_but_narrative_and_calls(path: Path) -> None:
    for cell in _cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.While)), cell.source
            assert path.stem == QUICKSTART or not isinstance(node, ast.For), cell.source
        assert not any(line.startswith(("!", "%")) for line in cell.source.splitlines())
        assert not any(f'"{start}' in cell.source for start in ("/", "~", "C:")), "no absolute paths"


def test_the_runner_takes_it_and_no_option_is_set_beside_the_parameters(path: Path) -> None:
    assert skeleton_faults(path) == []
    (parameters,) = _tagged(path, "parameters")
    rest = [cell.source for cell in _cells(path) if cell is not parameters and cell.id != parameters.id]
    assert parameter_names(rest) == []


def test_the_runner_finds_it_by_number(path: Path) -> None:
    assert available_notebooks([path.stem[:2]]) == [path]
