"""One language for a change: what is written is what is set, and its name is read back as the same."""

from __future__ import annotations

import pytest

from moleflow_lib.config import PRESETS, ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.text.parts_verdict import is_setting
from moleflow_lib.studies.ablation import PARTS, PUBLISHED, parse_variations, variation_name
from moleflow_lib.studies.ablation.parts import Part


def test_alternatives_are_combined_and_lists_keep_their_commas() -> None:
    assert parse_variations("lora_rank=4|8, use_mixer=false; blocks=2,4, top_k=1; ") == [
        {"lora_rank": 4, "use_mixer": False},
        {"lora_rank": 8, "use_mixer": False},
        {"blocks": (2, 4), "top_k": 1},
    ]
    assert parse_variations("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dia_blocks", "expected option=value"),
        ("=3", "expected option=value"),
        ("dia_blocks=", "expected option=value"),
        ("dia_block=0", "did you mean 'dia_blocks'"),
        ("lora_rank=many", "lora_rank: expected a whole number"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_variations(text)


@pytest.mark.parametrize("preset", PRESETS)
def test_names_are_read_back_as_the_same_change(preset: str) -> None:
    named = parse_variations(ExperimentConfig.from_params({"preset": preset}).study.ablations)
    assert named
    for changes in named:
        assert parse_variations(variation_name(changes)) == [changes]


@pytest.mark.parametrize(
    ("part", "score"),
    [("the flow's score", "flow"), ("stored patches", "memory"), ("the Gaussian's score", "gaussian")],
)
def test_a_score_part_taken_out_of_recommended_is_out_of_its_score(part: str, score: str) -> None:
    config = ExperimentConfig.from_params({"preset": "recommended"})
    without = next(one.without for one in PARTS if one.name == part)
    left = config.with_(**without).score
    assert score not in left.used_parts and {*left.used_parts, score} == set(config.score.used_parts)
    assert set(left.score_parts) == set(config.score.score_parts) - {score}
    assert set(left.image_parts) == set(config.score.image_parts) - {score}
    assert dict(without) in parse_variations(config.study.ablations), "notebook 05 has its row"


def test_parts_and_published_effects_are_valid_changes() -> None:
    for changes in (*(part.without for part in PARTS), *(effect.changes for effect in PUBLISHED)):
        config = (
            ExperimentConfig().with_(**{"whitening": "full", **changes})
            if "score_parts" in changes
            else ExperimentConfig().with_(**changes)
        )
        assert {name: config[name] for name in changes} == changes
    assert len({part.name for part in PARTS}) == len(PARTS)
    assert all(effect.metric in METRICS and effect.words for effect in PUBLISHED)
    by_change = {
        variation_name(effect.changes): effect.difference
        for effect in PUBLISHED
        if effect.metric == "image_auroc"
    }
    assert by_change["dia_blocks=0"] == -0.06


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_taken_out_is_known_from_a_row_and_is_no_setting(part: Part) -> None:
    for changes in part.ways:
        in_row = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
        assert part.removed_by(in_row) and not is_setting(in_row)
        assert part.varied_as([{"variation": "without", "changes": in_row}]) == "without"
    assert is_setting({"top_k": 1})
