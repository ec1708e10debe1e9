"""The examples of `docs/extending.md` work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from moleflow_lib.experiment import Experiment
from moleflow_lib.features.store import FeatureStore
from moleflow_lib.studies.baselines import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def examples() -> dict[str, object]:
    namespace: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def test_the_baseline_is_learned_and_measured(
    examples: dict[str, object], learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = {**run._PLANS, "mean_distance": run._Plan(make=examples["MeanDistance"])}
    monkeypatch.setattr(run, "_PLANS", plans)
    done = run.run_baseline(learned, "mean_distance")
    values = done.result.final("image_auroc")
    assert len(values) == len(learned.tasks) and all(0 <= value <= 1 for value in values)
    assert done.costs.values_per_task > learned.detector.dim


def test_the_backbone_gives_features_that_can_be_stored(
    examples: dict[str, object], learned: Experiment, tmp_path: Path
) -> None:
    extractor = examples["extractor"]
    assert extractor.feature_dim == 6 and extractor.grid == (4, 4)
    features = FeatureStore(tmp_path, extractor).features(learned.tasks[0].train, "first")
    assert features.patches.shape == (len(learned.tasks[0].train), 4, 4, 6)
    assert torch.isfinite(features.patches).all()


def test_every_place_named_exists() -> None:
    root = PAGE.parents[1]
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`((?:moleflow_lib|tests)/[\w/]+(?:\.py)?/?)`", text)
    assert len(named) > 8 and [name for name in named if not (root / name).exists()] == []
    for name in ("_PLANS", "BASELINES", "METHOD_VERSION", "HEADLINES", "_WORD"):
        assert name in text
