"""Flows without isolation, sharing or base: what they train, what they forget, and that they come back from
disk.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.storage.artifacts import tensors_sha256
from moleflow_lib.studies.baselines.base import Baseline
from moleflow_lib.studies.baselines.flows import AdapterOnly, FineTunedFlow, FreshFlows, joined
from moleflow_lib.studies.baselines.memory_bank import MemoryBanks
from moleflow_lib.studies.baselines.padim import PositionGaussians
from moleflow_lib.training.fit import fit

KINDS = (MemoryBanks, PositionGaussians, FreshFlows, FineTunedFlow, AdapterOnly)


def _made(kind: Callable[..., Baseline], experiment: Experiment, folder: Path) -> Baseline:
    return kind(experiment.detector.dim, experiment.config, experiment.store.identity, folder)


def _taught(kind: Callable[..., Baseline], experiment: Experiment, folder: Path) -> Baseline:
    baseline = _made(kind, experiment, folder)
    for task in experiment.tasks:
        baseline.learn(task.name, experiment.features(task, "train"))
    return baseline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def taught(learned: Experiment, folder: Path) -> dict[type, Baseline]:
    """Every kind, all tasks learned."""
    return {kind: _taught(kind, learned, folder) for kind in KINDS}


def test_fine_tuning_moves_what_the_first_task_scores(learned: Experiment, taught: dict) -> None:
    patches, flow = learned.features(learned.tasks[0], "test").patches, taught[FineTunedFlow]
    states = [flow.patch_scores(patches, state) for state in range(3)]
    assert torch.equal(states[0], learned.detector.patch_scores(patches, 0)), "it starts as the method does"
    assert not torch.allclose(states[1], states[0], rtol=0.05) and not torch.allclose(
        states[2], states[1], rtol=0.05
    )
    first, last = (
        {**m.flow.state_dict(), **m.tasks[0].flow.state_dict()} for m in (flow.models[0], flow.models[2])
    )
    still = [
        name for name in first if first[name].is_floating_point() and torch.equal(first[name], last[name])
    ]
    assert not still, "nothing is frozen"


@pytest.mark.parametrize("kind", [MemoryBanks, PositionGaussians, FreshFlows, AdapterOnly])
def test_isolated_methods_keep_earlier_scores_bit_by_bit(
    kind: type, learned: Experiment, folder: Path
) -> None:
    baseline, patches = _made(kind, learned, folder), learned.features(learned.tasks[0], "test").patches
    baseline.learn("leather", learned.features(learned.tasks[0], "train"))
    before = baseline.patch_scores(patches, 0)
    for task in learned.tasks[1:]:
        baseline.learn(task.name, learned.features(task, "train"))
    assert torch.equal(baseline.patch_scores(patches, 0), before)
    assert not torch.equal(baseline.patch_scores(patches, 1), before)


def test_a_separate_flow_is_the_first_task_of_a_run_on_its_own(
    learned: Experiment, taught: dict, tmp_path
) -> None:
    alone = Experiment(learned.config.with_(classes=("nut",), out_dir=str(tmp_path)))
    alone.learn()
    patches = learned.features(learned.tasks[1], "test").patches
    assert torch.equal(taught[FreshFlows].patch_scores(patches, 1), alone.detector.patch_scores(patches, 0))


def test_the_first_separate_flow_is_read_from_the_methods_own_store(
    learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moleflow_lib.training.trainer.fit", lambda *_: pytest.fail("trained again"))
    flows = _made(FreshFlows, learned, learned.folder)
    flows.learn("leather", learned.features(learned.tasks[0], "train"))
    assert tensors_sha256(flows.models[0].flow.state_dict()) == tensors_sha256(
        learned.detector.flow.state_dict()
    )


def test_joint_training_sees_every_image_of_every_task(
    learned: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, seen = [learned.features(task, "train") for task in learned.tasks], []
    monkeypatch.setattr(
        "moleflow_lib.training.trainer.fit",
        lambda f, p, patches, *rest: seen.append(patches) or fit(f, p, patches, *rest),
    )
    flows = _made(FreshFlows, learned, folder)
    flows.learn("joint", joined(train))
    assert torch.equal(seen[0], torch.cat([f.patches for f in train])) and len(flows.models) == 1
    assert joined(train).key != joined(train[:2]).key and len(joined(train).records) == 18


def test_the_adapter_alone_shares_nothing_but_the_mixer(learned: Experiment, taught: dict) -> None:
    own = taught[AdapterOnly]
    detector = own.trainer.detector
    counts = learned.detector.value_counts()
    assert len(detector.flow.flow) == 0 and {n.split(".")[0] for n in detector.flow.state_dict()} == {"mixer"}
    assert own.footprint().shared == counts["mixer"]
    assert own.footprint().per_task == counts["whitening"] + counts["dia"]
    fresh = ContinualDetector.untrained(learned.detector.dim, own.config)
    assert not torch.equal(detector.flow.mixer.weight, fresh.flow.mixer.weight), "trained with the first task"


def test_without_an_invertible_adapter_there_is_no_adapter_alone(learned: Experiment, tmp_path) -> None:
    with pytest.raises(ConfigError, match="leave adapter_only out"):
        AdapterOnly(64, learned.config.with_(dia_blocks=0), {}, tmp_path)


def test_footprints(learned: Experiment, taught: dict) -> None:
    counts = learned.detector.value_counts()
    whole = counts["base"] + counts["global_affine"] + counts["mixer"] + counts["per_task"]
    separate = taught[FreshFlows].footprint()
    assert (separate.per_task, separate.bytes_per_task, separate.shared) == (whole, 4 * whole, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_read_back_from_disk_it_is_the_same_bit_by_bit(
    kind: type, learned: Experiment, taught: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (
        "training.trainer.fit",
        "studies.baselines.flows.fit",
        "studies.baselines.padim.fit_gaussians",
        "scoring.memory_bank.greedy_coreset",
    ):
        monkeypatch.setattr(f"moleflow_lib.{place}", lambda *_: pytest.fail("learned again"))
    again = _taught(kind, learned, folder)
    for task in learned.tasks:
        patches = learned.features(task, "test").patches
        assert torch.equal(
            again.patch_scores(patches, task.index), taught[kind].patch_scores(patches, task.index)
        )


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (MemoryBanks, "memory_bank/nut*"),
        (PositionGaussians, "padim/nut*"),
        (FineTunedFlow, "fine_tune/nut*"),
        (FreshFlows, "tasks/nut*"),
    ],
)
def test_damaged_results_are_refused(kind: type, pattern: str, learned: Experiment, tmp_path) -> None:
    _taught(kind, learned, tmp_path)
    path = next(tmp_path.glob(f"{pattern}.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        _taught(kind, learned, tmp_path)


def test_what_a_result_depends_on_is_in_its_key(learned: Experiment, tmp_path) -> None:
    train = learned.features(learned.tasks[0], "train")
    for kind, changes in (
        (MemoryBanks, {"bank_share": 0.2}),
        (MemoryBanks, {"seed": 1}),
        (FineTunedFlow, {"lr": 1e-4}),
    ):
        for config in (learned.config, learned.config.with_(**changes)):
            kind(
                learned.detector.dim, config, learned.store.identity, tmp_path / f"{kind.__name__}{changes}"
            ).learn("x", train)
        assert len(list((tmp_path / f"{kind.__name__}{changes}").rglob("*.json"))) == 2, (kind, changes)


SCRIPT = """
import os, signal, sys
from pathlib import Path
from moleflow_lib.studies.baselines import flows
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
experiment = Experiment(ExperimentConfig.from_params(eval(sys.argv[1])))
inner = flows.fit
def deadly(flow, parts, patches, options, name, base):
    if name == "board":
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(flow, parts, patches, options, name, base)
flows.fit = deadly
dim, identity = experiment.detector.dim, experiment.store.identity
own = flows.FineTunedFlow(dim, experiment.config, identity, Path(sys.argv[2]))
for task in experiment.tasks:
    own.learn(task.name, experiment.features(task, "train"))
"""


def test_killed_and_continued_gives_the_same(
    tiny_config: Callable[..., ExperimentConfig], learned: Experiment, taught: dict, tmp_path
) -> None:
    params = {name: value for name, value in tiny_config().to_dict().items() if value != "" and value != []}
    words = [sys.executable, "-c", SCRIPT, repr(params), str(tmp_path / "kept")]
    killed = subprocess.run(words, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert [path.name.split("-")[0] for path in (tmp_path / "kept" / "fine_tune").glob("*.json")] == ["nut"]
    continued = _taught(FineTunedFlow, learned, tmp_path / "kept")
    patches = learned.features(learned.tasks[0], "test").patches
    assert torch.equal(continued.patch_scores(patches, 2), taught[FineTunedFlow].patch_scores(patches, 2))
