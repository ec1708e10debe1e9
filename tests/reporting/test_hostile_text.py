"""Names from outside stay text in every output: pages, figures, tables to take away, the terminal."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from nbformat import v4

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.figures.style import captioned
from moleflow_lib.reporting.notebook import show_summary
from moleflow_lib.reporting.pages.index import Entry, write_index
from moleflow_lib.reporting.pages.report import render_report
from moleflow_lib.reporting.tables import Table

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
IMAGE = "<img src=x onerror=\"document.title='x'\">"
LINK = "[c](javascript:alert(1))"
NAMES = (
    IMAGE,
    LINK,
    "</script><script>document.title='x'</script>",
    "`<b onclick=alert(1)>`",
    '<a href="javascript:alert(1)">a</a>',
)
PARTS = (
    "figure",
    "table",
    "summary",
    "markdown",
    "stdout",
    "stderr",
    "error",
    "parameters",
    "text",
    "failure",
)


def _book(part: str, name: str) -> tuple[nbformat.NotebookNode, str]:
    """A notebook in which the name stands in one kind of place; and the failure handed over beside it."""
    outputs = {
        "figure": lambda: [
            v4.new_output(
                "display_data",
                data=captioned(
                    go.Figure(go.Bar(x=[name], y=[1], name=name, text=[name])), f"Of {name}", f"About {name}."
                )._bundle(),
            )
        ],
        "table": lambda: [
            v4.new_output("display_data", data={"text/html": Table([{name: name}], name)._repr_html_()})
        ],
        "summary": lambda: [
            v4.new_output("display_data", data={"text/html": show_summary([name, name]).data})
        ],
        "markdown": lambda: [v4.new_output("display_data", data={"text/markdown": f"- {name}"})],
        "stdout": lambda: [v4.new_output("stream", name="stdout", text=name)],
        "stderr": lambda: [v4.new_output("stream", name="stderr", text=name)],
        "error": lambda: [v4.new_output("error", ename=name, evalue=name, traceback=[f"ValueError: {name}"])],
        "text": lambda: [v4.new_output("display_data", data={"text/plain": name})],
    }.get(part, list)()
    tags = ["summary"] if part == "summary" else []
    source = f"classes = {name!r}" if part == "parameters" else "run()"
    cells = [
        v4.new_markdown_cell("# T\n\nWords."),
        v4.new_markdown_cell("## S"),
        v4.new_code_cell(source, outputs=outputs, metadata={"tags": tags}),
    ]
    return v4.new_notebook(cells=cells), name if part == "failure" else ""


def _live(html: str, folder: Path) -> tuple[str, str]:
    """Title and body of the page after its scripts ran."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install it to check reports in a browser")
    (folder / "page.html").write_text(html)
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=4000",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return re.search(r"<title>(.*?)</title>", done.stdout).group(1), done.stdout


class _Dangers(HTMLParser):
    """What a name can become in a page: an element that loads or runs, a link that runs, a handler."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note a tag that does more than show."""
        for key, value in attributes:
            runs = key in ("href", "src", "xlink:href") and re.match(r"\s*(javascript:|x$)", value or "")
            if key.startswith("on") or runs:
                self.found.append(f"{tag} {key}={value}")


def _dangers(dom: str) -> list[str]:
    parser = _Dangers()
    parser.feed(dom)
    return parser.found


def test_the_search_for_dangers_finds_them() -> None:
    assert len(_dangers(f'<body><p>{IMAGE}</p><a href="javascript:alert(1)">c</a></body>')) == 3


@pytest.mark.parametrize("part", PARTS)
def test_a_hostile_name_stays_text_in_a_report(part: str, tmp_path: Path) -> None:
    name = " ".join(NAMES)
    book, failure = _book(part, name)
    nbformat.write(book, tmp_path / "b.ipynb")
    render_report(tmp_path / "b.ipynb", tmp_path / "b.html", failure=failure)
    title, dom = _live((tmp_path / "b.html").read_text(), tmp_path)
    assert title == "T" and _dangers(dom) == []
    assert "document.title" in dom, "the name is shown"


def test_a_hostile_name_stays_text_in_the_index(tmp_path: Path) -> None:
    config = ExperimentConfig.from_params(
        {"preset": "demo", "out_dir": str(tmp_path), "device": "cpu", "dataset_root": IMAGE}
    )
    (tmp_path / "a.result.json").write_text(
        '{"tiles": [{"label": "<img src=x onerror=1>", "value": 0.5, "against": "<b>"}]}'
    )
    (tmp_path / "01_<img src=x onerror=alert(1)>.html").write_text("earlier")
    entries = [
        Entry(source=Path("a.ipynb"), title=IMAGE, question=LINK, state="done", summary=list(NAMES)),
        Entry(source=Path("b.ipynb"), title=LINK, question=IMAGE, state="failed", error=" ".join(NAMES)),
    ]
    write_index(tmp_path, config, NAMES, entries)
    title, dom = _live((tmp_path / "index.html").read_text(), tmp_path)
    assert (
        title == "MoLE-Flow run: demo"
        and _dangers(dom) == []
        and "onerror" in dom
        and "&lt;img src=x onerror=1&gt;" in dom
    )


def test_no_page_lets_a_script_run_that_is_not_ours(tmp_path: Path) -> None:
    book, _ = _book("text", "x")
    book.cells[2].outputs.append(
        v4.new_output("display_data", data={"text/html": f"{IMAGE}<script>document.title='x'</script>"})
    )
    nbformat.write(book, tmp_path / "b.ipynb")
    render_report(tmp_path / "b.ipynb", tmp_path / "b.html")
    html = (tmp_path / "b.html").read_text()
    assert _live(html, tmp_path)[0] == "T"
    assert _live(html.replace("Content-Security-Policy", "none"), tmp_path)[0] == "x", (
        "without the policy it would run"
    )
    policy = re.search(r"script-src[^;\"]*", html).group()
    assert "unsafe" not in policy and "'nonce-" in policy


def test_cells_that_begin_like_a_formula_are_text_in_a_spreadsheet() -> None:
    names = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", " =1"]
    read = list(csv.reader(io.StringIO(Table([{"=name": name, "v": -0.5} for name in names], "").to_csv())))
    assert [row[0] for row in read] == ["'=name", *(f"'{name}" for name in names)]
    assert [row[1] for row in read[1:]] == ["-0.5"] * len(names), "numbers stay numbers"


def test_terminals_get_no_control_characters() -> None:
    name = "a\x1b]0;owned\x07\x9b31m\u202eb\udc80"
    table = Table([{"task": name}], name)
    for shown in (visible(name), repr(table), table.to_latex(), table.to_csv(), table._repr_html_()):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\udc80]", shown)
        shown.encode()


def test_labels_of_figures_are_text_and_categories() -> None:
    figure = captioned(
        go.Figure(go.Bar(x=["<b>1</b>", "2021-01-01", "7"], y=[1, 2, 3], name="$x$")), "a < b", "c < d"
    )
    assert (
        list(figure.data[0].x) == ["&lt;b&gt;1&lt;/b&gt;", "2021-01-01", "7"]
        and figure.data[0].name == "&#36;x&#36;"
    )
    assert figure.layout.title.text == "a &lt; b" and figure.layout.meta["caption"] == "c < d"
    assert figure.layout.xaxis.type == "category", "names that look like numbers or dates are names"
