"""`compare` as its user meets it: files, exit codes, and a page that works in a browser."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.metrics import METRICS
from tests.reporting.compare.test_finished import edited
from tests.reporting.cut_text import cut_texts
from tests.reporting.pages.test_report import WATCH, _asked_for, _dom
from tests.reporting.test_hostile_text import IMAGE, NAMES, _dangers, _live


def _compare(out: Path, *words: object) -> int:
    return main(["compare", *map(str, words), "--out", str(out)])


@pytest.fixture(scope="module")
def out(reference: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared") / "out"
    assert _compare(folder, reference, other) == 0
    return folder


@pytest.fixture
def html(out: Path) -> str:
    return (out / "compare.html").read_text()


def _rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "compare.csv").read_text())))


def test_one_page_and_one_table_and_nothing_else(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["compare.csv", "compare.html"]


def test_the_table_holds_every_option_metric_and_image(out: Path) -> None:
    rows = _rows(out)
    assert {(row["name"], row["run"], row["value"]) for row in rows if row["kind"] == "option"} == {
        ("lora_rank", "first", "4"),
        ("lora_rank", "second", "2"),
        ("seed", "first", "0"),
        ("seed", "second", "1"),
    }
    metrics = [row for row in rows if row["kind"] == "metric"]
    assert len(metrics) == len(METRICS) * 3 * 2 and {row["name"] for row in metrics} == set(METRICS)
    for own, other in zip(metrics[::2], metrics[1::2], strict=True):
        assert float(other["difference"]) == float(other["value"]) - float(own["value"])
        assert float(other["difference_low"]) <= float(other["difference_high"]) and own["difference"] == ""
    assert (
        sum(row["kind"] == "rank" for row in rows) == sum(row["kind"] == "normalised" for row in rows) == 32
    )


def test_the_page_says_the_answer_first_and_shows_only_options_that_differ(html: str) -> None:
    body = html[html.index("<main>") :]
    places = [
        body.index(text)
        for text in (
            "second minus first: image AUROC",
            "Contents",
            "lora_rank",
            "Metrics</h2>",
            "mean of tasks",
            "Errors</h2>",
        )
    ]
    assert places == sorted(places) and "coupling_layers" not in body and "None." in body


def test_links_lead_somewhere_and_pictures_are_in_the_page(html: str) -> None:
    places = re.findall(r'id="([^"]+)"', html)
    links = re.findall(r'href="#([^"]+)"', html)
    assert len(links) >= 13 and set(links) <= set(places) and len(places) == len(set(places))
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert html.count("data:image/svg+xml") == 3
    cases = html.count('class="mf-case"')
    assert cases == 8 and html.count(">first</span></div>") == html.count(">second</span></div>") == cases
    assert "fewer than 1 in" in html


def _with_script(html: str, script: str) -> str:
    """The page with a script of the test's own at its end, which its policy allows beside the page's."""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    opened = html.replace("script-src ", f"script-src 'sha256-{allowed}' ", 1)
    return opened.replace("</body>", f"<script>{script}</script></body>")


def test_in_a_browser_no_request_leaves(html: str, tmp_path: Path) -> None:
    watch = re.search(r"<script>(.*)</script>", WATCH, re.DOTALL).group(1)
    (tmp_path / "page.html").write_text(_with_script(html, watch))
    assert _asked_for(_dom(tmp_path / "page.html", tmp_path)) == []
    spied = html.replace("<main>", '<main><img src="http://outside.invalid/spy.png">')
    (tmp_path / "page.html").write_text(_with_script(spied, watch))
    assert "http://outside.invalid/spy.png" in _asked_for(_dom(tmp_path / "page.html", tmp_path))


def test_in_a_browser_differences_sort_and_the_mean_stays_last(html: str, tmp_path: Path) -> None:
    script = (
        "const tables = [...document.querySelectorAll('table.sortable')];"
        "const table = tables.find((t) => t.textContent.includes('second − first'));"
        "const [head] = [...table.querySelectorAll('th button')].slice(-1);"
        "const read = () => [...table.tBodies[0].rows].map((row) => row.cells[3].textContent);"
        "head.click(); const down = read(); head.click();"
        "document.documentElement.dataset.seen = JSON.stringify([down, read()]);"
    )
    (tmp_path / "page.html").write_text(_with_script(html, script))
    dom = _dom(tmp_path / "page.html", tmp_path)
    down, up = json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom).group(1)))
    assert float(down[0].split()[0]) > float(down[1].split()[0]), "the page's own script ran"
    assert up == [down[1], down[0], down[2]]


def test_nothing_is_cut_on_a_phone_a_wide_screen_or_paper(out: Path, tmp_path: Path) -> None:
    assert cut_texts([out / "compare.html"], tmp_path) == []


def test_the_page_has_a_look_for_the_night(html: str, tmp_path: Path) -> None:
    script = (
        "const look = (e) => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color];"
        "document.documentElement.dataset.seen = JSON.stringify([look(document.body),"
        "look(document.querySelector('th'))]);"
    )
    (tmp_path / "page.html").write_text(
        _with_script(html.replace("(prefers-color-scheme: dark)", "all"), script)
    )
    dom = _dom(tmp_path / "page.html", tmp_path)
    (paper, ink), (head, _) = json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom).group(1)))
    assert (paper, ink, head) == ("rgb(20, 24, 29)", "rgb(221, 227, 234)", "rgb(29, 35, 42)")
    assert '<meta name="color-scheme" content="light dark">' in html


def test_hostile_names_stay_text(reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    name = " ".join(NAMES)
    evil = Path(shutil.copytree(reference, tmp_path / IMAGE))
    more = Path(shutil.copytree(reference, tmp_path / "=1+1"))

    def change(record: dict, rank: float) -> None:
        record["tasks"][0]["name"] = name
        for image in record["tasks"][0]["images"]:
            image.update(product=name, defect="=d\x1b[31m", chosen=name, rank=rank)

    edited(evil, lambda record: change(record, 0.0), lambda result: result["config"].update(preset=name))
    edited(more, lambda record: change(record, 1.0), lambda result: result["config"].update(backbone=name))
    assert _compare(tmp_path / "out", evil, more) == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    title, dom = _live(html, tmp_path)
    assert title == "MoLE-Flow: 2 runs side by side" and _dangers(dom) == [] and "onerror" in dom
    assert "\x1b" not in html + (tmp_path / "out" / "compare.csv").read_text() + capsys.readouterr().err
    assert {row["run"] for row in _rows(tmp_path / "out")} == {IMAGE, "'=1+1"}


def test_without_the_images_numbers_stay_and_the_page_says_why_there_are_no_maps(
    reference: Path, other: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    moved = Path(shutil.copytree(other, tmp_path / "moved"))
    edited(moved, of_result=lambda result: result["config"].update(dataset_root=str(tmp_path / "gone")))
    assert _compare(tmp_path / "out", reference, moved) == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    assert "No heat maps: " in html and "mf-case" not in html and "gone" in capsys.readouterr().err
    assert "gone" in html.split("Errors</h2>")[1]
    assert len(_rows(tmp_path / "out")) > 42
    assert _compare(tmp_path / "again", reference, moved, "--dataset-root", tiny_data) == 0
    assert "mf-case" in (tmp_path / "again" / "compare.html").read_text()


def test_maps_of_a_run_with_damaged_copies_are_shown(
    reference: Path, finished: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    copies = finished("copies", damaged_copies=3)
    assert _compare(tmp_path / "out", reference, copies) == 0
    assert "no heat maps" not in capsys.readouterr().err


def test_features_are_never_extracted_anew(
    reference: Path, copied: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.rmtree(copied / "store")
    assert _compare(tmp_path / "out", other, copied) == 0
    assert "holds no features of" in capsys.readouterr().err and not (copied / "store").exists()


def test_a_folder_that_holds_something_is_left_alone(
    reference: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert _compare(tmp_path, reference, other) == 2
    assert "holds something already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert _compare(tmp_path / "kept.txt", reference, other) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_three_runs_and_folders_of_one_name(
    reference: Path, other: Path, copied: Path, tmp_path: Path
) -> None:
    named = Path(shutil.copytree(copied, tmp_path / "x" / "first"))
    task = Path(shutil.copytree(copied, tmp_path / "task"))
    assert _compare(tmp_path / "out", reference, other, named, task) == 0
    runs = {row["run"] for row in _rows(tmp_path / "out")}
    assert runs == {str(reference), str(other), str(named), str(task)}
    assert _compare(tmp_path / "two", reference, reference) == 0
    assert {row["run"] for row in _rows(tmp_path / "two")} == {f"1: {reference}", f"2: {reference}"}


def test_the_maps_of_equal_runs_are_equal(reference: Path, copied: Path, tmp_path: Path) -> None:
    edited(copied, lambda record: record["tasks"][0]["images"][0].update(rank=-1.0))
    assert _compare(tmp_path / "out", reference, copied) == 0
    html = (tmp_path / "out" / "compare.html").read_text()
    maps = re.findall(r'src="(data:image/webp[^"]*)"></label><span>(first|copied)</span>', html)
    assert [name for _, name in maps] == ["first", "copied"] and maps[0][0] == maps[1][0]
