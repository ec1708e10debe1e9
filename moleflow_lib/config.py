"""One validated description of an experiment, and the presets that fill it.

Notebook parameters arrive through papermill, which accepts unknown names and wrong
types without a word; `ExperimentConfig.from_params` is the place that refuses them.
"""

from __future__ import annotations

import difflib
import math
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from moleflow_lib.errors import ConfigError
from moleflow_lib.presets import PRESETS

__all__ = ["BASELINES", "PRESETS", "ExperimentConfig"]

BASELINES = ("memory_bank", "fine_tune", "separate", "joint", "padim", "adapter_only")


def _option(group: str, default: object, *, choices: tuple = (), low: float = -math.inf, high: float = math.inf):
    """A config field: the group whose hash it enters, and what values are allowed."""
    return field(default=default, metadata={"group": group, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything that decides a result; every field can be a notebook parameter.

    Defaults are the preset `v5_final`. Each field belongs to one group, and stored artifacts are
    keyed by the groups they depend on: features by `data` and `backbone`, tasks by `flow` and
    `train` as well; `score` and `router` can change without training anything again, and `run`
    changes no number.

    Raises:
        ConfigError: a value is outside what its field allows.

    >>> ExperimentConfig.from_params({"preset": "v5_final", "epochs": 2}).epochs
    2
    """

    # run: where and on what, changes no number
    preset: str = _option("run", "v5_final")
    dataset_root: str = _option("run", "data/demo")
    out_dir: str = _option("run", "runs/default")
    device: str = _option("run", "auto")
    ablation_jobs: int = _option("run", 0, low=0, high=4096)  # runs side by side; 0: one a core, or one a GPU
    scheduler: str = _option("run", "")  # a Dask scheduler, tcp://host:port, that carries the runs instead
    # data: which products, in which order, at which size
    classes: tuple[str, ...] = _option("data", ())
    image_size: int = _option("data", 224, low=32)
    resize: str = _option("data", "resize", choices=("resize", "crop", "pad"))
    # backbone: the frozen feature extractor
    backbone: str = _option("backbone", "vit_base_patch16_224.augreg2_in21k_ft_in1k")
    backbone_weights: str = _option("run", "")
    blocks: tuple[int, ...] = _option("backbone", (1, 3, 5, 11), low=0)
    block_norm: bool = _option("backbone", False)
    overlap: int = _option("backbone", 1, low=1, high=8)
    feature_dim: int = _option("backbone", 0, low=0)
    # flow: the shape of the model
    coupling_layers: int = _option("flow", 8, low=0, high=64)
    lora_rank: int = _option("flow", 64, low=1)
    lora_alpha: float = _option("flow", 1.0, low=0)
    dia_blocks: int = _option("flow", 2, low=0)
    use_lora: bool = _option("flow", True)
    use_task_bias: bool = _option("flow", True)
    use_whitening: bool = _option("flow", True)
    whitening_norm: bool = _option("flow", True)
    use_mixer: bool = _option("flow", True)
    use_position: bool = _option("flow", True)
    position_scale: float = _option("flow", 1.0, low=0)
    count_adapter_volume: bool = _option("flow", False)
    # train: how it is fitted
    seed: int = _option("train", 0, low=0, high=2**31 - 1)
    epochs: int = _option("train", 40, low=1)
    steps: int = _option("train", 0, low=0)
    batch_size: int = _option("train", 16, low=1)
    lr: float = _option("train", 1e-4, low=0)
    weight_decay: float = _option("train", 1e-5, low=0)
    schedule: str = _option("train", "constant", choices=("constant", "cosine"))
    warmup_steps: int = _option("train", 0, low=0)
    clip_norm: float = _option("train", 0.0, low=0)
    feature_noise: float = _option("train", 0.0, low=0)
    patch_share: float = _option("train", 1.0, low=1e-3, high=1)
    tail_weight: float = _option("train", 0.3, low=0, high=1)
    tail_ratio: float = _option("train", 0.05, low=0, high=1)
    tail_scope: str = _option("train", "batch", choices=("batch", "image"))
    log_det_penalty: float = _option("train", 0.0, low=0)
    identity_weight: float = _option("train", 0.1, low=0)
    # score: from patch scores to decisions
    memory_size: int = _option("score", 0, low=0)
    memory_neighbours: int = _option("score", 1, low=1)
    memory_weight: float = _option("score", 0.5, low=0, high=1)
    compress_scores: bool = _option("score", False)
    log_det_weight: float = _option("score", 1.0, low=0)
    prototype_weight: float = _option("score", 0.0, low=0, high=1)
    score_mode: str = _option("score", "top_k", choices=("top_k", "mean", "max"))
    top_k: int = _option("score", 3, low=1)
    smoothing_sigma: float = _option("score", 4.0, low=0)
    eval_size: int = _option("score", 224, low=14)
    # router: which task an image belongs to
    router_covariance: str = _option(
        "router", "ridge", choices=("ridge", "ledoit_wolf", "oas", "tied", "diagonal", "euclidean")
    )
    router_ridge: float = _option("router", 1e-5, low=1e-12)
    # study: how much the notebooks compare
    control_backbone: str = _option("study", "")
    router_accept: float = _option("study", 0.95, low=0.5, high=0.999)
    baselines: tuple[str, ...] = _option("study", BASELINES, choices=BASELINES)
    comparison_seeds: tuple[int, ...] = _option("study", (), low=0, high=2**31 - 1)
    bank_share: float = _option("study", 0.1, low=1e-6, high=1)
    bank_limit: int = _option("study", 8000, low=1)
    ablation_switches: tuple[str, ...] = _option("study", ())
    ablation_classes: tuple[str, ...] = _option("study", ())
    ablation_orders: tuple[str, ...] = _option("study", ())  # further task orders, each as nut>grid>leather
    ablation_seeds: tuple[int, ...] = _option("study", (0, 1, 2), low=0)
    ablation_epochs: int = _option("study", 0, low=0)

    def __post_init__(self) -> None:
        problems = [text for spec in fields(self) if (text := _range_problem(spec, getattr(self, spec.name)))]
        if problems:
            raise ConfigError("; ".join(problems))

    @classmethod
    def from_params(cls, params: Mapping[str, object]) -> ExperimentConfig:
        """Build a config from loose notebook or command-line values.

        Args:
            params: field name to value; `preset` chooses the values of every field not named. An
                empty string stands for "as the preset says", so that a notebook can list a field
                without deciding it; `none` empties a text or a list. Comma-separated text is read as a list, text as a number.

        Raises:
            ConfigError: unknown names (with the nearest known one), wrong types, unknown presets,
                all of them in one message.
        """
        known = {spec.name: spec for spec in fields(cls)}
        kinds = typing.get_type_hints(cls)
        preset = params.get("preset") or "v5_final"
        if preset not in PRESETS:
            raise ConfigError(f"unknown preset {preset!r}; known presets: {', '.join(sorted(PRESETS))}")
        values: dict[str, object] = dict(PRESETS[preset])
        if params.get("classes"):  # a preset's choice among its own products does not fit other ones
            values.pop("ablation_classes", None)
        if params.get("classes") or params.get("ablation_classes"):
            values.pop("ablation_orders", None)
        problems = []
        for name, raw in params.items():
            if name not in known:
                problems.append(_unknown(name, known))
            elif raw is None or (isinstance(raw, str) and raw == ""):
                continue
            elif raw == "none" and _kind_name(kinds[name]).startswith(("text", "a list")):
                values[name] = "" if kinds[name] is str else ()
            else:
                try:
                    values[name] = _coerce(raw, kinds[name])
                except (TypeError, ValueError):
                    problems.append(f"{name}: expected {_kind_name(kinds[name])}, got {raw!r}")
        if problems:
            raise ConfigError("; ".join(problems))
        return cls(**{**values, "preset": preset})

    @property
    def score_unit(self) -> str:
        """Unit of patch scores: the flow's nats, unless they are put on the scale of training patches."""
        return ("log standard deviations" if self.compress_scores else "standard deviations") if self.scaled_scores else "nats"

    @property
    def image_score_unit(self) -> str:
        """Unit of image scores: that of patch scores, unless the distance to the prototype has a part in them."""
        return "standard deviations of training images" if self.prototype_weight else self.score_unit

    @property
    def scaled_scores(self) -> bool:
        """Whether patch scores are put on the scale of the task's training patches (`TaskMemory`)."""
        return bool(self.memory_size or self.compress_scores)

    def with_(self, **changes: object) -> ExperimentConfig:
        """A copy with some fields changed, checked again."""
        return replace(self, **changes)

    def group(self, *names: str) -> dict[str, object]:
        """The fields of the named groups, as plain JSON values."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in fields(self) if spec.metadata["group"] in names}

    def to_dict(self) -> dict[str, object]:
        """All fields, as plain JSON values."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown parameter {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _kind_name(kind: object) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind) or f"a list of {'whole numbers' if int in typing.get_args(kind) else 'names'}"


def _coerce(raw: object, kind: object) -> object:
    """Read one loose value as the type its field declares, refusing what only looks alike."""
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        parts = [part.strip() for part in raw.split(",") if part.strip()] if isinstance(raw, str) else raw
        if not isinstance(parts, (list, tuple)):
            parts = [parts]
        return tuple("+".join(part) if item is str and isinstance(part, (list, tuple)) else _coerce(part, item) for part in parts)
    if kind is bool:
        if isinstance(raw, str) and raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        if not isinstance(raw, bool):
            raise TypeError
        return raw
    if kind is str:
        if not isinstance(raw, str):
            raise TypeError
        return raw
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        raise TypeError
    number = float(raw)
    if kind is int:
        if not number.is_integer():
            raise ValueError
        return int(number)
    if not math.isfinite(number):
        raise ValueError
    return number


def _range_problem(spec, value: object) -> str:
    limits = spec.metadata
    items = value if isinstance(value, tuple) else (value,)
    strange = [item for item in items if limits["choices"] and item not in limits["choices"]]
    if strange:
        return f"{spec.name}: expected one of {', '.join(limits['choices'])}, got {strange[0]!r}"
    bad = [n for n in items if not isinstance(n, str) and not limits["low"] <= n <= limits["high"]]
    return f"{spec.name}: expected {limits['low']:g} … {limits['high']:g}, got {bad[0]!r}" if bad else ""
