"""The plan of the house: a package imports only from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import moleflow_lib

LIBRARY = Path(moleflow_lib.__file__).parent
LAYERS = (  # ground first; CONTRIBUTING.md names these layers, some in one row
    {"errors", "rows", "stages"},
    {"presets", "runtime", "storage", "stopping"},
    {"config"},
    {"datasets", "metrics", "routing", "model"},
    {"features", "scoring"},
    {"training", "evaluation"},
    {"experiment"},
    {"inference", "studies"},
    {"reporting"},
    {"cli"},
    {"__init__", "__main__"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def _package(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def _imported(source: str) -> Iterator[str]:
    """Top-level names of `moleflow_lib` that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "moleflow_lib":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("moleflow_lib.")
            )


def _upward(path: Path) -> list[str]:
    own = _package(path)
    return [name for name in _imported(path.read_text()) if name != own and LEVEL[name] >= LEVEL[own]]


@pytest.mark.parametrize(
    "path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_imports_go_downwards(path: Path) -> None:
    assert _upward(path) == []


def test_an_upward_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.LIBRARY", tmp_path)
    bad = tmp_path / "model" / "flow.py"
    bad.parent.mkdir()
    bad.write_text("def late():\n    from moleflow_lib.scoring.detector import ContinualDetector\n")
    assert _upward(bad) == ["scoring"]


def test_nothing_but_ground_and_face_lies_at_the_top() -> None:
    files = {path.stem for path in LIBRARY.glob("*.py")}
    assert files <= {
        "__init__",
        "__main__",
        "cli",
        "errors",
        "experiment",
        "presets",
        "rows",
        "runtime",
        "stages",
        "stopping",
    }
