"""A failure stops what takes the same step, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError

from moleflow_lib.cli import main
from moleflow_lib.reporting.running.dependence import resting_on
from moleflow_lib.reporting.running.notebooks import available_notebooks

pytestmark = pytest.mark.filterwarnings(
    # papermill and its kernel client, on their own behalf
    "ignore::DeprecationWarning:papermill",
    "ignore::DeprecationWarning:jupyter_client",
    "ignore::DeprecationWarning:zmq",
)
LEARN = (
    "File /x/moleflow_lib/experiment.py:97, in \x1b[36mExperiment.learn\x1b[39m\x1b[34m(self, upto)\x1b[39m"
)
FEATURES = "File /x/moleflow_lib/experiment.py:88, in Experiment.features(self, task, split)"
OPEN = "File /x/moleflow_lib/experiment.py:50, in Experiment.__init__(self, config)"
SAVE = "File /x/moleflow_lib/inference/detector_files.py:70, in save_detector(learned, folder)"
DRAW = "File /x/moleflow_lib/reporting/figures/training.py:20, in training_curves(histories, seed)"


@pytest.mark.parametrize(
    ("failed", "source", "frames", "stopped"),
    [
        ("01", "experiment = Experiment(cfg)", [OPEN], "02 03 04"),
        ("01", 'train = [experiment.features(task, "train")]', [FEATURES], "03 04"),
        ("02", "history = experiment.learn(upto=1)[0]", [LEARN], "03 04"),
        ("02", "history = experiment.learn(upto=1)[0]", [LEARN, FEATURES], "03 04"),
        ("02", "history = experiment.learn(upto=1)[0]\ntraining_curves([history])", [DRAW], ""),
        ("03", "histories = experiment.learn()", [LEARN], "04"),
        ("03", "save_detector(experiment)", [SAVE], "04"),
        ("03", "comparison = compare(experiment, control=True)", [OPEN, LEARN], ""),
        ("00", "experiment = Experiment(cfg)\nexperiment.learn(upto=1)", [LEARN], "02 03 04"),
        ("00", "fit(flow, parts, patches)", ["File fit.py:9, in fit(flow)"], ""),
        ("04", "saved_detector(experiment)", [LEARN], ""),
    ],
)
def test_what_rests_on_a_step_is_not_run_and_what_stands_alone_is(
    failed: str, source: str, frames: list[str], stopped: str
) -> None:
    books = available_notebooks(["00", "01", "02", "03", "04", "05"])
    position = next(n for n, book in enumerate(books) if book.stem.startswith(failed))
    error = PapermillExecutionError(5, 4, source, "TrainingError", "task a: the loss", ["", *frames])
    found = resting_on(error, books[position], books[position + 1 :])
    assert [book.stem[:2] for book in found] == stopped.split()


def test_training_that_fails_in_02_is_said_once_and_03_and_04_are_not_run(
    tiny_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    words = (
        "image_size=56 eval_size=56 coupling_layers=2 lora_rank=4 dia_blocks=1 epochs=30 lr=1e30 clip_norm=0"
    )
    options = [word for option in words.split() for word in ("-p", option)]
    where = ["--preset", "v5_final", "--dataset-root", str(tiny_data), "--out", str(tmp_path)]
    given = ["--backbone", "filterbank", "--device", "cpu", "--classes", "leather,nut"]
    assert main(["run", *where, *given, "--notebooks", "02,03,04", *options]) == 1
    told, index = capfd.readouterr().err, (tmp_path / "index.html").read_text()
    assert told.count("the loss was not finite") == 1
    assert "not run, since 02_base_task failed, in a step that they take too: 03_continual_tasks, 04" in told
    assert "This run FAILED: 02_base_task." in index and index.count("Not run: 02_base_task failed") == 2
    assert not list((tmp_path / "executed").glob("0[34]*"))
    report = (tmp_path / "02_base_task.html").read_text()
    opening = report[report.index("<main>") : report.index('id="Errors"')]
    assert opening.index("This run FAILED") < opening.index("<h1") and "the loss was not finite" in opening
    assert "in the section “" in opening.split("<h1")[0]
    assert "papermill" not in opening.lower().split("<h1")[0] and "No summary" in opening
    book = json.loads((tmp_path / "executed/02_base_task.ipynb").read_text())
    assert book["metadata"]["papermill"]["exception"], "so its seconds are no guide for the next run"
