"""The command that a stored result leads to asks for the very options that made it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from moleflow_lib.cli import _params, _parser
from moleflow_lib.config import PRESETS, ExperimentConfig
from moleflow_lib.config.command import run_command

CHANGES = (
    {},
    {"classes": ["a", "b, c"], "use_mixer": True, "baselines": [], "epochs": 3, "lr": 1e-5},
    {"classes": ["a"], "store_dir": "/store with blanks", "device": "cpu", "backbone": "filterbank"},
    {
        "classes": ["a", "b"],
        "ablation_classes": ["b"],
        "ablations": "top_k=1; lr=0.1",
        "control_backbone": "",
    },
)


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_command_asks_for_the_options_it_was_made_of(preset: str, changes: dict, tmp_path: Path) -> None:
    params = {"preset": preset, "dataset_root": str(tmp_path), "out_dir": str(tmp_path / "out")}
    classes = {"classes": changes["classes"]} if "classes" in changes else {}
    config = ExperimentConfig.from_params({**params, **classes}).with_(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    )
    words = shlex.split(run_command(config.to_dict(), tmp_path / "out", "03"))
    assert words[:4] == ["python", "-m", "moleflow_lib", "run"]
    again = _parser().parse_args(words[3:])
    assert ExperimentConfig.from_params(_params(again)) == config and again.notebooks == "03"
    assert changes or "-p" not in words, "what is as in the preset is not written"


def test_options_of_another_version_are_left_out(tmp_path: Path) -> None:
    told = run_command({"preset": "demo", "dataset_root": "d", "gone": 3}, tmp_path, "03")
    assert "gone" not in told and told.endswith("--notebooks 03")
