"""The generated pages are up to date, and say all that the library defines."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from moleflow_lib.config import GROUPS
from moleflow_lib.reporting.definitions import all_definitions

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_pages_are_up_to_date(generate: ModuleType, capsys: pytest.CaptureFixture) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_found_and_mended(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(generate, "HERE", tmp_path)
    (tmp_path / "metrics.md").write_text("old")
    assert generate.main(["--check"]) == 1
    assert (tmp_path / "metrics.md").read_text() == "old" and not (tmp_path / "options.md").exists()
    told = capsys.readouterr().err
    assert all(f"docs/{name} is out of date" in told for name in generate.PAGES)
    assert generate.main([]) == 0 and generate.main(["--check"]) == 0


def test_every_definition_and_option_has_its_line(generate: ModuleType) -> None:
    metrics, options = generate.metrics_page(), generate.options_page()
    for one in all_definitions():
        assert metrics.count(f'<a id="{one.name}"></a>') == 1
    for kind in GROUPS.values():
        for spec in fields(kind):
            assert f"\n| `{spec.name}` | " in options


def test_tables_keep_their_columns(generate: ModuleType) -> None:
    rows = [line for line in generate.options_page().splitlines() if line.startswith("| ")]
    wide = [line for line in rows if line.replace("\\|", "").count("|") not in (3, 5)]
    assert wide == [] and "random:&lt;tag>" in generate.options_page()
