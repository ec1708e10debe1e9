"""What a reader does with a page: follow links, sort tables, read it on a phone, on paper, at night."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from nbformat import v4

from moleflow_lib.cli import main
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.figures.style import captioned
from moleflow_lib.reporting.pages.embedding import picture_source
from moleflow_lib.reporting.pages.index import Entry, write_index
from moleflow_lib.reporting.pages.report import page_css, render_report
from moleflow_lib.reporting.tables import Table
from tests.reporting.cut_text import cut_texts
from tests.reporting.pages.test_report import BROWSER, _code, _dom, _scripted

COLUMNS = [f"column_{n}_of_a_wide_table" for n in range(18)]
_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 20"><text y="9">a label too long</text></svg>'
)
NOTE = "document.documentElement.dataset.seen = JSON.stringify(seen);"


def _output(data: dict) -> nbformat.NotebookNode:
    return v4.new_output("display_data", data=data)


def _page(folder: Path, *cells: nbformat.NotebookNode, **options: object) -> str:
    wide = Table(
        [{"task": name, **{c: n / 7 for n, c in enumerate(COLUMNS)}} for name in ("nut", "grid")],
        "A wide table.",
    )
    scores = [("b", 2.0), ("a", 10.0), ("c", None), ("mean of all", 6.0)]
    narrow = Table([{"task": name, "score": value, "note": "-"} for name, value in scores], "A narrow table.")
    figure = captioned(go.Figure(go.Scatter(x=["nut", "grid"], y=[1, 2], name="s")), "Points", "Look.")
    book = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# T\n\nWords. [to the errors](#Errors)"),
            v4.new_markdown_cell("## Twice & more\n\nA."),
            _code("w", _output({"text/html": wide._repr_html_()})),
            v4.new_markdown_cell("## Twice & more\n\n### `code` in a head"),
            _code("n", _output({"text/html": narrow._repr_html_()}), _output(figure._bundle())),
            *cells,
        ]
    )
    nbformat.write(book, folder / "t.ipynb")
    render_report(folder / "t.ipynb", folder / "t.html", **options)
    return (folder / "t.html").read_text()


def _seen(html: str, folder: Path, script: str) -> object:
    """What a script of ours, run in the page, leaves in `seen`."""
    (folder / "scripted.html").write_text(_scripted(html, f"{{{script};{NOTE}}}"))
    dom = _dom(folder / "scripted.html", folder)
    return json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom).group(1)))


def test_every_link_inside_a_report_leads_somewhere(tmp_path: Path) -> None:
    html = _page(tmp_path)
    seen = _seen(
        html,
        tmp_path,
        """
      const seen = [...document.querySelectorAll('a[href^="#"]')].map((link) => {
        location.hash = ""; link.click();
        const aim = '#' + CSS.escape(decodeURIComponent(link.hash.slice(1)));
        return [link.textContent, document.querySelectorAll(aim).length,
                document.querySelector(':target') !== null];
      })""",
    )
    assert len(seen) >= 5 and [link for link in seen if link[1] != 1 or not link[2]] == []
    heads = re.findall(r'<h2 id="([^"]+)"', html)
    assert len(heads) == len(set(heads)) and heads[:2] == ["section-twice-more", "section-twice-more-2"]


def test_tables_sort_by_keyboard_and_the_mean_stays_last(tmp_path: Path) -> None:
    seen = _seen(
        _page(tmp_path),
        tmp_path,
        """
      const table = [...document.querySelectorAll('table.sortable')]
        .find((t) => t.textContent.includes('mean of all'));
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const [task, score] = table.querySelectorAll('th button');
      const seen = [];
      const look = (button) => { button.focus(); button.click();
        const order = button.closest('th').getAttribute('aria-sort');
        seen.push([document.activeElement === button, order, names()]); };
      look(score); look(score); look(task); look(task);
      seen.push([...table.querySelectorAll('[aria-sort]')].length)""",
    )
    assert seen[:2] == [
        [True, "descending", ["a", "b", "c", "mean of all"]],
        [True, "ascending", ["b", "a", "c", "mean of all"]],
    ]
    assert [row[2] for row in seen[2:4]] == [
        ["c", "b", "a", "mean of all"],
        ["a", "b", "c", "mean of all"],
    ] and seen[4] == 1


def test_nothing_is_cut_on_a_phone_a_wide_screen_or_paper(tmp_path: Path) -> None:
    code = _code(f"{'word ' * 60}\n{'x' * 400}", v4.new_output("stream", name="stdout", text="y" * 400))
    long = go.Figure(go.Scatter(y=[1, 2], name="a name in many words " * 4))
    long.update_xaxes(title="an axis named in many more words than a phone is wide " * 2)
    _page(tmp_path, code, _code("l", _output(captioned(long, "Long", "Names.")._bundle())), single_file=True)
    assert cut_texts([tmp_path / "t.html"], tmp_path) == []


CUTS = {
    "hidden": '<p style="overflow:hidden;white-space:nowrap;width:90px">a hidden end</p>',
    "no focus": f'<div class="scroll"><p style="width:2000px">{"words " * 200}</p></div>',
    "no shade": f'<pre tabindex="0" style="overflow-x:auto;white-space:pre">{"x" * 400}</pre>',
    "shade covered": '<div class="scroll" tabindex="0">'
    f'<p style="width:2000px;background:white;margin:0">{"words " * 200}</p></div>',
    "viewport": f'<p style="width:2000px">{"words " * 200}</p>',
    "drawing": '<svg width="90" height="20"><text y="9">a label that is too long</text></svg>',
    "clip path": '<svg width="300" height="20"><clipPath id="c"><rect width="20" height="20"/></clipPath>'
    '<g clip-path="url(#c)"><text y="9">a label that is cut</text></g></svg>',
    "picture": '<img alt="wide" style="width:2000px;max-width:none" src="data:image/gif;base64,'
    'R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==">',
    "in a picture": f'<img alt="p" src="{picture_source(_PICTURE)}">',
}


def test_whatever_is_cut_is_found(tmp_path: Path) -> None:
    page = '<!DOCTYPE html><meta charset="utf-8"><style>{}</style><main>{}</main>'
    fine = f'<div class="scroll" tabindex="0"><p style="width:1600px;margin:0">{"words " * 150}</p></div>'
    for name, cut in {**CUTS, "fine": fine}.items():
        (tmp_path / f"{name}.html").write_text(page.format(page_css(), cut))
    found = cut_texts([tmp_path / f"{name}.html" for name in (*CUTS, "fine")], tmp_path)
    places = {(line.split(".html ")[0], line.split(".html ")[1].split(":")[0]) for line in found}
    assert {(name, "390") for name in CUTS} <= places
    assert {place for name, place in places if name == "fine"} == {"paper"}, "there nothing can be scrolled"


@pytest.mark.parametrize("width", [340, 1012])
def test_all_pictures_of_a_sheet_are_of_one_size(width: int, tmp_path: Path) -> None:
    tile = Tile(picture=np.zeros((160, 160, 3), dtype=np.uint8), label="image")
    cases = [Case(tiles=[tile] * count, name="a case") for count in (1, 2, 2, 3)]
    sheet = Sheet(title="S", caption="C", rows=[("nut", cases), ("grid", cases[:1])])
    seen = _seen(
        _page(tmp_path, _code("s", _output({"text/html": sheet._repr_html_()}))),
        tmp_path,
        f"""
      document.querySelector('main').style.width = '{width}px';
      const pictures = [...document.querySelectorAll('.mf-tile img')];
      const seen = pictures.map((picture) => picture.getBoundingClientRect().width)""",
    )
    assert len(seen) == 9 and len(set(seen)) == 1


def test_a_caption_is_no_wider_than_what_is_seen_of_its_table(tmp_path: Path) -> None:
    seen = _seen(
        _page(tmp_path),
        tmp_path,
        """
      const place = document.querySelector('.scroll'); place.style.width = '300px';
      const caption = place.querySelector('caption'); caption.textContent = 'words '.repeat(60);
      const seen = [caption.getBoundingClientRect().width, place.scrollWidth]""",
    )
    assert 200 < seen[0] <= 300 < seen[1]


def test_on_paper_no_column_is_cut(tmp_path: Path) -> None:
    """The widest table needs no more than its page: 277 mm of a sheet turned sideways."""
    html = _page(tmp_path).replace("@media print", "@media all")
    seen = _seen(
        html,
        tmp_path,
        """
      document.querySelector('main').style.width = '1047px';
      const tables = [...document.querySelectorAll('.scroll table')];
      const seen = tables.map((table) => table.getBoundingClientRect().width)""",
    )
    assert len(seen) == 2 and max(seen) <= 1048
    if BROWSER:
        target = tmp_path / "t.pdf"
        subprocess.run(
            [
                BROWSER,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                f"--user-data-dir={tmp_path / 'p'}",
                f"--print-to-pdf={target}",
                (tmp_path / "t.html").as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        boxes = {
            tuple(map(float, box))
            for box in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", target.read_bytes())
        }
        assert any(wide > high for wide, high in boxes), "the wide table's page is turned"


def test_pages_have_a_look_for_the_night_and_for_paper(tmp_path: Path) -> None:
    html = _page(tmp_path)
    seen = _seen(
        html.replace("(prefers-color-scheme: dark)", "all"),
        tmp_path,
        """
      const seen = [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
        getComputedStyle(document.querySelector('.main-svg')).background]""",
    )
    assert seen[0] == "rgb(20, 24, 29)" and seen[1] != seen[0] and "20, 24, 29" in seen[2]
    assert "@media print" in html


def test_what_a_figure_shows_is_told_and_drawn_without_plotly(tmp_path: Path) -> None:
    html = _page(tmp_path)
    labels = [
        unescape(label)
        for label in re.findall(
            r'aria-label="([^"]*)"[^>]*role="img"|role="img"[^>]*aria-label="([^"]*)"', html
        )[0]
    ]
    assert any("Points" in label and "Series: s" in label and "1 to 2" in label for label in labels)
    assert "data:image/svg+xml;base64," in html


def test_a_failed_report_opens_with_the_failure_and_not_with_papermills_banner(tmp_path: Path) -> None:
    tagged = {"tags": ["papermill-error-cell-tag"]}
    banners = [
        v4.new_markdown_cell("<span>An Exception was encountered</span>", metadata=tagged) for _ in range(2)
    ]
    error = v4.new_output("error", ename="ValueError", evalue="bad", traceback=["ValueError: bad <x>"])
    book = v4.new_notebook(
        cells=[
            banners[0],
            v4.new_markdown_cell("# T"),
            v4.new_markdown_cell("## S"),
            banners[1],
            _code("f()", error),
            _code("s()", tags=("summary",)),
        ]
    )
    nbformat.write(book, tmp_path / "f.ipynb")
    render_report(tmp_path / "f.ipynb", tmp_path / "f.html")
    html = (tmp_path / "f.html").read_text()
    assert "An Exception was encountered" not in html and "<title>T</title>" in html
    body = html[html.index("<main>") :]
    assert body.index("This run FAILED") < body.index("ValueError: bad &lt;x&gt;") < body.index("<h1")
    assert '<section class="summary"' not in html and "No summary" in html


def test_the_report_command_renders_what_a_researcher_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    _page(tmp_path)
    assert (
        main(
            ["report", str(tmp_path / "t.ipynb"), "--into", str(tmp_path / "sub" / "x.html"), "--single-file"]
        )
        == 0
    )
    assert (
        "plotly.js v" in (tmp_path / "sub" / "x.html").read_text()
        and not (tmp_path / "sub" / "plotly.min.js").exists()
    )
    assert capsys.readouterr().out.strip().endswith("x.html")
    (tmp_path / "t.html").unlink()
    assert main(["report", str(tmp_path / "t.ipynb")]) == 0 and (tmp_path / "t.html").is_file()
    assert main(["report", str(tmp_path / "missing.ipynb")]) == 2
    assert "no file" in capsys.readouterr().err


def test_the_index_says_the_verdict_first_and_folds_the_rest(tmp_path: Path) -> None:
    config = ExperimentConfig.from_params({"preset": "demo", "out_dir": str(tmp_path), "device": "cpu"})
    tiles = [
        {"label": "image AUROC", "value": 0.8604, "interval": [0.797, 0.905], "against": "memory bank 0.897"}
    ]
    matrix = {"classes": ["nut", "grid"], "R": {"image_auroc": {"routed": [[0.8, None], [0.8, 0.9123]]}}}
    (tmp_path / "01_a.result.json").write_text(json.dumps({"tiles": tiles, **matrix}))
    entries = [
        Entry(
            source=Path("01_a.ipynb"),
            title="A",
            question="Why?",
            state="done",
            summary=["It detects.", "More `x`."],
        ),
        Entry(source=Path("02_b.ipynb"), title="B", question="How?"),
    ]
    write_index(tmp_path, config, ["nut", "grid"], entries)
    html = (tmp_path / "index.html").read_text()
    places = [
        html.index(text)
        for text in (
            "not finished",
            "nut → grid",
            "It detects.",
            "0.860",
            "0.797 … 0.905",
            "memory bank 0.897",
            "<details open>",
            "More <code>x</code>.",
            "Provenance",
        )
    ]
    assert "after learning" in html and "0.912" in html, "the R matrix"
    assert places == sorted(places) and "script" not in re.sub(
        r"<style>.*?</style>", "", html, flags=re.DOTALL
    ).replace("nonce", "")
