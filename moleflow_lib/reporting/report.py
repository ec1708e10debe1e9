"""One self-contained HTML file from one executed notebook: summary first, nothing fetched, nothing hidden."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from plotly.offline import get_plotlyjs
from pygments.formatters import HtmlFormatter

from moleflow_lib.artifacts import write_bytes
from moleflow_lib.errors import NotebookError
from moleflow_lib.reporting.definitions import DEFINITIONS, link_cells, link_words

__all__ = ["TEMPLATES", "notebook_title", "output_error", "render_report"]

TEMPLATES = Path(__file__).parent / "templates"
_PLOTLY = "application/vnd.plotly.v1+json"
_SHOWN = ("text/html", "text/markdown", "image/png", "text/plain")
_BAR = re.compile(r"\d+%\|")  # a progress bar of tqdm


def render_report(notebook: Path, into: Path, failure: str = "") -> None:
    """Render an executed notebook to one HTML file that opens without a network.

    The summary comes first, code is folded, figures keep their captions, outputs of interactive
    cells are left out (a widget is dead in HTML), metrics in tables and captions link to their
    definitions, and every error is listed at the end and on top.

    Args:
        notebook: the executed notebook.
        into: the HTML file to write.
        failure: why the run failed, if it did; errors inside the notebook are found without it.

    Raises:
        NotebookError: the file is no notebook.
    """
    try:
        book = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        raise NotebookError(f"{notebook} is not a notebook ({error})") from error
    errors = [output_error(output) for cell in book.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    warnings, cells = list(_warnings(book)), _arranged(book)
    figures = sum(_prepare(cell, errors) for cell in cells)
    book.cells, book.metadata = cells, NotebookNode({k: v for k, v in book.metadata.items() if k != "widgets"})
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True)
    page = {
        "title": notebook_title(book), "errors": errors, "warnings": warnings, "headings": _headings(cells),
        "definitions": DEFINITIONS, "failure": failure or (errors[0].splitlines()[-1] if errors else ""),
        "css": (TEMPLATES / "style.css").read_text() + HtmlFormatter(style="default").get_style_defs(".highlight"),
        "script": (TEMPLATES / "report.js").read_text(), "plotly_js": get_plotlyjs() if figures else "",
    }
    html, _ = exporter.from_notebook_node(book, {"report": page})
    write_bytes(into, html.encode())


def notebook_title(book: NotebookNode) -> str:
    """The first heading of a notebook."""
    for cell in book.cells:
        if cell.cell_type == "markdown" and (heading := re.match(r"# (.+)", cell.source)):
            return heading.group(1).strip()
    return "Untitled notebook"


def output_error(output: NotebookNode) -> str:
    """The traceback of a failed cell as plain text."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback)) or f"{output.ename}: {output.evalue}"


def _arranged(book: NotebookNode) -> list[NotebookNode]:
    """Title, summary, contents, then the rest; the injected parameters stay where they acted."""
    first, rest = book.cells[0], book.cells[1:]
    summary = [cell for cell in rest if "summary" in _tags(cell)]
    others = [cell for cell in rest if "summary" not in _tags(cell)]
    first.metadata["report"] = "title"
    for cell in summary:
        cell.metadata["report"] = "summary"
    contents = nbformat.v4.new_markdown_cell("", metadata={"report": "contents"})
    return [first, *summary, contents, *others]


def _prepare(cell: NotebookNode, errors: list[str]) -> int:
    """Turn a cell's outputs into what a page can show; returns the number of figures."""
    if cell.cell_type != "code":
        return 0
    if "interactive" in _tags(cell):
        note = "A control for JupyterLab; the static figure beside it says the same."
        failed = [output for output in cell.outputs if output.output_type == "error"]
        cell.outputs = [*failed, _html_output(f'<p class="note">{note}</p>')]
        return 0
    figures, outputs = 0, []
    for output in cell.outputs:
        data = output.get("data", {})
        if _PLOTLY in data:
            figures += 1
            outputs.append(_html_output(_figure_html(data[_PLOTLY])))
        elif output.output_type == "stream" and output.name == "stderr":
            continue  # listed at the end
        elif data and not any(kind in data for kind in _SHOWN):
            errors.append(f"an output of type {', '.join(data)} cannot be shown in a report")
        else:
            if "text/html" in data:
                data["text/html"] = link_cells(data["text/html"])
            outputs.append(output)
    cell.outputs = outputs
    return figures


def _figure_html(figure: dict) -> str:
    """A figure as data for plotly.js, with its caption."""
    data = json.dumps({"data": figure["data"], "layout": figure["layout"]}).replace("</", "<\\/")
    layout = figure["layout"]
    caption = (layout.get("meta") or {}).get("caption", "")
    label = escape((layout.get("title") or {}).get("text", "figure"), quote=True)
    return (
        f'<figure class="plot"><div role="img" aria-label="{label}" style="height:{layout.get("height", 450)}px"></div>'
        f'<script type="{_PLOTLY}">{data}</script><figcaption>{link_words(escape(caption))}</figcaption></figure>'
    )


def _html_output(html: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={"text/html": html})


def _warnings(book: NotebookNode) -> Iterator[str]:
    """What cells wrote to standard error, progress bars left out."""
    for cell in book.cells:
        text = "".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stderr")
        kept = [line for line in re.split(r"[\r\n]+", text) if line.strip() and not _BAR.search(line)]
        if kept:
            yield "\n".join(kept)


def _headings(cells: list[NotebookNode]) -> list[tuple[str, str]]:
    """Anchor and text of every second-level heading, as nbconvert writes them."""
    texts = [text.strip() for cell in cells if cell.cell_type == "markdown" for text in re.findall(r"^## (.+)$", cell.source, re.M)]
    return [(text.replace(" ", "-"), text) for text in texts]


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])
