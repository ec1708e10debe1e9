"""Carrying out grids: kept, found again, refused when damaged, the same side by side, and failures that stay
alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, RunError
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS
from moleflow_lib.studies.ablation import jobs, running
from moleflow_lib.studies.ablation.grid import planned_runs
from moleflow_lib.studies.ablation.running import run_ablation
from moleflow_lib.studies.workers import gpu_of
from tests.studies.ablation.conftest import untimed

Make = Callable[..., ExperimentConfig]


def test_rows_hold_what_is_documented(tiny_config: Make, tmp_path: Path) -> None:
    rows = run_ablation(
        planned_runs(tiny_config(ablation_orders="nut>leather", ablation_seeds=(0,))), tmp_path, jobs=1
    )
    assert [row["variation"] for row in rows] == ["preset", "dia_blocks=0", "top_k=1", "order 1"]
    documented = {
        "variation",
        "changes",
        "seed",
        "order",
        "routing",
        "seconds",
        "seconds_per_task",
        "per_task",
        "parameters",
        "lora",
        "tail",
        "device",
        "per_class",
        "per_class_oracle",
        *METRICS,
    }
    for row in rows:
        assert set(row) == documented
        assert set(row["per_class"]) == set(row["per_class_oracle"]) == set(row["tail"]) == {"leather", "nut"}
        assert sum(row["seconds_per_task"].values()) == pytest.approx(row["seconds"])
    assert rows[3]["order"] == ["nut", "leather"] == rows[3]["changes"]["classes"] and rows[0]["order"] == [
        "leather",
        "nut",
    ]
    assert rows[1]["parameters"]["dia"] == 0 < rows[0]["parameters"]["dia"] and rows[1]["changes"] == {
        "dia_blocks": 0
    }


def test_runs_are_kept_and_not_run_again(
    tiny_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = planned_runs(tiny_config(ablation_seeds=(0,)))
    rows = run_ablation(runs, tmp_path, jobs=1)
    monkeypatch.setattr(jobs, "measure", lambda *_: pytest.fail("ran again"))
    assert run_ablation(runs, tmp_path, jobs=1) == rows
    elsewhere = [
        replace(run, config=run.config.with_(ablation_jobs=3, scheduler="tcp://nowhere:1")) for run in runs
    ]
    assert run_ablation(elsewhere, tmp_path) == rows, "where a run goes is no part of its key"
    assert run_ablation(runs[::-1], tmp_path) == rows[::-1]


def test_another_setting_or_other_images_have_another_key(tiny_config: Make, tmp_path: Path) -> None:
    def keys(**changes: object) -> set[str]:
        config = tiny_config(**{"ablation_seeds": (0,), **changes})
        return {job.key for job in running._planned_jobs(planned_runs(config), tmp_path)}

    first = keys()
    assert keys() == first and len(first) == 3
    assert (
        not keys(lr=1e-4) & first
        and not keys(ablation_classes="leather,board") & first
        and keys(ablation_seeds=(0, 1)) > first
    )


def test_a_damaged_result_is_refused(tiny_config: Make, tmp_path: Path) -> None:
    runs = planned_runs(tiny_config(ablations="top_k=1", ablation_seeds=(0,)))[:1]
    run_ablation(runs, tmp_path, jobs=1)
    path = next(tmp_path.glob("*.json"))
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
    with pytest.raises(ArtifactError, match="damaged"):
        run_ablation(runs, tmp_path)


def test_side_by_side_is_the_same_and_a_failing_run_stops_no_other(tiny_config: Make, tmp_path: Path) -> None:
    runs = planned_runs(
        tiny_config(out_dir=str(tmp_path / "one"), ablation_seeds=(0,), ablation_orders="nut>leather")
    )
    alone = run_ablation(runs, tmp_path / "one" / "kept", jobs=1)
    moved = [replace(run, config=run.config.with_(out_dir=str(tmp_path / "two"))) for run in runs]
    bad = replace(moved[1], variation="hot", config=moved[1].config.with_(lr=1e30, clip_norm=0.0))
    with pytest.raises(RunError, match=r"1 of 5 ablation runs failed") as caught:
        run_ablation([bad, *moved], tmp_path / "two" / "kept", jobs=2)
    assert "hot, seed 0 (key " in str(caught.value) and "not finite" in str(caught.value)
    assert untimed(run_ablation(moved, tmp_path / "two" / "kept", jobs=2)) == untimed(alone)


def test_a_process_that_does_not_see_the_folder_says_so(tiny_config: Make, tmp_path: Path) -> None:
    (job,) = running._planned_jobs(planned_runs(tiny_config(ablation_seeds=(0,)))[:1], tmp_path)
    key, problem = jobs.carry_out(replace(job, plan=tmp_path / "elsewhere" / "plan.json"))
    assert key == job.key and "does not see" in problem and "shared file system" in problem
    _, problem = jobs.carry_out(replace(job, key="0" * 64))
    assert "other images, weights or another version" in problem and not job.path.exists()


def test_two_processes_that_need_the_same_features_and_tasks_do_not_corrupt_them(tiny_config: Make) -> None:
    config = tiny_config()
    hashes = joblib.Parallel(n_jobs=2)(joblib.delayed(_learned)(config) for _ in range(4))
    assert all(own == hashes[0] for own in hashes) and _learned(config) == hashes[0], "read back whole"


def _learned(config: ExperimentConfig) -> dict[str, str]:
    experiment = Experiment(config)
    experiment.learn()
    return experiment.hashes()


ABLATION = """
import ast, pathlib, sys
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.studies.ablation import planned_runs, run_ablation

config = ExperimentConfig.from_params(ast.literal_eval(sys.argv[1]))
run_ablation(planned_runs(config), pathlib.Path(sys.argv[2]), jobs=2)
"""


def test_workers_leave_when_the_process_that_started_them_is_killed(
    tiny_config: Make, tmp_path: Path
) -> None:
    config = tiny_config(ablation_seeds=(0, 1), epochs=100_000)
    params = {name: value for name, value in config.to_dict().items() if value != ""}
    words = [sys.executable, "-c", ABLATION, repr(params), str(tmp_path / "kept")]
    parent = subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ, "MARK": str(tmp_path)})
    own = Path(config.run.out_dir) / "store/features"
    _until(lambda: len(list(own.rglob("*.safetensors"))) == 4 and len(_marked(tmp_path)) >= 3)
    time.sleep(2)  # so that they are at work
    parent.kill()
    parent.wait()
    _until(lambda: not _marked(tmp_path), seconds=90)  # a worker that still imports looks afterwards
    assert _marked(tmp_path) == []


def _until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)


def _marked(folder: Path) -> list[str]:
    """Living processes that were started with a mark in their environment (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"MARK={folder}".encode() in (process / "environ").read_bytes()
            if marked and ") Z " not in (process / "stat").read_text():
                found.append(process.name)
        except OSError:
            continue
    return found


def test_gpus_are_shared_out_by_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert running._gpus("cuda") == ["4", "6"] and running._gpus("cpu") == running._gpus("cuda:1") == []
    assert [gpu_of(f"LokyProcess-{n}", ["4", "6"]) for n in (1, 2, 3)] == ["4", "6", "4"]
