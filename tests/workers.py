"""A real Dask cluster on this machine, for tests that must lose a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def dask_workers(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers of one thread each, all on loopback."""
    file, environment = folder / "scheduler.json", {**os.environ, "PYTHONPATH": str(ROOT)}
    plain = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    workers = [["worker", *plain, "--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]] * 2
    processes = []
    with open(folder / "dask.log", "w") as log:
        for words in (["scheduler", *plain, "--port", "0"], *workers):
            command = [sys.executable, "-m", "dask", *words]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder))
        try:
            until(lambda: file.is_file() and file.stat().st_size > 0)
            yield json.loads(file.read_text())["address"]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def until(ready: Callable[[], object], seconds: float = 240) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
