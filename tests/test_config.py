"""Parameters: what papermill would let pass must be refused here."""

from __future__ import annotations

import pytest

from moleflow_lib.config import GROUPS, PRESETS, ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.storage.keys import digest
from moleflow_lib.training.fit import WEIGHT_DECAY


def test_v5_final_is_the_published_configuration() -> None:
    config = ExperimentConfig.from_params({"preset": "v5_final"})
    assert (config.train.lr, WEIGHT_DECAY, config.train.epochs, config.train.batch_size) == (
        1e-4,
        1e-5,
        40,
        16,
    )
    assert (
        config.flow.coupling_layers,
        config.flow.lora_rank,
        config.flow.lora_alpha,
        config.flow.dia_blocks,
    ) == (8, 64, 1.0, 2)
    assert (
        config.train.tail_weight,
        config.train.tail_ratio,
        config.train.tail_scope,
        config.score.top_k,
    ) == (0.3, 0.05, "batch", 3)
    assert (config.train.schedule, config.train.clip_norm, config.flow.count_adapter_volume) == (
        "constant",
        0.0,
        False,
    )
    assert config.features.blocks == (1, 3, 5, 11)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset: str) -> None:
    assert ExperimentConfig.from_params({"preset": preset}).run.preset == preset


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"lr_": 1}, "did you mean 'lr'"),
        ({"preset": "v6"}, "unknown preset 'v6'"),
        ({"epochs": "many"}, "epochs: expected a whole number"),
        ({"epochs": 2.5}, "epochs: expected a whole number"),
        ({"epochs": True}, "epochs: expected a whole number"),
        ({"use_mixer": 1}, "use_mixer: expected true or false"),
        ({"lr": float("nan")}, "lr: expected a number"),
        ({"lr": -1}, "lr: expected 0"),
        ({"backbone": 3}, "backbone: expected text"),
        ({"tail_scope": "pixel"}, "tail_scope: expected one of batch, image"),
        ({"comparison_seeds": "1,-2"}, "comparison_seeds: expected 0"),
        ({"blocks": "1,x"}, "blocks: expected a list of whole numbers"),
    ],
)
def test_bad_parameters_are_refused(params: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ExperimentConfig.from_params(params)


def test_all_problems_come_in_one_message() -> None:
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig.from_params({"lrr": 1, "epochs": "x"})
    assert "lrr" in str(caught.value) and "epochs" in str(caught.value)


def test_text_from_a_command_line_is_read_as_what_the_field_is() -> None:
    config = ExperimentConfig.from_params(
        {"lr": "1e-3", "classes": "a, b", "use_mixer": "false", "blocks": "1,2", "seed": "3"}
    )
    assert (
        config.train.lr,
        config.data.classes,
        config.flow.use_mixer,
        config.features.blocks,
        config.train.seed,
    ) == (1e-3, ("a", "b"), False, (1, 2), 3)


def test_empty_text_means_as_the_preset_says() -> None:
    assert ExperimentConfig.from_params({"preset": "demo", "backbone": ""}).features.backbone == "filterbank"


def test_groups_cover_every_field_once() -> None:
    config = ExperimentConfig()
    assert sum(len(config.group(name)) for name in GROUPS) == len(config.to_dict())


def test_digest_depends_on_content_not_on_order() -> None:
    assert digest({"a": 1, "b": (2,)}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
