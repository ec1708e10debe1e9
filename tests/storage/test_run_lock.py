"""One run a folder: the second is told who is there, and a dead one keeps nobody out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moleflow_lib.errors import BusyError
from moleflow_lib.storage import run_lock as locks
from moleflow_lib.storage.run_lock import LOCK, run_lock, turn

HOLDER = """
import pathlib, sys, time
from moleflow_lib.storage.run_lock import run_lock

with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_told_who_holds_the_folder_and_what_to_do(
    tmp_path: Path, holder: subprocess.Popen
) -> None:
    with pytest.raises(BusyError) as caught, run_lock(tmp_path):
        pass
    told = str(caught.value)
    assert str(tmp_path) in told and f"process {holder.pid} on {os.uname().nodename}" in told
    assert "since 20" in told and "another --out" in told and f"kill {holder.pid}" in told
    assert (tmp_path / LOCK).is_file(), "the holder's lock stays"


def test_a_killed_holder_keeps_nobody_out(tmp_path: Path, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == holder.pid
    with run_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_one_process_holds_it_once(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(BusyError), run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass


def _of(path: Path, **facts: object) -> None:
    path.write_text(json.dumps({"pid": 1, "host": "far", "started": "then", "kernel": "another", **facts}))


def test_a_holder_on_another_machine_counts_as_long_as_it_shows_life(tmp_path: Path) -> None:
    _of(tmp_path / LOCK)
    with pytest.raises(BusyError, match="process 1 on far .* taken over after 2 minutes, or delete it"):
        with run_lock(tmp_path):
            pass
    silent = time.time() - 130
    os.utime(tmp_path / LOCK, (silent, silent))
    with run_lock(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x"}'])
def test_a_lock_that_names_nobody_keeps_nobody_out(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    with run_lock(tmp_path):
        pass


def test_where_the_disk_knows_no_locks_the_process_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_locked", lambda _: None)
    _of(tmp_path / LOCK, kernel=locks.kernel_id(), pid=os.getppid())
    with pytest.raises(BusyError), run_lock(tmp_path):
        pass
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _of(tmp_path / LOCK, kernel=locks.kernel_id(), pid=dead.pid)
    with run_lock(tmp_path):
        pass


def test_a_holder_shows_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BEAT", 0.05)
    with run_lock(tmp_path):
        os.utime(tmp_path / LOCK, (0, 0))
        time.sleep(0.5)
        assert time.time() - (tmp_path / LOCK).stat().st_mtime < 30


def test_a_turn_waits_for_another_and_not_for_a_dead_one(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    path, order = tmp_path / ".a.lock", []

    def second() -> None:
        with turn(path):
            order.append("second")

    with turn(path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.6)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and not path.exists()
    assert capfd.readouterr().err == f"[moleflow] {path} is held by another process; waiting\n", "once"


def test_a_turn_of_a_killed_holder_is_taken_over(tmp_path: Path, holder: subprocess.Popen) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with turn(tmp_path / LOCK):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
