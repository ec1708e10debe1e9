"""Switches that a backbone refuses are left out and told; a preset that cannot run at all is an error."""

from __future__ import annotations

import pytest

from moleflow_lib.ablation import moot_rows, planned_runs, supported_runs
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import BackboneError

INPUTS = ("448 pixels", "448 and 224 pixels", "also at 112 pixels", "overlapping patches", "3×3 neighbours", "no LoRA")


def _plan(**changes: object) -> tuple[set[str], dict[str, str]]:
    config = ExperimentConfig(ablation_switches=INPUTS, ablation_seeds=(0, 1), device="cpu", **changes)
    runs, refused = supported_runs(planned_runs(config))
    return {run.switch for run in runs}, {row["switch"]: row["what"] for row in refused}


def test_a_filter_bank_has_no_sizes_and_no_shifts() -> None:
    left, refused = _plan(backbone="filterbank", image_size=56)
    assert left == {"preset", "448 pixels", "no LoRA"}, "questions it cannot be asked are not planned either"
    config = ExperimentConfig(backbone="filterbank", ablation_switches=INPUTS)
    assert {row["switch"] for row in moot_rows(config)} == {"also at 112 pixels", "overlapping patches", "3×3 neighbours"}
    assert set(refused) == {"448 and 224 pixels"} and "leave them out with backbone=filterbank" in refused["448 and 224 pixels"]


def test_larger_patches_do_not_fit_every_size() -> None:
    left, refused = _plan(backbone="random:vit_small_patch32_224")
    assert set(refused) == {"also at 112 pixels"} and "multiples of the 32-pixel patches" in refused["also at 112 pixels"]
    assert left == {"preset", *INPUTS} - set(refused)


def test_a_preset_that_cannot_run_is_an_error() -> None:
    with pytest.raises(BackboneError, match="leave them out with backbone=filterbank"):
        _plan(backbone="filterbank", overlap=2)
