"""A grid of runs as data: switches × task orders × seeds, expanded into one configuration each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from moleflow_lib.artifacts import digest
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError
from moleflow_lib.studies.ablation.switches import MOOT_WITHOUT, SWITCHES

__all__ = ["AblationRun", "Grid", "moot_rows", "plan_rows", "planned_runs", "waves"]


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One switch under one task order and one seed."""

    switch: str
    seed: int
    config: ExperimentConfig
    changes: Mapping[str, object]  # fields set against the preset

    @property
    def name(self) -> str:
        """How progress and errors call it."""
        return f"{self.switch}, seed {self.seed}"

    def trains(self) -> frozenset[tuple[str, str, str]]:
        """The tasks whose parts it needs: (settings, base task, task); runs that share one need not both train it."""
        data = (self.config.data.image_size, self.config.data.resize)
        settings = digest(self.config.group("flow", "train", "features"), data)
        tasks = self.config.data.classes or ("all",)
        return frozenset((settings, tasks[0], task) for task in tasks)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Every switch under every order with every seed.

    Attributes:
        switches: names of `SWITCHES`.
        orders: name → tasks in order of arrival; the empty name is the base configuration's own order.
        seeds: training seeds.

    >>> grid = Grid(switches=("preset", "no DIA"), orders={"": ("nut", "grid")}, seeds=(0, 1, 2))
    >>> len(grid.runs(ExperimentConfig()))
    6
    """

    switches: tuple[str, ...]
    orders: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]

    def runs(self, base: ExperimentConfig) -> list[AblationRun]:
        """Its runs against a base configuration, seed by seed."""
        return [self._run(base, *choice) for choice in product(self.seeds, self.orders, self.switches)]

    def _run(self, base: ExperimentConfig, seed: int, order: str, switch: str) -> AblationRun:
        changes = {**SWITCHES[switch].changes, **({"classes": self.orders[order]} if order else {})}
        name = switch if not order else order if switch == "preset" else f"{switch}, {order}"
        return AblationRun(switch=name, seed=seed, config=base.with_(seed=seed, **changes), changes=changes)


def planned_runs(config: ExperimentConfig) -> list[AblationRun]:
    """The runs a config asks for: its switches (all if none are named) and its task orders, times its seeds.

    A switch or order that would leave the configuration as it is is left out. The preset itself is
    always in. Switches run in the preset's own order; the other orders run the preset alone.

    Raises:
        ConfigError: a switch is unknown, or an order is not one of the tasks studied.
    """
    names = list(config.study.ablation_switches) or list(SWITCHES)
    unknown = [name for name in names if name not in SWITCHES]
    if unknown:
        near = [match for name in unknown for match in difflib.get_close_matches(name, SWITCHES, n=1)]
        meant = f", did you mean {', '.join(map(repr, near))}" if near else ""
        raise ConfigError(f"unknown ablation switches {unknown}{meant}; known: {', '.join(SWITCHES)}")
    base = _base(config)
    acting = [name for name in dict.fromkeys(["preset", *names]) if name == "preset" or _acts(base, name)]
    orders = _orders(config.study.ablation_orders, base.data.classes)
    return [
        *Grid(switches=tuple(acting), orders={"": base.data.classes}, seeds=config.study.ablation_seeds).runs(base),
        *Grid(switches=("preset",), orders=orders, seeds=config.study.ablation_seeds).runs(base),
    ]


def plan_rows(runs: Sequence[AblationRun]) -> list[dict[str, object]]:
    """A plan as a table: each switch or order, what it asks, the fields it sets, and its seeds."""
    first = {run.switch: run for run in reversed(runs)}
    return [
        {"switch": name, "what": SWITCHES[name].question if name in SWITCHES else "the preset, its tasks in another order",
         "changes": ", ".join(f"{field} = {_plainly(field, value)}" for field, value in first[name].changes.items()),
         "seeds": ", ".join(str(run.seed) for run in runs if run.switch == name)}
        for name in dict.fromkeys(run.switch for run in runs)
    ]


def moot_rows(config: ExperimentConfig) -> list[dict[str, object]]:
    """The switches that a config names and that would change nothing under it, to stand behind the rows of `plan_rows`."""
    base = _base(config)
    return [{"switch": name, "what": "left out, it changes nothing here", "changes": "", "seeds": "none"}
            for name in dict.fromkeys(config.study.ablation_switches) if name in SWITCHES and name != "preset" and not _acts(base, name)]


def _base(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration that every switch is set against."""
    length = {"epochs": config.study.ablation_epochs, "steps": 0} if config.study.ablation_epochs else {}
    return config.with_(classes=config.study.ablation_classes or config.data.classes, **length)


def _plainly(field: str, value: object) -> str:
    return (" > " if field == "classes" else ", ").join(map(str, value)) if isinstance(value, tuple) else str(value)


def waves(runs: Sequence[AblationRun]) -> list[list[AblationRun]]:
    """Split runs into waves in which no two would train the same task.

    The runs of a later wave find what they share with an earlier one in the store, so nothing is
    trained twice and no two processes write the same file.
    """
    left, made, result = list(runs), set(), []
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
        left, made = later, made | claimed
        result.append(wave)
    return result


def _acts(base: ExperimentConfig, switch: str) -> bool:
    """Whether a switch changes anything that matters under the base configuration."""
    changes = SWITCHES[switch].changes
    changed = base.with_(**changes)
    moot = {"blocks", "block_norm", "overlap"} if base.features.backbone == "filterbank" else set()
    moot |= {"blocks"} if base.features.blocks != ExperimentConfig().features.blocks else set()  # of a CNN, or the user's own choice
    moot |= {name for name, needed in MOOT_WITHOUT.items() if not changed[needed]}
    return any(base[name] != value for name, value in changes.items() if name not in moot)


def _orders(texts: Sequence[str], classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`a>b>c` texts as task orders, the base order left out; names are `order 1`, `order 2`, …"""
    orders = dict.fromkeys(tuple(part.strip() for part in text.split(">")) for text in texts)
    if orders and not classes:
        raise ConfigError("ablation_orders needs the tasks by name; set classes or ablation_classes as well")
    wrong = [">".join(order) for order in orders if sorted(order) != sorted(classes)]
    if wrong:
        raise ConfigError(f"ablation_orders: expected each of {', '.join(classes)} once, as in {'>'.join(classes)}; got {wrong}")
    return {f"order {k}": order for k, order in enumerate((o for o in orders if o != classes), start=1)}
