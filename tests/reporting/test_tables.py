"""Tables as text, CSV and LaTeX, and the links that carry them."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import unquote

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from moleflow_lib.reporting.tables import Table

ROWS = [
    {"task": "metal_nut", "aupro": 2 / 3, "images": 12345, "note": 'a "b", 5 %'},
    {"task": "grid", "aupro": None, "note": "x\ny & <z>"},
]


def _files(html: str) -> dict[str, str]:
    """What the links of a table hold, by suffix."""
    links = re.findall(
        r'<a download="[^"]*\.(csv|tex)" href="data:text/[a-z-]+;charset=utf-8,([^"]*)">', html
    )
    return {suffix: unquote(text) for suffix, text in links}


def test_csv_reads_back_in_full_precision() -> None:
    read = list(csv.DictReader(io.StringIO(Table(ROWS, "").to_csv())))
    assert (
        float(read[0]["aupro"]) == 2 / 3
        and read[0]["images"] == "12345"
        and read[0]["note"] == ROWS[0]["note"]
    )
    assert read[1] == {"task": "grid", "aupro": "", "images": "", "note": "x\ny & <z>"}
    assert float(Table([{"x": np.float64(0.1) + 0.2}], "").to_csv().split()[1]) == np.float64(0.1) + 0.2


def test_latex_shows_what_the_page_shows() -> None:
    lines = Table(ROWS, "5 % of {all}.").to_latex().splitlines()
    assert r"\caption{5 \% of \{all\}.}" in lines and r"\begin{tabular}{lrrl}" in lines
    assert lines[lines.index(r"\midrule") + 1] == r'metal\_nut & 0.667 & 12\,345 & a "b", 5 \% \\'
    rules = [line for line in lines if line.endswith("rule")]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
def test_no_character_of_a_cell_is_a_command(text: str) -> None:
    line = Table([{"a": text}], "").to_latex().splitlines()[7]
    bare = re.sub(
        r"\\text(backslash|asciitilde|asciicircum|less|greater)\{\}|\\[{}&%$#_]",
        "",
        line.removesuffix(r" \\"),
    )
    assert not re.search(r"[\\{}&%$#_~^<>]", bare)


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_links_hold_the_files_whatever_the_text(text: str, caption: str) -> None:
    table = Table([{"a": text}], caption)
    assert _files(table._repr_html_()) == {"csv": table.to_csv(), "tex": table.to_latex()}


def test_an_empty_table_offers_nothing_to_take_away() -> None:
    assert "download" not in Table([], "No rows.")._repr_html_()


def test_heads_say_what_they_mean_on_hovering() -> None:
    html = Table([{"task": "nut", "aupro (oracle)": 0.5}], "")._repr_html_()
    meaning = r'<th scope="col" title="Area under the per-region overlap[^"]*">aupro \(oracle\)</th>'
    assert re.search(meaning, html)
    assert '<th scope="col">task</th>' in html
