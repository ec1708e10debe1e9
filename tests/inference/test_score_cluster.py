"""`score --scheduler`: chunks on a real Dask cluster, a killed worker among them, equal to the bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from moleflow_lib.cli import main
from moleflow_lib.errors import RunError
from moleflow_lib.inference import LearnedDetector
from moleflow_lib.reporting.scores import ScoreRequest, files, write_scores
from moleflow_lib.reporting.scores.chunks import carry_out
from moleflow_lib.reporting.scores.plan import Photo, opened_plan
from moleflow_lib.storage.keys import file_sha256
from tests.workers import dask_workers, until

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    with dask_workers(tmp_path) as address:
        yield address


def test_a_killed_worker_costs_its_chunk_alone_and_changes_no_bit(
    cluster: str, saved: Path, many: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["score", "--run", str(saved), "--out", str(out), "--device", "cpu", "--scheduler", cluster]
    with distributed.Client(cluster, set_as_default=False) as watcher, ThreadPoolExecutor(1) as pool:
        watcher.wait_for_workers(2, timeout=240)
        pids = watcher.run(os.getpid)
        done = pool.submit(main, [*words, str(many)])
        until(lambda: list(out.glob("unfinished/0*.json")) or done.done())
        victim = next(address for address, held in watcher.processing().items() if held)
        os.kill(pids[victim], signal.SIGKILL)
        assert done.result(timeout=300) == 0
        assert victim not in watcher.scheduler_info(n_workers=-1)["workers"], "it did die"
    told = [json.loads((folder / "scores.json").read_text())["images"] for folder in (out, whole)]
    assert told[0] == told[1] and len(told[0]) == 320
    maps = [
        {path.name: file_sha256(path) for path in (folder / "maps").glob("*.png")} for folder in (out, whole)
    ]
    assert maps[0] == maps[1] and (out / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()
    assert not (out / "unfinished").exists() and not list(out.rglob(".writing-*"))


def test_without_a_scheduler_nothing_is_lost(
    saved: Path, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["score", "--run", str(saved), "--out", str(tmp_path / "out"), "--device", "cpu"]
    photo = str(many / "000.png")
    assert main([*words, "--scheduler", "tcp:/nonsense", photo]) == 2
    assert "no Dask scheduler answers at tcp:/nonsense" in capsys.readouterr().err
    assert main([*words, photo]) == 0, "the folder is continued here"


@pytest.fixture
def chunks(saved: Path, many: Path, tmp_path: Path) -> list:
    """Two chunks, planned and not scored."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted(many.iterdir())[:65]:
        shutil.copy2(path, photos)
    images = [Photo(name=path.name, path=path) for path in sorted(photos.iterdir())]
    request = ScoreRequest(run=saved, out=tmp_path / "out", device="cpu")
    return list(opened_plan(request, images).chunks)


def test_a_worker_that_sees_other_files_scores_nothing(chunks: list, tmp_path: Path) -> None:
    elsewhere = replace(chunks[0].request, out=tmp_path / "elsewhere")
    assert "does not see" in carry_out(replace(chunks[0], request=elsewhere))[1]
    chunks[0].photos[3].path.unlink()
    key, problem = carry_out(chunks[0])
    assert key == "000000000" and "has another photos" in problem and not chunks[0].path.exists()
    planned = json.loads(chunks[0].request.plan.read_text())
    chunks[0].request.plan.write_text(json.dumps({**planned, "torch": "0", "detector": "x"}))
    assert "has another detector, torch than the machine" in carry_out(chunks[1])[1]


def test_a_failing_chunk_leaves_the_others(
    chunks: list, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = LearnedDetector._judged

    def full(self: LearnedDetector, images: list, *more: object) -> list:
        if images[0].name == "064.png":
            raise OSError(28, "No space left on device")
        return plain(self, images, *more)

    monkeypatch.setattr(LearnedDetector, "_judged", full)
    monkeypatch.setattr(files, "score_elsewhere", lambda some, _: dict(map(carry_out, some)))
    with pytest.raises(RunError, match=r"1 of 2 chunks (.|\n)*images from 064.png on: .*No space left"):
        write_scores(chunks[0].request, tmp_path / "photos", "tcp://127.0.0.1:1")
    assert chunks[0].path.is_file() and not (tmp_path / "out" / "scores.csv").exists()
    monkeypatch.setattr(LearnedDetector, "_judged", plain)
    assert write_scores(chunks[0].request, tmp_path / "photos")[0].total() == 65
