"""Every viewer shows every figure: data for JupyterLab, a picture for nbconvert, the caption in both."""

from __future__ import annotations

import re

import nbformat
import plotly.graph_objects as go
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import v4

from moleflow_lib.reporting.figures.static import as_svg
from moleflow_lib.reporting.pages.embedding import PLOTLY
from moleflow_lib.reporting.pages.report import render_report

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:jupyter_client", "ignore::DeprecationWarning:zmq"
)
SOURCE = """import plotly.graph_objects as go
from moleflow_lib.reporting.figures.style import captioned
captioned(go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="s")), "A title", "A caption < here.")"""


@pytest.fixture(scope="module")
def book() -> nbformat.NotebookNode:
    made = v4.new_notebook(
        cells=[v4.new_markdown_cell("# T"), v4.new_code_cell(SOURCE), v4.new_code_cell(SOURCE)]
    )
    return NotebookClient(made, kernel_name="python3").execute()


def test_plain_nbconvert_shows_as_many_figures_as_the_notebook_has(book: nbformat.NotebookNode) -> None:
    html, _ = HTMLExporter().from_notebook_node(book)
    figures = sum(
        PLOTLY in output.get("data", {}) for cell in book.cells for output in cell.get("outputs", [])
    )
    assert figures == 2 and len(re.findall(r'<img[^>]*src="data:image/svg\+xml;base64,', html)) == 2
    assert html.count("<em>A caption &lt; here.") == 2


def test_a_viewer_that_prefers_plotly_still_has_the_caption(book: nbformat.NotebookNode) -> None:
    figure, caption = book.cells[1].outputs
    assert (
        PLOTLY in figure.data
        and "A caption &lt; here." in caption.data["text/html"]
        and PLOTLY not in caption.data
    )


def test_a_report_shows_the_caption_once(book: nbformat.NotebookNode, tmp_path) -> None:
    nbformat.write(book, tmp_path / "b.ipynb")
    render_report(tmp_path / "b.ipynb", tmp_path / "b.html")
    html = (tmp_path / "b.html").read_text()
    assert html.count("<figcaption>A caption &lt; here.") == 2 and "<em>A caption" not in html


def test_pictures_place_marks_where_the_axes_say() -> None:
    figure = (
        go.Figure(go.Scatter(x=[0, 10], y=[0, 1], mode="markers"))
        .update_xaxes(range=[0, 10])
        .update_yaxes(range=[0, 1])
    )
    svg = as_svg(figure.update_layout(height=450))
    assert 'cx="110.0" cy="360.0"' in svg and 'cx="870.0" cy="60.0"' in svg


def test_pictures_hold_every_kind_our_figures_use_and_escape_their_words() -> None:
    traces = [
        go.Bar(x=["a", "<b>"], y=[1, None]),
        go.Histogram(x=[1, 2, 2]),
        go.Box(y=[1, 2, 3], name="a"),
        go.Violin(y=[1, 2, 3], name="a"),
        go.Heatmap(x=["a"], y=["b"], z=[[None]]),
        go.Heatmap(x=["a"], y=["b"], z=[[1.0]]),
        go.Scatter(x=["a", "b"], y=[None, 1], error_y={"array": [1, 1]}),
    ]
    for trace in traces:
        svg = as_svg(go.Figure(trace))
        assert "nan" not in svg and "<b>" not in svg, trace.type
    assert as_svg(go.Figure()).startswith("<svg")


@pytest.mark.parametrize("empty", [{}, {"x": [], "y": []}])
@pytest.mark.parametrize("kind", [go.Bar, go.Histogram, go.Box, go.Violin, go.Scatter, go.Heatmap])
def test_a_trace_without_values_is_no_obstacle(kind: type, empty: dict) -> None:
    more = {"z": []} if kind is go.Heatmap and empty else {}
    svg = as_svg(go.Figure([kind(**empty, **more), go.Bar(x=["a"], y=[1], marker_color="#123456")]))
    assert svg.count('fill="#123456"') >= 1 and "nan" not in svg
