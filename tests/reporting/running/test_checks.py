"""What is looked at before a run: no backbone is built that the preset itself answers for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import BackboneError
from moleflow_lib.reporting.running import checks
from moleflow_lib.reporting.running.notebooks import available_notebooks

CONTROL = "random:vit_tiny_patch16_224"


def _built(config: ExperimentConfig, numbers: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backbones that a look at a run builds besides its own."""
    built = []

    def build(features: object, *_: object) -> None:
        built.append(features.backbone)  # type: ignore[attr-defined]
        raise BackboneError("no such backbone")

    monkeypatch.setattr(checks, "build_extractor", build)
    try:
        checks.checked_experiment(config, available_notebooks(numbers))
    except BackboneError as error:
        assert str(error) == "control_backbone: no such backbone"
    return built


def test_a_control_is_built_where_the_user_changed_it_or_what_it_is_made_with(
    tiny_config: Callable[..., ExperimentConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tiny_config(
        classes=("leather",),
        control_backbone=CONTROL,
        blocks=(1, 3, 5),
        image_size=224,
        out_dir=str(tmp_path),
    )
    assert _built(own, ["03"], monkeypatch) == []
    assert _built(own.with_(control_backbone="random:none"), ["03"], monkeypatch) == ["random:none"]
    assert _built(own.with_(blocks=(20,)), ["03"], monkeypatch) == [CONTROL]
    assert _built(own.with_(blocks=(20,)), ["02"], monkeypatch) == []
