"""One validated description of an experiment: eight groups of options, set by flat names."""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from moleflow_lib.config.options import (
    GROUPS,
    SCORE_PARTS,
    DataOptions,
    FeatureOptions,
    FlowOptions,
    RouterOptions,
    RunOptions,
    ScoreOptions,
    StudyOptions,
    TrainOptions,
)
from moleflow_lib.config.reading import kind_name, read_value, unknown_name
from moleflow_lib.errors import ConfigError
from moleflow_lib.presets import PRESETS

__all__ = ["PATHS", "PRESETS", "ExperimentConfig", "read_options"]

PATHS = (
    "dataset_root",
    "out_dir",
    "store_dir",
    "backbone_weights",
)  # options that name a place; ~ is one's home
_PRODUCTS = ("classes", "ablation_classes")  # where `none` is the name of a product
_GROUP_OF = {spec.name: group for group, kind in GROUPS.items() for spec in fields(kind)}
_KINDS = {name: kind for options in GROUPS.values() for name, kind in typing.get_type_hints(options).items()}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything that decides a result, by group; names of options are unique over all groups.

    Raises:
        ConfigError: a value is outside what its option allows.

    >>> config = ExperimentConfig.from_params({"preset": "v5_final", "epochs": 2})
    >>> config.train.epochs, config.with_(epochs=3)["epochs"]
    (2, 3)
    """

    run: RunOptions = field(default_factory=RunOptions)
    data: DataOptions = field(default_factory=DataOptions)
    features: FeatureOptions = field(default_factory=FeatureOptions)
    flow: FlowOptions = field(default_factory=FlowOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    score: ScoreOptions = field(default_factory=ScoreOptions)
    router: RouterOptions = field(default_factory=RouterOptions)
    study: StudyOptions = field(default_factory=StudyOptions)

    def __post_init__(self) -> None:
        if not self.score.score_parts:
            raise ConfigError(f"score_parts: expected some of {', '.join(SCORE_PARTS)}, got none")
        if "gaussian" in self.score.used_parts and self.flow.whitening != "full":
            option = "score_parts" if "gaussian" in self.score.score_parts else "image_parts"
            raise ConfigError(
                f"{option}: gaussian is the energy of full whitening, and whitening is "
                f"{self.flow.whitening}; leave it out or set whitening=full"
            )

    @classmethod
    def from_params(cls, params: Mapping[str, object], preset_products: bool = True) -> ExperimentConfig:
        """Build a config from loose notebook or command-line values.

        Args:
            params: option to value; `preset` chooses the values of every option not named. An empty
                string stands for "as the preset says", so that a notebook can list an option without
                deciding it; `none` empties a text or a list. Comma-separated text is read as a list,
                text as a number.
            preset_products: whether a preset's choice among its own products counts; not on other data.

        Raises:
            ConfigError: unknown names (with the nearest known one), wrong types, unknown presets,
                values out of range; all of them in one message.
        """
        preset = params.get("preset") or "v5_final"
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ConfigError(f"unknown preset {preset!r}; known presets: {', '.join(sorted(PRESETS))}")
        values: dict[str, object] = dict(PRESETS[preset])
        if not preset_products:
            values.pop("classes", None)
        if (
            params.get("classes") or not preset_products
        ):  # a preset's choice among its own products does not fit other ones
            values.pop("ablation_classes", None)
        if params.get("classes") or params.get("ablation_classes") or not preset_products:
            values.pop("ablation_orders", None)
        return cls().with_(**{**values, **read_options(params), "preset": preset})

    def with_(self, **changes: object) -> ExperimentConfig:
        """A copy with some options changed, checked again; all problems in one message."""
        by_group: dict[str, dict[str, object]] = {}
        problems = []
        for name, value in changes.items():
            if name in _GROUP_OF:
                by_group.setdefault(_GROUP_OF[name], {})[name] = value
            else:
                problems.append(unknown_name(name, _GROUP_OF))
        groups = {}
        for group, values in by_group.items():
            try:
                groups[group] = replace(getattr(self, group), **values)
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("; ".join(problems))
        return replace(self, **groups)

    def __getitem__(self, name: str) -> object:
        """An option by its name alone."""
        return getattr(getattr(self, _GROUP_OF[name]), name)

    def group(self, *names: str) -> dict[str, object]:
        """The options of the named groups, as plain JSON values."""
        merged = {name: value for group in names for name, value in asdict(getattr(self, group)).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in merged.items()}

    def to_dict(self) -> dict[str, object]:
        """All options under their flat names, as plain JSON values."""
        return self.group(*GROUPS)


def read_options(params: Mapping[str, object]) -> dict[str, object]:
    """Loose values under flat names as typed ones, those left out that are empty.

    Raises:
        ConfigError: unknown names and wrong types, all in one message.
    """
    values: dict[str, object] = {}
    problems = []
    for name, raw in params.items():
        if name not in _KINDS:
            problems.append(unknown_name(name, _KINDS))
        elif raw is None or (isinstance(raw, str) and raw == ""):
            continue
        elif (
            raw == "none" and name not in _PRODUCTS and kind_name(_KINDS[name]).startswith(("text", "a list"))
        ):
            values[name] = "" if _KINDS[name] is str else ()
        else:
            try:
                values[name] = read_value(raw, _KINDS[name])
            except (TypeError, ValueError):
                problems.append(f"{name}: expected {kind_name(_KINDS[name])}, got {raw!r}{_hint(name, raw)}")
            if name in PATHS and name in values:
                values[name] = os.path.expanduser(str(values[name]))
    if problems:
        raise ConfigError("; ".join(problems))
    return values


def _hint(name: str, raw: object) -> str:
    """What to do about names that papermill or YAML took for something else."""
    if name not in _PRODUCTS or isinstance(raw, str):
        return ""
    return "; put names that look like numbers, dates or truth values in quotes, as in '[\"true\"]'"
