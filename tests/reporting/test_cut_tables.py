"""A table that goes on beyond the edge of the screen shows it there, by day and by night, not on paper."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moleflow_lib.reporting.pages.report import page_css
from moleflow_lib.reporting.tables import Table
from tests.reporting.pages.test_report import BROWSER

WIDE, NARROW = 40, 2  # columns
NIGHT = "(prefers-color-scheme: dark)"
END = "<script>document.querySelector('.scroll').scrollLeft = 1e6</script>"


def _edge(folder: Path, columns: int, css: str, end: str = "") -> float:
    """How far the right edge of a table's place differs from what lies further inside, in grey levels."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install it to check reports in a browser")
    table = Table([{f"c{n}": "" for n in range(columns)}] * 12, "Empty cells.")._repr_html_()
    page, picture = folder / "page.html", folder / "page.png"
    page.write_text(f"<style>{css}</style><body>{table}{end}")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=600,400")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *options, profile, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    grey = np.asarray(Image.open(picture).convert("L")).astype(float)[60:300]
    return abs(np.median(grey[:, 597]) - np.median(grey[:, 540]))


@pytest.mark.parametrize("night", [False, True])
def test_the_edge_is_shaded_where_columns_are_cut_off_and_nowhere_else(night: bool, tmp_path: Path) -> None:
    css = page_css().replace(NIGHT, "all" if night else "not all")
    assert _edge(tmp_path, WIDE, css) > 25
    assert _edge(tmp_path, WIDE, css, END) < 3, "nothing is left to come"
    assert _edge(tmp_path, NARROW, css) < 3


def test_paper_has_no_shade(tmp_path: Path) -> None:
    css = page_css().replace(NIGHT, "not all").replace("@media print", "@media all")
    assert _edge(tmp_path, WIDE, css) < 3
