"""`score` in chunks: interrupted, continued, on a full disk, in bounded memory, a page that stays short."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.inference import LearnedDetector, ScoredImage
from moleflow_lib.reporting.scores import page, plan
from moleflow_lib.storage.keys import file_sha256
from tests.workers import ROOT, until

TABLES = ("scores.csv", "scores.json", "scores.html")
_LIMITED = """
import resource, sys
from moleflow_lib.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


def _words(saved: Path, out: Path, *more: object) -> list[str]:
    return ["score", "--run", str(saved), "--out", str(out), "--device", "cpu", *map(str, more)]


@pytest.fixture(scope="module")
def few(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 of them."""
    folder = tmp_path_factory.mktemp("few")
    for path in sorted(many.iterdir())[:32]:
        shutil.copy(path, folder)
    return folder


def _files(out: Path) -> dict[str, str]:
    """Every file of results but the one that holds the time, by hash."""
    names = [path for path in out.rglob("*") if path.is_file() and path.name != "scores.json"]
    return {str(path.relative_to(out)): file_sha256(path) for path in names}


def _images(out: Path) -> list[dict]:
    return json.loads((out / "scores.json").read_text())["images"]


def test_whatever_ends_it_nothing_looks_finished_and_the_same_command_continues(
    saved: Path, many: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    kept = 0
    for ending, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        command = [sys.executable, "-m", "moleflow_lib", *_words(saved, out, many)]
        chunks = lambda: len(list(out.glob("unfinished/0*.json")))  # noqa: E731
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        until(lambda: chunks() > kept)  # noqa: B023
        process.send_signal(ending)
        told = process.communicate(timeout=120)[1]
        assert process.returncode == status and not any((out / name).exists() for name in TABLES)
        assert (f"{64 * kept} of 320 images were scored before" in told) == bool(kept)
        assert "the same command continues" in told or ending != signal.SIGINT
        kept = chunks()
    times = {path: path.stat().st_mtime_ns for path in (out / "maps").iterdir()}
    (out / "maps" / ".writing-left").touch()
    assert 3 <= kept < 5 and main(_words(saved, out, many)) == 0
    assert f"{64 * kept} of 320 images were scored before" in capsys.readouterr().err
    assert _images(out) == _images(whole) and _files(out) == _files(whole)
    assert sum(path.stat().st_mtime_ns == time for path, time in times.items()) >= 64 * kept
    assert main(_words(saved, out, many)) == 2 and "expected a new or empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["rate", "photo", "detector", "maps"])
def test_another_command_does_not_continue(
    change: str, saved: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    photos = Path(shutil.copytree(tiny_data / "nut" / "test" / "good", tmp_path / "photos"))
    run = Path(shutil.copytree(saved, tmp_path / "run" / "detector"))
    out = tmp_path / "out"
    out.mkdir()
    out.joinpath("unfinished").mkdir()  # as one that was killed before its plan was whole leaves it
    stopped = pytest.MonkeyPatch()
    with stopped.context() as patch:
        patch.setattr(LearnedDetector, "_judged", _interrupted)
        assert main(_words(run, out, photos)) == 130
    more = {"rate": ["--false-alarm-rate", "0.2"], "maps": ["--heat-maps", "none"]}.get(change, [])
    if change == "photo":
        shutil.copy(tiny_data / "nut" / "test" / "good" / "000.png", photos / "999.png")
    if change == "detector":
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(manifest))
    told = {"rate": "false_alarm_rate", "photo": "photos", "detector": "detector", "maps": "heat_maps"}
    capsys.readouterr()
    assert main(_words(run, out, photos, *more)) == 2
    error = capsys.readouterr().err
    assert f"the unfinished scores of another command (other {told[change]})" in error
    assert "delete the folder" in error and not any((out / name).exists() for name in TABLES)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_full_disk_is_said_and_what_was_scored_is_kept(saved: Path, many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = _words(saved, out, many / "000.png")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, *words], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(r"out/maps/000000-000.png cannot be written: File too large", done.stderr)
    assert not list(out.rglob(".writing-*")) and not (out / "scores.json").exists()
    assert main(words) == 0 and len(_images(out)) == 1


@pytest.mark.parametrize("place", ["file", "below"])
def test_a_folder_that_cannot_be_is_said(
    place: str, saved: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" if place == "file" else tmp_path / "file" / "out"
    assert main(_words(saved, out, many)) == 2
    assert f"{out} cannot be written" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(
    saved: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert main(_words(saved, tmp_path / "closed" / "out", many)) == 2
    assert "cannot be written: permission denied" in capsys.readouterr().err


def test_two_batches_are_in_memory_however_many_images(
    saved: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[weakref.ref[ScoredImage]] = []
    most = []
    plain = LearnedDetector._scored

    def watched(*arguments: object) -> list[ScoredImage]:
        gc.collect()
        most.append(sum(one() is not None for one in seen))
        found = plain(*arguments)
        seen.extend(weakref.ref(one) for one in found)
        return found

    monkeypatch.setattr(LearnedDetector, "_scored", watched)
    assert main(_words(saved, tmp_path / "out", many, "--heat-maps", "none")) == 0
    assert len(most) == 10 and max(most) <= 32, "images of one batch at most are left when the next is scored"


def test_the_page_holds_the_most_suspicious_and_says_what_is_left_out(
    saved: Path, few: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "ROWS", 20)
    monkeypatch.setattr(page, "_PICTURES", 7)
    assert main(_words(saved, tmp_path / "out", few)) == 0
    html = (tmp_path / "out" / "scores.html").read_text()
    shown = re.findall(r'<td class="name">(.*?)</td>', html)
    rows = sorted(
        _images(whole)[:32],
        key=lambda row: (row["smallest_rate"], row["threshold"] - row["score"], row["name"]),
    )
    assert shown == [row["name"] for row in rows[:20]] and html.count("data:image/webp") == 7
    assert "the 20 most suspicious images; 12 further images left out" in html
    assert "scores.csv and scores.json hold all" in html and "Rows with pictures: 7;" in html
    assert _images(tmp_path / "out") == _images(whole)[:32]
    assert "left out" not in (whole / "scores.html").read_text()


@pytest.mark.parametrize("wanted", ["flagged", "none"])
def test_heat_maps_of_some_images_alone(
    wanted: str, saved: Path, few: Path, whole: Path, tmp_path: Path
) -> None:
    assert main(_words(saved, tmp_path / "out", few, "--heat-maps", wanted)) == 0
    flagged = [row["decision"] != "normal" and wanted == "flagged" for row in _images(whole)[:32]]
    found = _images(tmp_path / "out")
    assert [bool(row["heat_map"]) for row in found] == flagged and (wanted == "none" or 0 < sum(flagged) < 32)
    assert len(list((tmp_path / "out").rglob("*.png"))) == sum(flagged)
    drop = {"heat_map": ""}
    assert [row | drop for row in found] == [row | drop for row in _images(whole)[:32]]


def test_errors_without_end_do_not_fill_the_page(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_ERRORS", 2)
    (tmp_path / "photos").mkdir()
    for index in range(5):
        (tmp_path / "photos" / f"{index}.png").write_bytes(b"no image")
    assert main(_words(saved, tmp_path / "out", tmp_path / "photos")) == 1
    html = (tmp_path / "out" / "scores.html").read_text()
    assert html.count("<li>") == 2 and "3 further images in scores.csv" in html
    assert "5 could not be scored" in html and len(_images(tmp_path / "out")) == 5


def test_thresholds_from_trained_images_are_said(
    saved: Path, many: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(_words(saved, tmp_path / "out", many / "000.png")) == 0
    told = "thresholds of leather, nut, board rest on images that the flow was trained on"
    assert told in capsys.readouterr().err and told in (whole / "scores.html").read_text()
    facts = json.loads((whole / "scores.json").read_text())
    assert facts["calibration_folds"] == {"leather": 0, "nut": 0, "board": 0}


def test_chunks_are_whole_batches() -> None:
    assert plan._CHUNK % 32 == 0, "else a GPU would round otherwise at their borders"
