"""The generated pages are up to date, and say all that the library defines."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from moleflow_lib.config import GROUPS
from moleflow_lib.reporting.definitions import all_definitions
from moleflow_lib.reporting.pages.report import _markdown

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
    monkeypatch.setattr(generate, "HERE", tmp_path / "docs")
    (tmp_path / "docs").mkdir(), (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs/metrics.md").write_text("old")
    assert generate.main(["--check"]) == 1
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["metrics.md"]
    assert (tmp_path / "docs/metrics.md").read_text() == "old"
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


@pytest.mark.parametrize(
    ("citation", "address"),
    [
        ('title: x\n# repository-code: "https://github.com/OWNER/NAME"\n', ""),
        ('repository-code: "https://github.com/lab/flows"\ntitle: x\n', "lab/flows"),
        ("repository-code: https://github.com/lab/a.b-c_d\n", "lab/a.b-c_d"),
    ],
)
def test_readme_and_quickstart_have_a_colab_badge_with_an_address_or_without(
    citation: str, address: str, generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "CITATION.cff").write_text(citation)
    (tmp_path / "README.md").write_text(f"above\n{generate._BADGE_MARK}\nold\n\nbelow\n")
    monkeypatch.setattr(generate, "_CITATION", tmp_path / "CITATION.cff")
    monkeypatch.setattr(generate, "_README", tmp_path / "README.md")
    before, mark, line, empty, after = generate.readme_page().splitlines()
    assert (before, mark, empty, after) == ("above", generate._BADGE_MARK, "", "below")
    colab = "https://colab.research.google.com/"
    place = f"{address}/blob/main/notebooks/00_quickstart.ipynb" if address else ""
    assert f"[![Open in Colab]({colab}assets/colab-badge.svg)]({colab}github/{place}) In Colab " in line
    assert f"git+https://github.com/{address or 'OWNER/NAME'}`" in line
    first = "".join(json.loads(generate.quickstart())["cells"][0]["source"])
    title, badge, question, *_ = first.split("\n\n")
    assert title.startswith("# ") and badge == f"{mark}\n{line}" and question.startswith("**Question.**")
    assert f'<a href="{colab}github/{place}">Open in Colab</a> In Colab' in _markdown(
        first, escape_html=False
    )
    assert (DOCS.parent / "notebooks/00_quickstart.ipynb").is_file()
