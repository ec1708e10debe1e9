"""Continual training: exact isolation, exact resume, and no silent failure."""

from __future__ import annotations

import json
import pydoc
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, TrainingError
from moleflow_lib.experiment import Experiment
from moleflow_lib.storage.artifacts import tensors_sha256
from moleflow_lib.storage.keys import digest
from tests.conftest import TINY

Configs = Callable[..., ExperimentConfig]


def _hashes(experiment: Experiment) -> list[str]:
    detector = experiment.detector
    own = [tensors_sha256(task.flow.state_dict()) for task in detector.tasks]
    return [tensors_sha256(detector.flow.state_dict()), *own]


def test_earlier_tasks_are_bit_identical_after_later_ones(tiny_config: Configs) -> None:
    experiment = Experiment(tiny_config())
    experiment.learn(upto=1)
    patches = experiment.features(experiment.tasks[0], "test").patches
    scores, hashes = experiment.detector.patch_scores(patches, 0), _hashes(experiment)
    experiment.learn()
    assert torch.equal(experiment.detector.patch_scores(patches, 0), scores)
    assert _hashes(experiment)[:2] == hashes and experiment.unchanged() is True


def test_a_moved_bit_is_noticed(tiny_config: Configs) -> None:
    experiment = Experiment(tiny_config())
    experiment.learn()
    experiment.detector.tasks[1].flow.whitening.beta_raw.data[0] += 1e-6
    with pytest.raises(TrainingError, match="task nut changed"):
        experiment.unchanged()


def test_training_lowers_the_loss(learned: Experiment) -> None:
    for history in learned.trainer.histories:
        assert history.curves["loss"][-1] < history.curves["loss"][0] and history.steps == 2


def test_learning_again_reads_from_disk_and_gives_the_same(tiny_config: Configs, learned: Experiment) -> None:
    again = Experiment(learned.config)
    assert all(history.resumed for history in again.learn())
    assert _hashes(again) == _hashes(learned) and again.unchanged()
    patches = learned.evaluators[2].features.patches
    assert torch.equal(again.detector.patch_scores(patches, 2), learned.detector.patch_scores(patches, 2))
    assert torch.equal(
        again.detector.router.distances(patches.float().mean((1, 2))),
        learned.detector.router.distances(patches.float().mean((1, 2))),
    )


def test_a_task_does_not_depend_on_the_other_later_tasks(tiny_config: Configs, learned: Experiment) -> None:
    other = Experiment(tiny_config(classes=("leather", "board")))
    other.learn()
    assert _hashes(other)[2] == _hashes(learned)[3]


SCRIPT = """
import os, signal, sys
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.training import fit as fitting
task, call = sys.argv[1], int(sys.argv[2])
config = ExperimentConfig.from_params(eval(sys.argv[3]))
experiment = Experiment(config)
inner, seen = fitting._loss, {"calls": 0}
def deadly(*given):
    seen["calls"] += len(experiment.detector.tasks) == int(task)
    if seen["calls"] == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*given)
fitting._loss = deadly
experiment.learn()
"""


@pytest.mark.parametrize(("task", "call"), [(1, 1), (2, 2)], ids=["between tasks", "inside a task"])
def test_killed_and_continued_gives_the_same(
    tiny_config: Configs, learned: Experiment, task: int, call: int
) -> None:
    config = tiny_config()
    params = {name: value for name, value in config.to_dict().items() if value != ""}
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(task), str(call), repr(params)], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    continued = Experiment(config)
    histories = continued.learn()
    assert [history.resumed for history in histories] == [index < task for index in range(3)]
    assert _hashes(continued) == _hashes(learned)


RICH = {
    "whitening": "full",
    "score_parts": "flow,gaussian,memory",
    "image_parts": "flow,memory",
    "damaged_copies": 3,
    "memory_size": 20,
    "median_share": 0.5,
    "prototype_weight": 0.3,
    "compress_scores": True,
}
POINTS = (  # where a call is interrupted: module and name, each at its first and its second call
    "moleflow_lib.training.fit._loss",
    "moleflow_lib.training.fit._record",
    "moleflow_lib.training.trainer.save_artifact",
    "moleflow_lib.storage.artifacts.write_bytes",
    "moleflow_lib.storage.artifacts.write_json",
    "moleflow_lib.training.trainer.measured",
    "moleflow_lib.training.measure.build_memory_bank",
    "moleflow_lib.training.measure.kept_artifact",
    "moleflow_lib.training.measure._spread",
    "moleflow_lib.training.trainer.tensors_sha256",
    "moleflow_lib.scoring.detector.ContinualDetector.with_task",
    "moleflow_lib.experiment.Experiment._probe",
)


