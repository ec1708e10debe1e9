"""Methods side by side in worker processes: the same numbers, failures that are told, nothing left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from moleflow_lib.config import BASELINES, BaselineEntry, ExperimentConfig
from moleflow_lib.datasets.image_files import ImageFault
from moleflow_lib.errors import ArtifactError, RunError
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS
from moleflow_lib.storage.disk import is_alive
from moleflow_lib.studies.baselines import comparison as comparing
from moleflow_lib.studies.baselines.base import Footprint, PatchBaseline
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison, compare
from moleflow_lib.studies.workers import side_by_side

Make = Callable[..., ExperimentConfig]
SIMPLE = {"classes": ("leather", "nut"), "control_backbone": "filterbank", "epochs": 1}


def _same(one: Comparison, other: Comparison) -> bool:
    """Whether two comparisons agree to the bit in all but seconds."""
    assert list(one.runs) == list(other.runs) and one.seeds == other.seeds
    pairs = [pair for name in one.runs for pair in zip(one.runs[name], other.runs[name], strict=True)]
    drawn = [
        (mine, yours)
        for a, b in pairs
        for metric in METRICS
        for way in ("oracle", "routed")
        for mine, yours in zip(a.replicates[metric][way], b.replicates[metric][way], strict=True)
    ]
    maps = [maps for a, b in pairs for maps in zip(a.patch_scores, b.patch_scores, strict=True)]
    return (
        one.control == other.control
        and all(a.result == b.result for a, b in pairs)
        and all(a is b is None or np.array_equal(a, b, equal_nan=True) for a, b in drawn)
        and all(torch.equal(a, b) for a, b in maps)
        and all(len(one.patch_scores(name)) == 2 for name in one.others)
    )


def test_any_number_of_workers_gives_the_same_bits_and_what_is_finished_is_read_back(
    tiny_config: Make, tmp_path: Path
) -> None:
    made = {**SIMPLE, "baselines": ("padim", "fine_tune"), "comparison_seeds": (0, 1)}
    alone, two = (
        compare(
            Experiment(tiny_config(**made, out_dir=str(tmp_path / out), ablation_jobs=jobs)), control=True
        )
        for out, jobs in (("one", 1), ("two", 2))
    )
    assert _same(alone, two) and alone.control is not None
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "two/store").rglob("*.safetensors")}
    again = compare(Experiment(tiny_config(**made, out_dir=str(tmp_path / "two"), ablation_jobs=2)))
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items()) and again.control is None
    for name in two.runs:
        assert again.costs(name)["learn_seconds"] == two.costs(name)["learn_seconds"] > 0
        assert again.costs(name)["score_seconds"] > 0


def test_what_a_worker_raises_is_raised_here(tiny_config: Make, tmp_path: Path) -> None:
    config = tiny_config(**SIMPLE, baselines=("padim", "gaussian"), ablation_jobs=2)
    compare(Experiment(config.with_(ablation_jobs=1)))
    for path in Path(config.run.out_dir).rglob("store/padim/*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(ArtifactError, match=r"padim.*is damaged"):
        compare(Experiment(config))


def _refuse(path: Path) -> None:
    raise ImageFault(path, "truncated", "is cut off", "fetch it again")


def test_an_error_keeps_its_message_on_the_way() -> None:
    with pytest.raises(ImageFault, match=r"a\.png is cut off; fetch it again"), side_by_side(1) as carry:
        next(carry(_refuse, [Path("a.png")] * 2))


def test_a_worker_that_dies_is_told() -> None:
    with side_by_side(1) as carry:
        for _ in range(2):  # and whoever asks again is told again
            with pytest.raises(RunError, match="fewer ablation_jobs"):
                list(carry(os._exit, [1, 1]))


class _Constant(PatchBaseline):
    """Learns nothing, and notes where."""

    learned_in: list[int] = []

    def learn(self, name: str, train: object) -> float:
        self.learned_in.append(os.getpid())
        return 0.0

    def patch_scores(self, patches: torch.Tensor, task: int) -> torch.Tensor:
        return patches[..., 0].float()

    def footprint(self) -> Footprint:
        return Footprint(per_task=0, bytes_per_task=0, shared=0)


@pytest.fixture
def registered() -> Iterator[str]:
    texts = {"title": "constant", "source": "this test", "text": "It learns nothing."}
    BASELINES.add("constant", BaselineEntry(make=_Constant, **texts))
    yield "constant"
    BASELINES.drop("constant")


def test_what_this_process_alone_knows_is_learned_in_it(tiny_config: Make, registered: str) -> None:
    config = tiny_config(classes=("leather",), epochs=1, baselines=(registered, "padim"), ablation_jobs=2)
    assert comparing._workers(config, 2, beside=True) == 0
    known = config.with_(baselines=("padim",))
    assert [comparing._workers(known, 2, beside) for beside in (True, False)] == [1, 2]
    assert comparing._workers(known.with_(ablation_jobs=1), 2, beside=True) == 0
    assert list(compare(Experiment(config)).runs) == [METHOD, registered, "padim"]
    assert set(_Constant.learned_in) == {os.getpid()}


def _sleep(note: Path) -> None:
    note.write_text(str(os.getpid()))
    time.sleep(600)


def test_an_interrupted_block_leaves_no_worker_at_work(tmp_path: Path) -> None:
    notes = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(KeyboardInterrupt), side_by_side(2) as carry:
        carry(_sleep, notes)
        _until(lambda: all(note.is_file() and note.read_text() for note in notes))
        raise KeyboardInterrupt
    workers = [int(note.read_text()) for note in notes]
    assert os.getpid() not in workers
    _until(lambda: not any(map(is_alive, workers)), seconds=10)


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
