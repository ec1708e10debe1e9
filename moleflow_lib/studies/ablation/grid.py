"""A grid of runs as data: variations × task orders × seeds, expanded into one configuration each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moleflow_lib.config import PRESETS, ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.features.backbone_table import BACKBONES
from moleflow_lib.storage.keys import digest
from moleflow_lib.studies.ablation.variations import parse_variations, variation_name

__all__ = ["AblationRun", "left_out_line", "plan_rows", "planned_runs", "waves"]

_FIXED = ("run", "study")  # groups that no variation may set: they change no number
_OF_TIMM = ("backbone_precision", "block_norm", "blocks", "feature_dim", "overlap")  # others have no layers
_ASKED_ELSEWHERE = {"seed": "ablation_seeds", "classes": "ablation_classes or ablation_orders"}


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One variation under one task order and one seed."""

    variation: str  # `preset` unchanged, `order 1`, …, or what it changes
    seed: int
    config: ExperimentConfig
    changes: Mapping[str, object]  # options set against the preset

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        return f"{self.variation}, seed {self.seed}"

    def trains(self) -> frozenset[tuple[str, str, str]]:
        """The tasks whose parts it needs: (settings, base task, task); runs that share one need not both
        train it.
        """
        data = self.config.data
        settings = digest(self.config.group("flow", "train", "features"), (data.image_size, data.resize))
        tasks = data.classes or ("all",)
        return frozenset((settings, tasks[0], task) for task in tasks)


def planned_runs(config: ExperimentConfig) -> list[AblationRun]:
    """The runs a config asks for: its variations and its task orders, times its seeds.

    The preset itself is always in; a variation that would leave it as it is is left out, and of the preset's
    own list what the backbone cannot vary, see `left_out_line`. Variations run in the preset's own order of
    tasks; the other orders run the preset alone.

    Raises:
        ConfigError: a variation is unreadable or unknown, it asks of the backbone what it does not have, or
            an order is not one of the tasks studied.
    """
    base = _base(config)
    changes = [one for one in parse_variations(config.study.ablations) if _acts(base, one)]
    _refuse_fixed(changes)
    foreign = _foreign(base, changes)
    if foreign and config.study.ablations != PRESETS.get(config.run.preset, {}).get("ablations"):
        raise ConfigError(f"ablations: {_told(config, foreign)}; leave it out, or name a timm backbone")
    changes = [one for one in changes if one not in foreign]
    named = {"preset": {}, **{variation_name(one): one for one in changes}}
    orders = _orders(config.study.ablation_orders, base.data.classes)
    seeds = config.study.ablation_seeds
    varied = [_run(base, name, one, seed) for seed in seeds for name, one in named.items()]
    return varied + [
        _run(base, name, {"classes": order}, seed) for seed in seeds for name, order in orders.items()
    ]


def left_out_line(config: ExperimentConfig) -> str:
    """Which variations of the preset's own list its backbone cannot run, in one line; empty if none."""
    base = _base(config)
    changes = [one for one in parse_variations(config.study.ablations) if _acts(base, one)]
    foreign = _foreign(base, changes)
    return f"Left out: {_told(config, foreign)}." if foreign else ""


def plan_rows(runs: Sequence[AblationRun]) -> list[dict[str, object]]:
    """A plan as a table: each variation or order and its seeds."""
    first = {run.variation: run for run in reversed(runs)}
    return [
        {
            "variation": name,
            "tasks": " > ".join(first[name].config.data.classes) or "all",
            "seeds": ", ".join(str(run.seed) for run in runs if run.variation == name),
        }
        for name in dict.fromkeys(run.variation for run in runs)
    ]


def waves(runs: Sequence[AblationRun]) -> list[list[AblationRun]]:
    """Split runs into waves in which no two would train the same task.

    The runs of a later wave find what they share with an earlier one in the store, so nothing is
    trained twice and no two processes write the same file.
    """
    left = list(runs)
    made: set[tuple[str, str, str]] = set()
    result = []
    while left:
        claimed: set[tuple[str, str, str]] = set()
        wave, later = [], []
        for run in left:
            new = run.trains() - made
            if new & claimed:
                later.append(run)
            else:
                wave.append(run)
                claimed |= new
        left = later
        made |= claimed
        result.append(wave)
    return result


def _run(base: ExperimentConfig, name: str, changes: Mapping[str, object], seed: int) -> AblationRun:
    return AblationRun(variation=name, seed=seed, config=base.with_(seed=seed, **changes), changes=changes)


def _base(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration that every variation is set against."""
    study = config.study
    return config.with_(classes=study.ablation_classes or config.data.classes)


def _refuse_fixed(variations: Sequence[Mapping[str, object]]) -> None:
    """Refuse options that are no question about the method."""
    remedies = {name: "it changes no number" for name in ExperimentConfig().group(*_FIXED)}
    remedies |= {name: f"use {other}" for name, other in _ASKED_ELSEWHERE.items()}
    for name in dict.fromkeys(name for changes in variations for name in changes):
        if name in remedies:
            raise ConfigError(f"ablations: {name} cannot be varied here; {remedies[name]}")


def _acts(base: ExperimentConfig, changes: Mapping[str, object]) -> bool:
    return any(base[name] != value for name, value in changes.items())


def _foreign(
    base: ExperimentConfig, variations: Sequence[Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """Variations of what only timm's backbones have, where the backbone is another."""
    return [
        one
        for one in variations
        if one.get("backbone", base.features.backbone) in BACKBONES and not set(one).isdisjoint(_OF_TIMM)
    ]


def _told(config: ExperimentConfig, foreign: Sequence[Mapping[str, object]]) -> str:
    names = "; ".join(map(variation_name, foreign))
    return f"{names}: backbone={config.features.backbone} has no such option"


def _orders(texts: Sequence[str], classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`a>b>c` texts as task orders, the base order left out; names are `order 1`, `order 2`, …"""
    orders = dict.fromkeys(tuple(part.strip() for part in text.split(">")) for text in texts)
    if orders and not classes:
        raise ConfigError("ablation_orders needs the tasks by name; set classes or ablation_classes as well")
    wrong = [">".join(order) for order in orders if sorted(order) != sorted(classes)]
    if wrong:
        expected = f"expected each of {', '.join(classes)} once, as in {'>'.join(classes)}"
        raise ConfigError(f"ablation_orders: {expected}; got {wrong}")
    others = (order for order in orders if order != classes)
    return {f"order {k}": order for k, order in enumerate(others, start=1)}