@pytest.fixture(scope="module")
def untouched(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The same sequence, never interrupted."""
    out = str(tmp_path_factory.mktemp("untouched"))
    experiment = Experiment(
        ExperimentConfig.from_params({**TINY, **RICH, "dataset_root": str(tiny_data), "out_dir": out})
    )
    experiment.learn()
    return experiment


@pytest.mark.parametrize("error", [KeyboardInterrupt, TrainingError])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_interrupted_and_run_again_in_the_same_session_is_as_if_nothing_had_happened(
    tiny_config: Configs,
    untouched: Experiment,
    point: str,
    call: int,
    error: type,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = Experiment(tiny_config(**RICH))
    for task in experiment.tasks:
        experiment.features(task, "train")
    owner, name = point.rsplit(".", 1)
    place = pydoc.locate(owner)
    inner = getattr(place, name)
    calls = []

    def interrupting(*given: object, **named: object) -> object:
        calls.append(name)
        if len(calls) == call:
            raise error(point)
        return inner(*given, **named)

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(place, name, interrupting)
        experiment.learn()
    experiment.learn()
    for one in (experiment, Experiment(experiment.config)):
        one.learn()
        assert _hashes(one) == _hashes(untouched) and one.unchanged()
        assert [task.hashes() for task in one.detector.tasks] == [
            task.hashes() for task in untouched.detector.tasks
        ]
        for task, theirs in zip(one.tasks, untouched.evaluators, strict=True):
            scores = one.detector.patch_scores(theirs.features.patches, task.index)
            assert torch.equal(scores, theirs.patch_scores(task.index))


def test_a_stored_task_that_rests_on_another_base_is_refused(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"))
    Experiment(config).learn()
    path = next(Path(config.run.out_dir).glob("store/tasks/nut-*.json"))
    facts = json.loads(path.read_text())
    facts["history"]["base_sha256"] = "0" * 64
    del facts["manifest_sha256"]
    path.write_text(json.dumps({**facts, "manifest_sha256": digest(facts)}))
    with pytest.raises(ArtifactError, match="does not rest on the base"):
        Experiment(config).learn()


def test_a_damaged_task_is_refused(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather",))
    Experiment(config).learn()
    path = next(Path(config.run.out_dir).glob("store/tasks/*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        Experiment(config).learn()


def test_a_loss_that_is_not_finite_stops_with_task_epoch_and_batch(tiny_config: Configs) -> None:
    config = tiny_config()
    Experiment(config).learn(upto=1)
    experiment = Experiment(config)
    experiment.learn(upto=1)
    features = experiment.features(experiment.tasks[1], "train")
    broken = features.patches.clone()
    broken[0] = float("inf")
    object.__setattr__(features, "lesson", broken)
    with pytest.raises(TrainingError, match=r"task nut: the loss was not finite in epoch 1, batch 1"):
        experiment.trainer.learn("nut", features)
    assert Experiment(config).learn(upto=1)[0].resumed, "the earlier task is kept"


def test_another_configuration_is_another_artifact(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather",))
    Experiment(config).learn()
    assert Experiment(config.with_(top_k=1)).learn()[0].resumed, "scores do not change what is trained"
    assert not Experiment(config.with_(lr=2e-3)).learn()[0].resumed


def test_options_act_on_training(tiny_config: Configs) -> None:
    for changes in (
        {"tail_weight": 0.0},
        {"log_det_penalty": 1e-2},
        {"identity_weight": 5.0},
        {"warmup_steps": 5},
        {"clip_norm": 0.0},
        {"schedule": "constant"},
        {"tail_scope": "batch"},
        {"use_position": False},
    ):
        base, changed = (Experiment(tiny_config(classes=("leather",), **c)) for c in ({}, changes))
        base.learn()
        changed.learn()
        assert _hashes(base) != _hashes(changed), changes


def test_reference_statistics_are_those_of_the_base_task(learned: Experiment) -> None:
    patches = learned.features(learned.tasks[0], "train").patches.double().flatten(0, 2)
    assert torch.allclose(learned.detector.reference.mean, patches.mean(dim=0))
    assert torch.allclose(learned.detector.reference.std(), patches.std(dim=0))
