"""The real runner on tiny data: all notebooks, their reports and numbers, and what happens when one fails."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from moleflow_lib.cli import main
from moleflow_lib.config import BASELINES, ExperimentConfig
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.running import notebooks
from moleflow_lib.reporting.running.notebooks import NOTEBOOKS, available_notebooks
from moleflow_lib.reporting.running.runner import run_notebooks
from moleflow_lib.storage.keys import file_sha256
from tests.conftest import TINY
from tests.reporting.cut_text import cut_texts

pytestmark = pytest.mark.filterwarnings(
    # papermill and its kernel client, on their own behalf
    "ignore::DeprecationWarning:papermill",
    "ignore::DeprecationWarning:jupyter_client",
    "ignore::DeprecationWarning:zmq",
)


@pytest.fixture(scope="module")
def params(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    control = "random:vit_tiny_patch16_224"
    out = tmp_path_factory.mktemp("run")
    return {
        **TINY,
        "dataset_root": str(tiny_data),
        "out_dir": str(out),
        "control_backbone": control,
        "image_size": 112,
        "classes": ["leather", "nut", "board"],
    }


@pytest.fixture(scope="module")
def run(params: dict[str, object]) -> Path:
    """All notebooks once, the quickstart too; the folder they left."""
    assert run_notebooks(_plain(params), available_notebooks(["00", *_numbers()])) == 0
    return Path(str(params["out_dir"]))


def _numbers() -> list[str]:
    return [book.stem[:2] for book in available_notebooks()]


def test_a_run_leaves_out_the_quickstart_which_measures_nothing_unless_it_is_named() -> None:
    assert _numbers() == ["01", "02", "03", "04", "05"]
    assert [book.stem for book in available_notebooks(["0"])] == ["00_quickstart"]


def _plain(params: dict[str, object]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in params.items()}


def _result(run: Path, name: str) -> dict:
    return json.loads((run / f"{name}.result.json").read_text())


def test_every_notebook_leaves_report_result_and_executed_copy(run: Path) -> None:
    for book in NOTEBOOKS.glob("*.ipynb"):
        assert (run / f"{book.stem}.html").stat().st_size > 20_000
        assert (run / "executed" / book.name).is_file()
        result = _result(run, book.stem)
        assert result["schema"] == 1 and result["summary_text"] and result["config"]["preset"] == "demo"
        assert result["provenance"]["torch"] and result["provenance"]["device"] == "cpu"
    index = (run / "index.html").read_text()
    assert "All notebooks of this run finished" in index
    page = "03_continual_tasks.images.html"
    linked = [index, (run / "03_continual_tasks.html").read_text()]
    assert (run / page).is_file() and all(f'href="{page}"' in html for html in linked)


def _dead_links(run: Path) -> list[str]:
    """Links of all pages of a folder that lead to no file and no place, or to a place that is there twice."""
    pages = {page.name: page.read_text() for page in run.glob("*.html")}
    found = []
    for name, html in pages.items():
        for link in map(unescape, re.findall(r'<a [^>]*?href="([^"]*)"', html)):
            file, _, place = unquote(link).partition("#")
            aims = re.findall(rf'id="{re.escape(place)}"', pages.get(file or name, "")) if place else [""]
            if not link.startswith(("data:", "https:")) and not ((run / file).exists() and len(aims) == 1):
                found.append(f"{name}: {link}")
    return found


def test_every_link_of_every_page_leads_somewhere(run: Path, tmp_path: Path) -> None:
    assert _dead_links(run) == []
    (tmp_path / "a.html").write_text('<p id="b"><a href="#b">1</a> <a href="#c">2</a> <a href="d.html">3</a>')
    assert _dead_links(tmp_path) == ["a.html: #c", "a.html: d.html"], "a dead link would be found"


def test_the_index_tells_the_story_of_the_run(run: Path) -> None:
    html = (run / "index.html").read_text()
    result = _result(run, "03_continual_tasks")
    story = html[html.index('<section class="summary">') : html.index("Notebook by notebook")]
    assert html.count('<section class="summary">') == 1 and "after learning" in story
    assert [tile["label"] for tile in result["tiles"]][:4] == [
        "image AUROC",
        "pixel AP",
        "AUPRO",
        "forgetting, image AUROC",
    ]
    for tile in result["tiles"]:
        assert f"<span>{tile['label']}</span><b>{tile['value']:.3f}</b>" in story and tile["against"] in story
    assert story.count("best baseline: ") == 3 and story.count("Gaussian ") >= 3
    for what in ("Clearest detection", "Worst miss", "Worst false alarm"):
        assert f"<h3>{what}</h3>" in story
    assert "data:image/webp;base64," in story, "at least one of them, and the colour bar"


def test_nothing_is_cut_on_a_phone_a_wide_screen_or_paper(run: Path, tmp_path: Path) -> None:
    pages = sorted(run.glob("*.html"))
    assert len(pages) == 8, "six reports, the index, all test images"
    assert cut_texts(pages, tmp_path) == []


def test_a_run_stores_no_picture_as_png_or_jpeg_and_plotly_once_and_packed(run: Path) -> None:
    pages = "".join(page.read_text() for page in run.glob("*.html"))
    assert "data:image/webp;base64," in pages and not re.search("data:image/(png|jpeg)", pages)
    assert "plotly.js v" not in pages and (run / "plotly.min.js").stat().st_size < 2.1e6


def test_documented_keys_of_00(run: Path) -> None:
    result = _result(run, "00_quickstart")
    assert (result["task"], result["second_task"]) == ("leather", "board")
    assert result["unchanged"] is True and len(result["loss"]) == 2 and len(result["routed_right"]) == 2
    assert set(result["library"]) == set(METRICS)


def test_documented_keys_of_01(run: Path) -> None:
    result = _result(run, "01_feature_extraction")
    assert set(result["classes"]) == {"leather", "nut", "board"} and result["classes"]["nut"]["train"] == 6
    assert set(result["backbone"]) >= {"tag", "weights_sha256", "feature_dim", "grid"}
    assert result["backbone"]["grid"] == [14, 14] and result["images_per_second"] > 0


def test_documented_keys_of_02(run: Path) -> None:
    result = _result(run, "02_base_task")
    assert set(result["parameters"]) >= {"base", "mixer", "lora", "task_bias", "whitening", "dia", "per_task"}
    assert set(result["metrics"]) == set(METRICS)


def test_documented_keys_of_03(run: Path) -> None:
    result = _result(run, "03_continual_tasks")
    assert result["classes"] == ["leather", "nut", "board"] and result["unchanged"] is True
    kept = run / result["test_images"]["file"]
    assert file_sha256(kept) == result["test_images"]["sha256"]
    assert [task["name"] for task in json.loads(kept.read_text())["tasks"]] == result["classes"]
    for metric in METRICS:
        for way in ("oracle", "routed"):
            matrix = result["R"][metric][way]
            assert [[v is None for v in row] for row in matrix] == [
                [j > i for j in range(3)] for i in range(3)
            ]
            summary = result["summary"][metric][way]
            assert set(summary) >= {"acc", "fm_max", "fm_first", "bwt", "gap_to_separate"}
            assert math.isclose(summary["acc"], sum(matrix[2]) / 3, rel_tol=1e-9)
    assert 0 <= result["routing"]["accuracy"] <= 1 and len(result["routing"]["confusion"]) == 3
    assert set(result["seconds"]) == set(result["classes"]) and result["control"]["backbone"].startswith(
        "random:"
    )


def test_the_baselines_of_03(run: Path) -> None:
    result = _result(run, "03_continual_tasks")
    assert set(result["baselines"]) == set(BASELINES) and result["comparison_seeds"] == [0]
    assert set(result["baseline_summary"]) == set(result["baseline_costs"]) == {"moleflow", *BASELINES}
    for name in BASELINES:
        for metric in METRICS:
            for way in ("oracle", "routed"):
                values = result["baselines"][name][metric][way]
                assert len(values) == 3 and all(0 <= value <= 1 for value in values)
                summary = result["baseline_summary"][name][metric][way]
                assert (
                    math.isclose(summary["acc"], sum(values) / 3, rel_tol=1e-9)
                    and len(summary["interval"]) == 2
                )
                difference = result["baseline_differences"][name][metric][way]
                own = result["baseline_summary"]["moleflow"][metric][way]["acc"]
                assert math.isclose(difference["value"], own - summary["acc"], abs_tol=1e-9)
    separate, gap = (
        result["baselines"]["separate"]["aupro"]["oracle"],
        result["summary"]["aupro"]["routed"]["gap_to_separate"],
    )
    assert math.isclose(gap, (sum(separate) - sum(result["R"]["aupro"]["routed"][2])) / 3, abs_tol=1e-9)
    assert "Against baselines" in (run / "03_continual_tasks.html").read_text()


def test_documented_keys_of_04_and_05(run: Path) -> None:
    router = _result(run, "04_router_analysis")
    kinds = {"ridge", "ledoit_wolf", "oas", "tied", "diagonal", "euclidean"}
    tables = (
        "variants",
        "training_evidence",
        "sample_size",
        "small_task",
        "reserve",
        "number_of_tasks",
        "calibration",
        "unknown",
    )
    for table in tables:
        assert {row["variant"] for row in router[table]} == kinds, table
    for row in router["variants"]:
        assert {"accuracy", "accuracy_low", "accuracy_high", "condition_number"} <= set(row)
        assert {*METRICS, *(f"{m}_lost" for m in METRICS)} <= set(row)
    assert (
        router["recommendation"]["covariance"] in kinds
        and f"`{router['recommendation']['covariance']}`" in router["summary_text"][0]
        and router["recommendation"]["text"] in router["summary_text"][1]
    )
    assert (
        len(router["pairs"]) == 3
        and set(router["pairs"][0]["error"]) == kinds
        and len(router["wrong_route_cost"]) == 9
    )
    assert [row["task"] for row in router["misrouted"]] == router["classes"] and 0 < len(
        router["close_calls"]
    ) <= 8
    assert router["router_accept"] == 0.95 and router["smallest_margin"] > 0
    result = _result(run, "05_ablations")
    rows = result["rows"]
    assert {(row["variation"], row["seed"]) for row in rows} == {
        (s, n) for s in ("preset", "dia_blocks=0", "top_k=1") for n in (0, 1)
    }
    assert all({"changes", "order", "seconds_per_task", "parameters", *METRICS} <= set(row) for row in rows)
    assert set(result["differences"]) == set(result["orders"]) == set(METRICS)
    assert [row["without"] for row in result["parts"]] == ["dia_blocks=0"] and result["public_record"][0][
        "variation"
    ] == "dia_blocks=0"
    assert len(result["lora"]) == 2 * 2 * 2, "two tasks, two blocks, two layers"


def _papermill(name: str, out: Path, params: dict[str, object], **changes: object) -> list[str]:
    """The plain command for one notebook, without the runner."""
    words = [sys.executable, "-m", "papermill", str(NOTEBOOKS / f"{name}.ipynb"), str(out / "out.ipynb")]
    for option, value in {**_plain(params), "out_dir": str(out), **changes}.items():
        words += [] if isinstance(value, list) else ["-p", option, str(value)]
    return words


def test_the_plain_papermill_command_and_an_injected_parameter(
    run: Path, params: dict, tmp_path: Path
) -> None:
    words = _papermill("02_base_task", tmp_path, params, classes="leather", epochs=1)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert _result(tmp_path, "02_base_task")["config"]["epochs"] == 1
    refused = subprocess.run([*words, "-p", "epochz", "3"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0 and "did you mean 'epochs'" in refused.stderr


def test_a_session_beside_a_published_quickstart_leaves_its_numbers_alone(
    run: Path, params: dict, tmp_path: Path
) -> None:
    published = [f"00_quickstart.{ending}" for ending in ("html", "result.json")]
    for name in published:
        shutil.copy(run / name, tmp_path / name)
    words = _papermill("00_quickstart", tmp_path, params, classes="leather,nut", epochs=1)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all((tmp_path / name).read_bytes() == (run / name).read_bytes() for name in published)
    assert _result(tmp_path, "00_quickstart.interactive")["second_task"] == "nut"


def test_a_failing_notebook_fails_the_run_and_says_so_on_top(
    params: dict, tmp_path: Path, monkeypatch
) -> None:
    for book in NOTEBOOKS.glob("0[12]*.ipynb"):
        content = nbformat.read(book, as_version=4)
        if book.stem == "01_feature_extraction":
            content.cells.insert(6, nbformat.v4.new_code_cell("raise RuntimeError('the lamp broke')"))
        nbformat.write(content, tmp_path / book.name)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "01_feature_extraction.html").write_text("an old success")
    stale = [f"01_feature_extraction.{ending}" for ending in ("result.json", "images.csv", "images.html")]
    for name in stale:
        (out / name).write_text("{}")
    changed = {**_plain(params), "out_dir": str(out), "classes": ["leather"]}
    assert run_notebooks(changed, available_notebooks()) == 1
    report, index = (out / "01_feature_extraction.html").read_text(), (out / "index.html").read_text()
    assert "This run FAILED" in report and "the lamp broke" in report and "an old success" not in report
    assert report.index("This run FAILED") < report.index('id="Errors"')
    assert "This run FAILED" in index and "the lamp broke" in index
    assert not any((out / name).exists() for name in stale)
    assert (out / "02_base_task.result.json").is_file(), "the notebooks stand alone"


def test_a_killed_run_says_that_it_is_not_finished(tiny_data: Path, tmp_path: Path) -> None:
    words = [
        "run",
        "--preset",
        "demo",
        "--dataset-root",
        str(tiny_data),
        "--out",
        str(tmp_path),
        "-p",
        "epochs=5000",
        "--classes",
        "leather",
        "--notebooks",
        "02",
        "-p",
        "image_size=56",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "moleflow_lib", *words], stderr=subprocess.DEVNULL, start_new_session=True
    )
    index = tmp_path / "index.html"
    for _ in range(600):
        if index.is_file() and (tmp_path / "executed" / "02_base_task.ipynb").is_file():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "This run is not finished" in index.read_text()
    assert not (tmp_path / "02_base_task.result.json").exists()


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (["-p", "lrr=1"], "did you mean 'lr'"),
        (["-p", "epochs=many"], "epochs: expected a whole number"),
        (["-p", "epochs"], "expected name=value"),
        (["--notebooks", "09"], "no notebook 09"),
        (["--preset", "v9"], "unknown preset 'v9'"),
        (["--classes", "lether"], "lether"),
        (["--dataset-root", "nowhere"], "nowhere"),
        (["--backbone", "resnet_nonsense"], "timm knows no model"),
        (
            ["--backbone", "vit_tiny_patch16_224", "--backbone-weights", "missing.safetensors"],
            "missing.safetensors",
        ),
        (["--device", "cuda:9"], "no GPU here"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers at tcp://127.0.0.1:1"),
        (["-p", "ablation_orders=nut>leather"], "expected each of grid, nut once"),
        (["-p", "ablations=no_such=1"], "unknown parameter 'no_such'"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(
    tiny_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture, extra: list[str], told: str
) -> None:
    out = tmp_path / "out"
    words = [
        "run",
        "--preset",
        "demo",
        "--dataset-root",
        str(tiny_data),
        "--out",
        str(out),
        "-p",
        "image_size=56",
    ]
    assert main([*words, *extra]) == 2
    assert told in capfd.readouterr().err and not out.exists()


def test_params_lists_every_option(capfd: pytest.CaptureFixture) -> None:
    assert main(["params", "--preset", "demo"]) == 0
    assert set(ExperimentConfig().to_dict()) == {
        line.split()[0] for line in capfd.readouterr().out.splitlines() if line.startswith("  ")
    }
