"""The switch table: it covers the method, each switch can be set, and each published effect can be looked up."""

from __future__ import annotations

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.metrics import METRICS
from moleflow_lib.studies.ablation.switches import MOOT_WITHOUT, SWITCHES


def test_the_switches_cover_the_method() -> None:
    turned = {name for switch in SWITCHES.values() for name in switch.changes}
    assert turned >= {
        "block_norm", "use_position", "use_whitening", "count_adapter_volume", "identity_weight", "use_mixer", "coupling_layers",
        "use_lora", "use_task_bias", "lora_rank", "lora_alpha", "dia_blocks", "tail_weight", "tail_ratio", "tail_scope",
        "log_det_penalty", "schedule", "warmup_steps", "clip_norm", "lr", "router_covariance", "score_mode", "top_k",
        "smoothing_sigma",
    }
    assert {switch.changes["lora_rank"] for switch in SWITCHES.values() if "lora_rank" in switch.changes} >= {4, 8, 16, 32, 64, 128}


def test_every_switch_is_valid_and_no_two_are_the_same() -> None:
    made = {name: ExperimentConfig().with_(**switch.changes) for name, switch in SWITCHES.items()}
    changed = [tuple(sorted(switch.changes.items())) for switch in SWITCHES.values()]
    assert len(set(changed)) == len(changed) and len(made) == len(SWITCHES)


def test_every_switch_can_be_named_in_a_list() -> None:
    """Lists come from command lines as text with commas."""
    named = ExperimentConfig.from_params({"ablation_switches": ",".join(SWITCHES)})
    assert named.study.ablation_switches == tuple(SWITCHES)


def test_published_effects_are_fractions_of_known_metrics() -> None:
    effects = [effect for switch in SWITCHES.values() for effect in switch.published]
    assert effects and all(effect.metric in METRICS and effect.words for effect in effects)
    assert all(effect.difference is None or abs(effect.difference) <= 0.1 for effect in effects)
    assert SWITCHES["no DIA"].published[0].difference == -0.06


def test_moot_fields_name_options_of_the_method() -> None:
    assert {*MOOT_WITHOUT, *MOOT_WITHOUT.values()} <= set(ExperimentConfig().to_dict())
