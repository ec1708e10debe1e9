"""A real Dask cluster on this machine: the same numbers as here, and a killed worker costs nothing but its
own run.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, RunError
from moleflow_lib.studies.ablation import cluster as cluster_module
from moleflow_lib.studies.ablation import running
from moleflow_lib.studies.ablation.cluster import Cluster
from moleflow_lib.studies.ablation.grid import planned_runs
from moleflow_lib.studies.ablation.running import run_ablation
from tests.studies.ablation.conftest import untimed
from tests.workers import ROOT, dask_workers, until

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with two workers of one thread each, all on loopback."""
    with dask_workers(tmp_path) as address:
        yield address


def test_a_killed_worker_costs_its_own_run_alone_and_a_failing_run_no_other(
    cluster: str, tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    runs = planned_runs(
        tiny_config(ablations="dia_blocks=0; use_mixer=false; lora_rank=0", out_dir=str(tmp_path / "here"))
    )
    assert len(runs) == 8
    here = run_ablation(runs, tmp_path / "here" / "kept", jobs=1)
    there = [replace(run, config=run.config.with_(out_dir=str(tmp_path / "there"))) for run in runs]
    bad = replace(there[0], variation="hot", config=there[0].config.with_(lr=1e30, clip_norm=0.0))
    with distributed.Client(cluster, set_as_default=False) as watcher, ThreadPoolExecutor(1) as pool:
        watcher.wait_for_workers(2, timeout=240)
        pids = watcher.run(os.getpid)
        done = pool.submit(run_ablation, [bad, *there], tmp_path / "there" / "kept", scheduler=cluster)
        until(lambda: list((tmp_path / "there" / "kept").glob("*.json")))
        victim = next(address for address, held in watcher.processing().items() if held)
        os.kill(pids[victim], signal.SIGKILL)
        with pytest.raises(RunError, match=r"1 of 9 (.|\n)*hot, seed 0 \(key .*not finite"):
            done.result(timeout=300)
        assert victim not in watcher.scheduler_info(n_workers=-1)["workers"], "it did die"
    assert len(list((tmp_path / "there" / "kept").glob("*.json"))) == 8
    assert untimed(run_ablation(there, tmp_path / "there" / "kept")) == untimed(here), (
        "bit by bit, whoever carried them"
    )


def test_no_workers_left_is_said_in_the_end(
    cluster: str, tiny_config: Callable[..., ExperimentConfig], tmp_path: Path
) -> None:
    with distributed.Client(cluster, set_as_default=False) as watcher:
        watcher.wait_for_workers(2, timeout=240)
        connection = Cluster(cluster, patience=1)
        pids = watcher.run(os.getpid)
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: not watcher.scheduler_info(n_workers=-1)["workers"])
        jobs_ = running._planned_jobs(planned_runs(tiny_config(ablation_seeds=(0,)))[:1], tmp_path)
        assert [problem for _, problem in connection.outcomes(jobs_)][0].startswith("no worker was left")
        connection.close()
        assert [key for key, problem in connection.outcomes(jobs_) if "was lost" in problem] == [jobs_[0].key]
        with pytest.raises(ConfigError, match="has no workers"):
            Cluster(cluster)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_no_scheduler_is_said_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_ANSWER", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers"):
        Cluster(address)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"moleflow-notebooks\[distributed\]"):
        Cluster("tcp://127.0.0.1:8786")


class _Answers:
    """A scheduler that answers and has one worker."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def scheduler_info(self, n_workers: int) -> dict:
        return {"workers": {"a": {"nthreads": 1}}}


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.7:8786", True),
        ("tcp://scheduler.example:8786", True),
        ("tls://10.0.0.7:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
    ],
)
def test_an_open_scheduler_is_warned_of(
    address: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(distributed, "Client", _Answers)
    Cluster(address)
    told = capfd.readouterr().err
    assert ("runs whatever code reaches its port; use TLS" in told) == warned


def test_no_command_of_the_documentation_opens_a_port() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text().splitlines()]
    commands = [line for line in lines if line.lstrip().startswith(("dask scheduler", "dask worker"))]
    assert len(commands) >= 2
    for command in commands:
        assert re.search(r"--host (127\.0\.0\.1|localhost)\b|tls://|--tls-ca-file|--protocol tls", command), (
            command
        )
