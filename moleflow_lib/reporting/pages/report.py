"""One HTML file from one executed notebook: a failure or the summary first, nothing fetched or hidden."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

from moleflow_lib.errors import NotebookError, counted
from moleflow_lib.reporting.definitions import all_definitions, link_cells
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.pages.drawing_library import packed_plotly
from moleflow_lib.reporting.pages.embedding import PLOTLY, figure_html, picture_source
from moleflow_lib.reporting.running.run_log import is_progress
from moleflow_lib.storage.disk import write_bytes

__all__ = ["PLOTLY_FILE", "TEMPLATES", "notebook_title", "output_error", "page_css", "render_report"]

TEMPLATES = Path(__file__).parents[1] / "templates"
PLOTLY_FILE = "plotly.min.js"  # one copy for all reports of a folder
_SHOWN = ("text/html", "text/markdown", "image/svg+xml", "image/png", "text/plain")
_BANNER = "papermill-error-cell-tag"  # cells that papermill adds to a notebook that failed
_OUTSIDE = re.compile(r'<img\b[^>]*\bsrc="https?:[^>]*>')
_HEADING = re.compile(r"<h([1-4])>(.*?)</h\1>", re.DOTALL)


def render_report(notebook: Path, into: Path, failure: str = "", single_file: bool = False) -> None:
    """Render an executed notebook to HTML that opens without a network.

    The summary comes first, code is folded, figures keep their captions, outputs of interactive
    cells are left out (a widget is dead in HTML), metrics in tables and captions link to their
    definitions, and every error is listed at the end and on top.

    Args:
        notebook: the executed notebook.
        into: the HTML file to write.
        failure: why the run failed, if it did; errors inside the notebook are found without it.
        single_file: hold plotly.js in the file; without it, it lies beside the file, once for all reports.

    Raises:
        NotebookError: the file is no notebook.
    """
    book = _read(notebook)
    page = _page_facts(book, notebook, into, failure, single_file)
    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("picture_source", picture_source)
    exporter.register_filter("counted", counted)
    html = exporter.from_notebook_node(book, {"report": page})[0]
    write_bytes(into, html.encode(errors="backslashreplace"))


def _page_facts(
    book: NotebookNode, notebook: Path, into: Path, failure: str, single_file: bool
) -> dict[str, object]:
    """What the template takes besides the cells; these are put in the page's order, without widgets."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    errors = [output_error(output) for output in outputs if output.output_type == "error"]
    warnings = list(_warnings(book))
    cells = _arranged(book)
    figures = sum(_prepare(cell, errors) for cell in cells)
    facts = {
        "title": notebook_title(book),
        "errors": errors,
        "warnings": warnings,
        "headings": _headings(cells),
        "definitions": all_definitions(),
        "failure": visible(failure or _last_line(errors)),
        "place": visible(_place(book)),
        "css": page_css() + _code_css(),
        "script": (TEMPLATES / "report.js").read_text(),
        "nonce": hashlib.sha256(notebook.read_bytes()).hexdigest()[:32],
        "index": not single_file,
        "images": _images_beside(into, single_file),
        "provenance": any("provenance" in _tags(cell) for cell in cells),
        **_drawing_library(figures, into.parent, single_file),
    }
    book.metadata = NotebookNode({k: v for k, v in book.metadata.items() if k != "widgets"})
    book.cells = cells
    return facts


def _images_beside(into: Path, single_file: bool) -> str:
    """The page of all test images, where one lies beside the report and both are passed on together."""
    page = into.with_name(f"{into.stem}.images.html")
    return page.name if page.is_file() and not single_file else ""


def page_css() -> str:
    """The style of every page that a run leaves."""
    return (TEMPLATES / "style.css").read_text()


def notebook_title(book: NotebookNode) -> str:
    """The first heading of a notebook."""
    for cell in book.cells:
        heading = re.match(r"# (.+)", cell.source)
        if cell.cell_type == "markdown" and heading:
            return heading.group(1).strip()
    return "Untitled notebook"


