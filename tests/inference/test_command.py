"""`score` and `learn` as a script calls them: files, exit codes, messages."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moleflow_lib.cli import main
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, load_detector, save_detector
from moleflow_lib.storage.keys import file_sha256
from tests.conftest import TINY
from tests.reporting.cut_text import cut_texts

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<img src=x onerror=alert(1)>&'.png"


def _score(saved: Path, out: Path, *more: object) -> int:
    return main(["score", "--run", str(saved), "--out", str(out), "--device", "cpu", *map(str, more)])


@pytest.fixture(scope="module")
def photos(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two products and of an unknown one, one of them under a wicked name."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("leather", "nut", "grid"):
        for index, path in enumerate(sorted((tiny_data / name / "test").rglob("*.png"))):
            shutil.copy(path, folder / f"{name}{index}.png")
    (folder / "nut0.png").rename(folder / EVIL)
    return folder


@pytest.fixture(scope="module")
def scored(saved: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    assert _score(saved, out, photos) == 0
    return out


def test_nothing_of_the_page_is_cut_on_a_phone_a_wide_screen_or_paper(scored: Path, tmp_path: Path) -> None:
    assert cut_texts([scored / "scores.html"], tmp_path) == []


def test_tables_say_what_the_detector_says(scored: Path, loaded: LearnedDetector, photos: Path) -> None:
    found = {image.name: image for image in loaded.score(photos)}
    told = json.loads((scored / "scores.json").read_text())
    assert told["thresholds"] == loaded.thresholds(0.01) and told["false_alarm_rate"] == 0.01
    rows = list(csv.DictReader(io.StringIO((scored / "scores.csv").read_text())))
    assert len(told["images"]) == len(rows) == len(found) == 24
    for entry, row in zip(told["images"], rows, strict=True):
        image = found[entry["name"]]
        assert entry == {**image.row(), "heat_map": entry["heat_map"]}
        assert (
            float(row["score"]) == image.score
            and row["decision"] == image.decision
            and row["name"] == image.name
        )
        with Image.open(scored / entry["heat_map"]) as picture:
            assert picture.size == (2 * 56 + 12, 56 + 6)


def test_a_colour_means_the_same_whatever_else_is_scored(
    scored: Path, saved: Path, photos: Path, tmp_path: Path
) -> None:
    name = "leather3.png"
    assert _score(saved, tmp_path / "alone", photos / name) == 0
    among = next(e for e in json.loads((scored / "scores.json").read_text())["images"] if e["name"] == name)
    alone = next((tmp_path / "alone" / "maps").iterdir())
    assert alone.read_bytes() == (scored / among["heat_map"]).read_bytes()


def test_the_page_is_closed_and_its_names_are_text(scored: Path) -> None:
    html = (scored / "scores.html").read_text()
    assert "default-src 'none'" in html and "<img src=x" not in html and html.count("data:image/webp") == 24
    assert not re.search(r'(src|href)="(?!data:)', html)
    told = json.loads((scored / "scores.json").read_text())["images"]
    refused = sum(row["accepted"] is False for row in told)
    assert refused > 0 and f"{refused} accepted by no task" in html
    assert html.count('data-accepted="no"') == refused
    assert "24 images" in html and "None." in html.split("Errors</h2>")[1]


def test_the_page_filters_and_sorts_in_a_browser(scored: Path, tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("no Chromium on this machine: install it to check the page in a browser")
    html = (scored / "scores.html").read_text()
    clicks = (
        "window.scriptRan = true; const pick = document.getElementById('decision'); pick.value = 'unknown';"
        "pick.dispatchEvent(new Event('change')); document.querySelectorAll('#images th button')[1].click();"
    )
    html = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", html).replace(
        "</body>", f"<script>{clicks}</script></body>"
    )
    sealed = _seen(scored / "scores.html", tmp_path / "a")
    assert "24 of 24 shown" in sealed, "the page's own script is the one that its policy allows"
    (tmp_path / "page.html").write_text(html)
    dom = _seen(tmp_path / "page.html", tmp_path / "b")
    rows = re.findall(
        r'<tr class="(\w+)"[^>]*?( hidden="")?>\s*<td>.*?<td class="name">(.*?)</td>', dom, re.S
    )
    assert [bool(hidden) for _, hidden, _ in rows] == [
        decision != "unknown" for decision, _, _ in rows
    ] and len(rows) == 24
    assert rows[0][2] == "nut7.png" and rows[-1][2].startswith("&lt;img")


def _seen(page: Path, profile: Path) -> str:
    """The page as a browser without a network leaves it."""
    return subprocess.run(
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
            "--virtual-time-budget=4000",
            f"--user-data-dir={profile}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def test_a_name_that_no_text_can_hold_is_written_out(saved: Path, photos: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\x1b[31m.png")
    shutil.copy(photos / "nut1.png", tmp_path / odd)
    assert _score(saved, tmp_path / "out", tmp_path / odd) == 0
    told = json.loads((tmp_path / "out" / "scores.json").read_text())["images"][0]["name"]
    assert "\\x1b[31m" in told and told.isprintable()
    assert told in (tmp_path / "out" / "scores.html").read_text()


def test_bad_images_are_listed_and_the_exit_code_says_so(
    saved: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert (
        _score(saved, tmp_path / "out", tmp_path / "bad.png", photos / "nut1.png", tmp_path / "gone.png") == 1
    )
    told = json.loads((tmp_path / "out" / "scores.json").read_text())["images"]
    assert [bool(row["error"]) for row in told] == [True, False, True] and told[0]["heat_map"] == ""
    errors = (tmp_path / "out" / "scores.html").read_text().split("Errors</h2>")[1]
    assert (
        "bad.png" in errors
        and "gone.png" in errors
        and "2 images could not be scored" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--task", "screw", "{photos}"], "expected one of leather, nut, board"),
        (["--false-alarm-rate", "1.5", "{photos}"], "share between 0 and 1"),
        (["{tmp}/none"], "found nothing there"),
        (["--out", "{photos}", "{photos}"], "expected a new or empty folder"),
        (["--out", "{photos}/nut1.png", "{photos}"], "cannot be written"),
        (["--run", "{tmp}", "{photos}"], "expected detector/manifest.json"),
    ],
)
def test_requests_that_cannot_be_met(
    words: list[str], told: str, saved: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    filled = [word.format(photos=photos, tmp=tmp_path) for word in words]
    assert _score(saved, tmp_path / "out", *filled) == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error and "too few" not in error


def test_a_rate_that_few_images_cannot_promise_is_said(
    saved: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert (
        _score(saved, tmp_path / "out", photos / "nut1.png", "--task", "nut", "--false-alarm-rate", "0.2")
        == 0
    )
    assert "too few" not in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _score(saved, tmp_path / "more", photos / "nut1.png") == 0
    error = capsys.readouterr().err
    assert (
        error.count("nut, board have too few training images to promise a false-alarm rate below 0.14") == 1
    )
    assert load_detector(saved, "cpu").rate_warning(0.01) in error


def test_learn_adds_a_product(
    saved: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run / "detector")
    command = ["learn", "--run", str(run), "--dataset-root", str(tiny_data), "--device", "cpu", "--classes"]
    assert main([*command, "grid"]) == 0 and "knows leather, nut, board, grid" in capsys.readouterr().out
    assert load_detector(run, "cpu").tasks[-1] == "grid"
    assert main([*command, "grid"]) == 2 and "learned already" in capsys.readouterr().err


def test_learn_holds_images_out_where_asked(
    saved: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run / "detector")
    command = ["learn", "--run", str(run), "--dataset-root", str(tiny_data), "--device", "cpu", "--classes"]
    assert main([*command, "grid", "--calibration-folds", "6"]) == 0
    assert "The thresholds of leather, nut, board rest on images" in capsys.readouterr().err
    assert [task.folds for task in load_detector(run, "cpu").calibration.tasks] == [0, 0, 0, 6]


def test_a_third_product_with_the_first_ones_gone(tiny_data: Path, tmp_path: Path) -> None:
    root = tmp_path / "other" / "tree"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, root / name)
    photos = tmp_path / "photos"
    photos.mkdir()
    known = sorted(path for path in tiny_data.rglob("*.png") if "test" in path.parts)
    for index in range(200):
        shutil.copy(known[index % len(known)], photos / f"{index:03}.png")
    config = ExperimentConfig.from_params(
        {**TINY, "classes": "leather,nut", "dataset_root": str(root), "out_dir": str(tmp_path / "lab")}
    )
    save_detector(Experiment(config))
    run = tmp_path / "line"
    shutil.move(tmp_path / "lab" / "detector", run / "detector")
    shutil.rmtree(tmp_path / "lab")
    shutil.rmtree(root)
    assert _score(run, tmp_path / "before", photos) == 0
    learned = {path.name: path.read_bytes() for path in (run / "detector").glob("*.safetensors")}
    scored = {path: file_sha256(path) for path in (tmp_path / "before").rglob("*") if path.is_file()}
    shutil.copytree(tiny_data / "board" / "train", tmp_path / "new" / "board" / "train")
    command = ["learn", "--run", str(run), "--dataset-root", str(tmp_path / "new"), "--classes", "board"]
    assert main([*command, "--device", "cpu"]) == 0
    shutil.rmtree(tmp_path / "new")
    assert _score(run, tmp_path / "after", photos) == 0
    told = [json.loads((tmp_path / out / "scores.json").read_text())["images"] for out in ("before", "after")]
    earlier = [(old, new) for old, new in zip(*told, strict=True) if new["task"] != "board"]
    assert len(earlier) > 100 and len(told[1]) == 200
    for old, new in earlier:
        same = ("name", "task", "score", "threshold", "rank", "smallest_rate")
        assert [old[key] for key in same] == [new[key] for key in same]
        maps = [(tmp_path / out / old["heat_map"]).read_bytes() for out in ("before", "after")]
        assert maps[0] == maps[1]
    after = {path.name: path.read_bytes() for path in (run / "detector").glob("*.safetensors")}
    assert learned.items() <= after.items() and len(after) == len(learned) + 1
    assert {path: file_sha256(path) for path in scored} == scored


def test_the_public_face_is_imported_when_asked_for() -> None:
    code = (
        "import sys, moleflow_lib; assert 'torch' not in sys.modules, 'slow'; "
        "assert set(moleflow_lib.__all__) <= {*dir(moleflow_lib), '__version__'}; "
        "from moleflow_lib import Experiment, ExperimentConfig, load_detector, save_detector; "
        "assert not hasattr(moleflow_lib, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_map_is_an_array_of_the_evaluation_size(loaded: LearnedDetector, photos: Path) -> None:
    one = loaded.score(photos / "nut1.png")[0]
    assert one.map.dtype == np.float32 and one.map.shape == (56, 56)
