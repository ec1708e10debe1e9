"""What README and pages tell a reader to type works: commands are read by the real parsers, Python is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from data_prep.arguments import parser
from moleflow_lib import cli
from tests.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _commands() -> list[tuple[str, list[str]]]:
    """Module and arguments of every `python -m …` in a shell block; … stands for what the text left out."""
    found = []
    for page in PAGES:
        for block in _blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.search(r"python -m (moleflow_lib|data_prep) (.*)", line):
                    words = shlex.split(match[2].replace("$lr", "1e-3"), comments=True)
                    if "…" not in words:
                        found.append((match[1], words))
    return found


@pytest.mark.parametrize(("module", "words"), _commands(), ids=lambda part: " ".join(part)[:60])
def test_every_command_is_understood(
    module: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if module == "data_prep":
        assert parser().parse_args(words).command == words[0]
        return
    options = cli._parser().parse_args(words)
    if words[0] == "run":
        assert cli._params(options)["preset"]


def test_commands_were_found() -> None:
    assert len(_commands()) >= 12


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`?make ([a-z-]+)`", page.read_text("utf-8"))}
    named |= {
        name
        for page in PAGES
        for block in _blocks(page, "bash")
        for name in re.findall(r"^make ([a-z-]+)", block, flags=re.MULTILINE)
    }
    assert len(named) >= 4 and named <= targets


def test_the_python_of_the_readme_runs(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(tiny_data)
    small = {name: value for name, value in TINY.items() if name != "preset"}
    blocks = _blocks(ROOT / "README.md", "python")
    assert blocks
    for block in blocks:
        code = block.replace('{"preset": "demo",', '{"preset": "demo", **small,')
        exec(compile(code, "README.md", "exec"), {"small": small})
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words[0] for words in said] == ["000.png", "001.png", "002.png", "003.png"]
    assert all(words[1] in ("leather", "nut", "board") for words in said)
