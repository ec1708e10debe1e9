"""SIGTERM is treated like Ctrl-C, and no helper process outlives the process it works for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moleflow_lib.stopping import STOPPED
from moleflow_lib.storage.disk import is_alive

IMPORTING = [sys.executable, "-m", "moleflow_lib", "params"]

STARTED = """
import sys
from moleflow_lib import cli, stopping

def forever(options):
    print("began", flush=True)
    while True:
        pass

cli._show_params = forever
stopping.stop_like_ctrl_c()
sys.exit(cli.main(["params"]))
"""

PARENT = """
import os, subprocess, sys, time
child = "import os, sys, time; from moleflow_lib.stopping import leave_with_parent; " \\
        "leave_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", child, str(os.getpid())])
time.sleep(60)
"""


def _ended(process: subprocess.Popen, number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.4, 1.0, 2.0])
def test_stopped_during_imports_says_one_sentence(number: signal.Signals, after: float) -> None:
    process = subprocess.Popen(IMPORTING, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _until_python_has_our_handler(process.pid)
    time.sleep(after)
    status, told = _ended(process, number)
    assert (status, told) in ((128 + number, f"{STOPPED}\n"), (0, "")), "stopped, or done before"


def _until_python_has_our_handler(process: int) -> None:
    """Wait until the process catches SIGTERM, bit 15 of its mask (Linux); Python's own start comes before."""
    for _ in range(600):
        status = Path(f"/proc/{process}/status")
        if not status.is_file():
            return
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_at_work_has_the_status_of_its_signal(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "began\n"
    assert _ended(process, number) == (128 + number, f"{STOPPED}\n")


def test_a_helper_leaves_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        _reap(child)
        time.sleep(0.1)
    assert not is_alive(child)


def _reap(process: int) -> None:
    """A grandchild is nobody's zombie, except where this test runs as the system's first process."""
    try:
        os.waitpid(process, os.WNOHANG)
    except ChildProcessError:
        return
