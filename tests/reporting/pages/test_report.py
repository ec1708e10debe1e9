"""The HTML as a reviewer sees it: in a browser, without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from nbformat import v4

from moleflow_lib.errors import NotebookError
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.figures.style import captioned
from moleflow_lib.reporting.pages.report import render_report
from moleflow_lib.reporting.tables import Table

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PLOTLY = "application/vnd.plotly.v1+json"


def _figure(title: str, caption: str) -> nbformat.NotebookNode:
    figure = captioned(go.Figure(go.Scatter(y=[1, 3, 2], name="</script><b>")), title, caption)
    return v4.new_output("display_data", data={PLOTLY: json.loads(figure.to_json()), "text/plain": "Figure"})


def _code(source: str, *outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


@pytest.fixture
def book() -> nbformat.NotebookNode:
    table = Table(
        [{"task": "nut", "image_auroc": 0.5, "aupro (oracle)": None}, {"task": "grid", "image_auroc": 0.75}],
        "Two rows.",
    )
    noise = v4.new_output("stream", name="stderr", text="10%|#  |\ra real warning\n")
    widget = v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}})
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# A title\n\n**Question.** Does it render?"),
            _code("preset = 'demo'", tags=("parameters",)),
            v4.new_markdown_cell("## First section\n\nWords."),
            _code("draw()", _figure("One", "Look at <this>."), noise),
            _code(
                "two()",
                _figure("Two", "And pixel_ap."),
                v4.new_output("display_data", data={"text/html": table._repr_html_()}),
            ),
            _code("control()", widget, tags=("interactive",)),
            _code(
                "summary()",
                v4.new_output("display_data", data={"text/markdown": "- the answer"}),
                tags=("summary",),
            ),
        ]
    )


def _render(book: nbformat.NotebookNode, folder: Path, **options: object) -> str:
    nbformat.write(book, folder / "book.ipynb")
    render_report(folder / "book.ipynb", folder / "book.html", **options)
    return (folder / "book.html").read_text()


WATCH = """<script>
const asked = []; const note = () => document.documentElement.dataset.asked = JSON.stringify(asked); note();
document.addEventListener("securitypolicyviolation", (event) => { asked.push(event.blockedURI); note(); });
const outside = (entry) => !/^(data|blob):/.test(entry.name);
new PerformanceObserver((list) => {
  asked.push(...list.getEntries().filter(outside).map((entry) => entry.name)); note(); })
  .observe({ type: "resource", buffered: true });
</script>"""


def _watched(html: str, folder: Path) -> Path:
    """The page with a script in front that writes down whatever the page asks the network for, blocked or
    not.
    """
    path = folder / "watched.html"
    path.write_text(html.replace("<head>", f"<head>{WATCH}", 1))
    return path


def _nonce(html: str) -> str:
    return re.search(r'nonce="([0-9a-f]+)"', html).group(1)


def _scripted(html: str, script: str) -> str:
    """The page with a script of the test's own at its end, which knows the nonce."""
    return html.replace("</body>", f'<script nonce="{_nonce(html)}">{script}</script></body>')


def _asked_for(dom: str) -> list[str]:
    return json.loads(unescape(re.search(r'data-asked="([^"]*)"', dom).group(1)))


