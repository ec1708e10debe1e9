"""plotly.js packed: what the browser unpacks is what was packed, to the letter, and far smaller."""

from __future__ import annotations

import json
import random
import re
from html import unescape
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from moleflow_lib.reporting.pages.drawing_library import packed, packed_plotly
from tests.reporting.pages.test_report import _dom

_LETTERS = "abcdefgh <>&'\"\\/\u00e4\u20ac\U0001f529\n"


def _run(script: str, folder: Path) -> str:
    """The page after `script` ran under the reports' policy: no script without the nonce."""
    page = folder / "page.html"
    policy = "default-src 'none'; script-src 'nonce-n0'"
    page.write_text(
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<body><script nonce="n0" src="packed.js"></script></body>'
    )
    (folder / "packed.js").write_text(script)
    return _dom(page, folder)


@pytest.mark.parametrize("length", [3, 400, 300_000])
def test_a_script_runs_to_the_letter(length: int, tmp_path: Path) -> None:
    chosen = random.Random(length)
    text = "".join(chosen.choice(_LETTERS[: 3 + chosen.randrange(len(_LETTERS) - 2)]) for _ in range(length))
    dom = _run(packed(f"document.body.dataset.seen = JSON.stringify({json.dumps(text)});"), tmp_path)
    assert json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom).group(1))) == text


def test_plotly_is_there_for_the_script_that_follows_and_weighs_less_than_half(tmp_path: Path) -> None:
    script = packed_plotly() + "\ndocument.body.dataset.version = Plotly.version;"
    assert re.search(r'data-version="[\d.]+"', _run(script, tmp_path))
    assert len(packed_plotly()) < 0.45 * len(get_plotlyjs().encode())
    assert re.match(
        r"/\*\*\n\* plotly\.js v[\d.]+\n(?s:.*)Licensed under the MIT license\n\*/", packed_plotly()
    )