def output_error(output: NotebookNode) -> str:
    """The traceback of a failed cell as plain text."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback)) or f"{output.ename}: {output.evalue}"
    return visible(plain, keep="\n\t")


def _last_line(errors: list[str]) -> str:
    """What the first error says at its end; nothing without errors."""
    return errors[0].splitlines()[-1] if errors else ""


def _place(book: NotebookNode) -> str:
    """The section of a notebook in which a cell failed first; empty if none did, or before any section."""
    section = ""
    for cell in book.cells:
        if cell.cell_type == "markdown":
            section = (re.findall(r"^#{2,4} (.+)", cell.source, re.MULTILINE) or [section])[-1].strip()
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return section
    return ""


def _read(notebook: Path) -> NotebookNode:
    """A notebook without what papermill wrote on top of a failed one."""
    try:
        book = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        raise NotebookError(f"{notebook} is not a notebook ({error})") from error
    book.cells = [cell for cell in book.cells if _BANNER not in _tags(cell)]
    if not book.cells:
        raise NotebookError(f"{notebook} holds no cells: there is nothing to render")
    return book


def _drawing_library(figures: int, folder: Path, single_file: bool) -> dict[str, str]:
    """plotly.js for the page: its text, or the name of the file beside the page, or neither."""
    if not figures:
        return {"plotly_js": "", "plotly_file": ""}
    if single_file:
        return {"plotly_js": packed_plotly(), "plotly_file": ""}
    library = packed_plotly().encode()
    shared = folder / PLOTLY_FILE
    if not shared.is_file() or shared.stat().st_size != len(library):
        write_bytes(shared, library)
    return {"plotly_js": "", "plotly_file": PLOTLY_FILE}


def _code_css() -> str:
    """Colours of code, by day and by night."""
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    by_day = f"@media (prefers-color-scheme: light), print {{ {light} }}"
    return f"{by_day} @media (prefers-color-scheme: dark) and screen {{ {dark} }}"


def _arranged(book: NotebookNode) -> list[NotebookNode]:
    """Title, summary, contents, then the rest; the injected parameters stay where they acted."""
    first, *rest = _one_parameters_cell(book.cells)
    summary = [cell for cell in rest if "summary" in _tags(cell)]
    others = [cell for cell in rest if "summary" not in _tags(cell)]
    first.metadata["report"] = "title"
    for cell in summary:
        cell.metadata["report"] = "summary" if cell.get("outputs") else "no summary"
    contents = nbformat.v4.new_markdown_cell("", metadata={"report": "contents"})
    return [first, *summary, contents, *others]


def _one_parameters_cell(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The defaults and what was injected over them, in the place where the latter acted."""
    defaults = next((cell for cell in cells if "parameters" in _tags(cell) and not cell.get("outputs")), None)
    injected = next((cell for cell in cells if "injected-parameters" in _tags(cell)), None)
    if defaults is None or injected is None:
        return cells
    injected.source = f"{defaults.source}\n\n{injected.source}"
    return [cell for cell in cells if cell is not defaults]


def _prepare(cell: NotebookNode, errors: list[str]) -> int:
    """Turn a cell's outputs into what a page can show; returns the number of figures that plotly.js draws."""
    if cell.cell_type == "markdown":
        cell.metadata["html"] = _markdown(cell.source, escape_html=False)
    if cell.cell_type != "code":
        return 0
    if "interactive" in _tags(cell):
        note = "Interactive in JupyterLab only."
        failed = [output for output in cell.outputs if output.output_type == "error"]
        cell.outputs = [*failed, _html_output(f'<p class="note">{note}</p>')]
        return 0
    figures = sum(PLOTLY in output.get("data", {}) for output in cell.outputs)
    cell.outputs = [shown for output in cell.outputs for shown in _shown(output, errors)]
    return figures


def _shown(output: NotebookNode, errors: list[str]) -> Iterator[NotebookNode]:
    """An output as the page shows it; nothing for what is listed at the end or stands in a figure already."""
    data = output.get("data", {})
    if output.output_type == "error":
        output.traceback = [output_error(output)]
        yield output
    elif output.output_type == "stream":
        output.text = visible(output.text, keep="\n\t")
        if output.name != "stderr":
            yield output
    elif PLOTLY in data:
        yield _html_output(figure_html(data[PLOTLY], data.get("image/svg+xml", "")))
    elif output.metadata.get("moleflow") == "caption":
        return
    elif not any(kind in data for kind in _SHOWN):
        errors.append(f"an output of type {', '.join(data)} cannot be shown in a report")
    elif "text/html" in data:
        yield _html_output(link_cells(data["text/html"]))
    elif "text/markdown" in data:
        yield _html_output(_markdown(data["text/markdown"], escape_html=True))
    else:
        yield output


def _markdown(source: str, escape_html: bool) -> str:
    """Markdown as HTML without links that run something; of outputs, made from data, no HTML passes."""
    renderer = IPythonRenderer(escape=escape_html, allow_harmful_protocols=False, exclude_anchor_links=True)
    return _OUTSIDE.sub(_words_of, MarkdownWithMath(renderer=renderer).render(source))


def _words_of(picture: re.Match[str]) -> str:
    """What a picture shows, in words: a page fetches nothing from elsewhere."""
    words = re.search(r'alt="([^"]*)"', picture[0])
    return words[1] if words else ""


def _html_output(html: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={"text/html": html})


def _warnings(book: NotebookNode) -> Iterator[str]:
    """What cells wrote to standard error, progress left out."""
    for cell in book.cells:
        streams = (output for output in cell.get("outputs", []) if output.output_type == "stream")
        text = "".join(output.text for output in streams if output.name == "stderr")
        lines = re.split(r"[\r\n]+", text)
        kept = [visible(line) for line in lines if line.strip() and not is_progress(line)]
        if kept:
            yield "\n".join(kept)


def _headings(cells: list[NotebookNode]) -> list[tuple[str, str]]:
    """Give every heading of the Markdown cells an id; returns those of the second level, for the contents."""
    found: list[tuple[str, str]] = []
    taken: set[str] = set()

    def anchored(heading: re.Match[str]) -> str:
        """A heading with its id."""
        level, inner = heading.groups()
        text = unescape(re.sub(r"<[^>]+>", "", inner)).strip()
        anchor = _unused("section-" + (re.sub(r"\W+", "-", text).strip("-").lower() or "untitled"), taken)
        if level == "2":
            found.append((anchor, text))
        return f'<h{level} id="{escape(anchor)}">{inner}</h{level}>'

    for cell in cells:
        if "html" in cell.metadata:
            cell.metadata["html"] = _HEADING.sub(anchored, cell.metadata["html"])
    return found


def _unused(anchor: str, taken: set[str]) -> str:
    """An id that no heading before it has; it is taken from now on."""
    name = next(n for n in (anchor, *(f"{anchor}-{k}" for k in range(2, len(taken) + 3))) if n not in taken)
    taken.add(name)
    return name


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])