def _dom(page: Path, folder: Path) -> str:
    """The page after its scripts ran, with all network blocked."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install it to check reports in a browser")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=8000",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_order_title_summary_contents_figures_errors(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    html = _render(book, tmp_path)
    places = [
        html.index(text)
        for text in (
            "<title>A title",
            "A title</h1>",
            'id="Summary"',
            "the answer",
            "Contents</h2>",
            "First section</h2>",
            'figure class="plot"',
            'id="Definitions"',
            'id="Errors"',
        )
    ]
    assert places == sorted(places)
    assert "None. Every cell ran to its end" in html and 'href="#section-first-section"' in html


def test_every_number_is_one_click_from_its_definition(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    html = _render(book, tmp_path)
    places = set(re.findall(r'<dt id="([^"]+)">', html))
    routing = ("accuracy", "accuracy_macro", "accuracy_normal", "accuracy_anomalous")
    for name in (
        *METRICS,
        "acc",
        "fm_max",
        "fm_first",
        "bwt",
        "gap_to_separate",
        "oracle",
        "routed",
        *routing,
    ):
        assert f"definition-{name}" in places, name
    linked = re.findall(r'([\w() ]+)<a [^>]*class="definition" href="#([^"]+)"', html)
    assert linked == [
        (text, f"definition-{name}")
        for text, name in (
            ("And pixel_ap", "pixel_ap"),
            ("image_auroc", "image_auroc"),
            ("aupro (oracle)", "aupro"),
        )
    ]
    contents = html[html.index('aria-label="Contents"') : html.index("</nav>")]
    assert contents.index('href="#Definitions"') < contents.index('href="#Errors"')


def test_tables_can_be_taken_away_from_a_page_on_disk(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    book.cells[3].outputs = []
    html = _render(book, tmp_path, single_file=True)
    click = "for (const link of document.querySelectorAll('caption a')) link.click();"
    (tmp_path / "clicked.html").write_text(_scripted(html, click))
    settings = {
        "download": {"default_directory": str(tmp_path / "got"), "prompt_for_download": False},
        "profile": {"default_content_setting_values": {"automatic_downloads": 1}},
    }
    (tmp_path / "profile" / "Default").mkdir(parents=True)
    (tmp_path / "profile" / "Default" / "Preferences").write_text(json.dumps(settings))
    _dom(tmp_path / "clicked.html", tmp_path)
    assert {path.name for path in (tmp_path / "got").iterdir()} == {"two-rows.csv", "two-rows.tex"}
    assert (
        tmp_path / "got" / "two-rows.csv"
    ).read_text() == "task,image_auroc,aupro (oracle)\nnut,0.5,\ngrid,0.75,\n"


def test_captions_code_and_warnings(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    html = _render(book, tmp_path)
    assert "<figcaption>Look at &lt;this&gt;.</figcaption>" in html
    assert html.count('<details class="code">') == 5 and "<details open" not in html
    assert "a real warning" in html and "10%|" not in html
    assert "Interactive in JupyterLab only." in html and "widget-view" not in html


def test_plotly_lies_beside_the_reports_or_in_the_file(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    html = _render(book, tmp_path)
    assert "plotly.js v" not in html
    assert re.findall(r"<script[^>]* src=\"([^\"]+)\"", html) == ["plotly.min.js"]
    assert "plotly.js v" in (tmp_path / "plotly.min.js").read_text()[:200]
    alone = _render(book, tmp_path, single_file=True)
    assert alone.count("plotly.js v") == 1 and 'src="plotly.min.js"' not in alone
    for tag in ('<link rel="stylesheet"', '<img src="http', "@import", "@font-face"):
        assert tag not in html and tag not in alone


def test_without_plotly_pictures_are_shown_and_why(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    book.cells[3].outputs[0].data["image/svg+xml"] = "<svg xmlns='http://www.w3.org/2000/svg'/>"
    _render(book, tmp_path)
    (tmp_path / "plotly.min.js").unlink()
    dom = _dom(tmp_path / "book.html", tmp_path)
    assert "js-plotly-plot" not in dom and "data:image/svg+xml;base64," in dom
    assert dom.count('<div class="static">') == 2 and "plotly.min.js is not beside this page" in dom


def test_in_a_browser_every_figure_is_drawn_and_no_request_leaves(
    book: nbformat.NotebookNode, tmp_path: Path
) -> None:
    html = _render(book, tmp_path)
    dom = _dom(_watched(html, tmp_path), tmp_path)
    assert dom.count('js-plotly-plot"') == 2 and dom.count('class="main-svg"') >= 2
    assert _asked_for(dom) == []


def test_a_picture_from_elsewhere_is_its_words(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    book.cells[0].source += "\n\n[![Open & see](https://outside.invalid/badge.svg)](https://outside.invalid/)"
    html = _render(book, tmp_path)
    assert '<a href="https://outside.invalid/">Open &amp; see</a>' in html and "badge.svg" not in html
    assert _asked_for(_dom(_watched(html, tmp_path), tmp_path)) == []


def test_the_watch_would_see_a_request(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    html = _render(book, tmp_path).replace("<main>", '<main><img src="http://outside.invalid/spy.png">')
    assert "http://outside.invalid/spy.png" in _asked_for(_dom(_watched(html, tmp_path), tmp_path))


def test_the_reports_of_a_real_run_in_a_browser(learned, tmp_path: Path) -> None:
    from moleflow_lib.reporting.running.notebooks import available_notebooks
    from moleflow_lib.reporting.running.runner import run_notebooks

    config = learned.config.to_dict()
    params = {name: value for name, value in config.items() if value not in ("", [])} | {
        "out_dir": str(tmp_path)
    }
    assert run_notebooks(params, available_notebooks(["01"])) == 0
    book = nbformat.read(tmp_path / "executed" / "01_feature_extraction.ipynb", as_version=4)
    figures = sum(
        PLOTLY in o.get("data", {})
        for c in book.cells
        for o in c.get("outputs", [])
        if "interactive" not in c.metadata.get("tags", [])
    )
    dom = _dom(tmp_path / "01_feature_extraction.html", tmp_path)
    assert figures >= 2 and dom.count('js-plotly-plot"') == figures
    assert dom.count('<figure class="mf-sheet"') >= 2
    assert dom.index('id="Summary"') < dom.index('js-plotly-plot"')


def test_a_failure_stands_on_top(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    error = v4.new_output(
        "error",
        ename="ValueError",
        evalue="bad",
        traceback=["\x1b[31mTraceback\x1b[0m", "ValueError: bad <x>"],
    )
    book.cells.append(_code("fail()", error))
    html = _render(book, tmp_path)
    assert html.index("This run FAILED") < html.index('id="Summary"')
    assert "ValueError: bad &lt;x&gt;" in html and "None. Every cell ran" not in html and "\x1b" not in html
    assert "This run FAILED" in _render(
        v4.new_notebook(cells=book.cells[:3]), tmp_path, failure="the kernel died"
    )


def test_an_error_in_an_interactive_cell_is_not_hidden(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    error = v4.new_output("error", ename="KeyError", evalue="gone", traceback=["KeyError: gone"])
    book.cells[5].outputs = [error]
    assert "KeyError: gone" in _render(book, tmp_path)


def test_an_output_that_cannot_be_shown_is_an_error(book: nbformat.NotebookNode, tmp_path: Path) -> None:
    book.cells.append(_code("odd()", v4.new_output("display_data", data={"application/x-odd": "?"})))
    assert "application/x-odd cannot be shown" in _render(book, tmp_path)


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.ipynb").write_text("not json")
    with pytest.raises(NotebookError, match="is not a notebook"):
        render_report(tmp_path / "x.ipynb", tmp_path / "x.html")
