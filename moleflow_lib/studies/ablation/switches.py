"""The switch table: every part and setting of the method that the ablations turn, as data.

A switch may be named in both directions ("log-det penalty", "no log-det penalty"): one that would
leave a preset as it is is left out of that preset's grid, so the same table serves every preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MOOT_WITHOUT", "RECORD", "SWITCHES", "Published", "Switch"]

RECORD = "public logs and papers, measured on MVTec AD with other backbones and settings"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the public record says a switch does to one metric.

    Attributes:
        metric: one of `METRICS`.
        difference: to the unchanged method, as a fraction (−0.06 = six points lower); None where the
            record gives a direction and no number.
        words: the record's statement.
    """

    metric: str
    difference: float | None
    words: str


@dataclass(frozen=True, kw_only=True)
class Switch:
    """One question put to the method.

    Attributes:
        question: what is asked.
        changes: config fields and the values they get.
        part: the part that the switch takes out, if that is what it does.
        published: effects in the public record.
    """

    question: str
    changes: Mapping[str, object]
    part: str = ""
    published: tuple[Published, ...] = ()


def _switch(question: str, *published: Published, part: str = "", **changes: object) -> Switch:
    return Switch(question=question, changes=MappingProxyType(changes), part=part, published=published)


def _image(points: float, words: str = "") -> Published:
    return Published(metric="image_auroc", difference=points / 100, words=words or f"{points:+.1f} image AUROC")


def _pixel(points: float, words: str = "") -> Published:
    return Published(metric="pixel_ap", difference=points / 100, words=words or f"{points:+.1f} pixel AP")


_COLLAPSE = Published(metric="image_auroc", difference=None, words="12 or more coupling blocks collapse")
_FLAT = (_image(0.0, "rank 16 to 128: flat"), _pixel(0.0, "rank 16 to 128: flat"))
_PENALTY = "without the log-det penalty −4.0 pixel AP"

SWITCHES: Mapping[str, Switch] = MappingProxyType({
    "preset": _switch("the preset itself"),
    # backbone and input
    "block norm": _switch("LayerNorm on each block's tokens before their mean", block_norm=True),
    "no block norm": _switch(
        "plain mean of the blocks' tokens; without LayerNorm in the whitening, noise then weighs differently", block_norm=False,
    ),
    "even blocks": _switch("blocks 2, 4, 6 and 8 of the transformer", blocks=(2, 4, 6, 8)),
    "448 pixels": _switch("a finer grid: larger images, position embedding interpolated", image_size=448),
    "overlapping patches": _switch("patches half a patch apart: four passes of the backbone, a grid twice as fine", overlap=2),
    "no position": _switch("without positional encoding", _pixel(-1.8), part="position", use_position=False),
    "with position": _switch("with positional encoding", use_position=True),
    "position at a tenth": _switch("positional encoding times 0.1", position_scale=0.1),
    # before the flow
    "no whitening": _switch(
        "without the whitening adapter; feature noise, if any, is then in the features' units", _pixel(-7.0), part="whitening",
        use_whitening=False,
    ),
    "LayerNorm in the whitening": _switch(
        "each patch standardised over its channels before γ, β, which also sets the unit of feature noise", whitening_norm=True,
    ),
    "no LayerNorm in the whitening": _switch(
        "γ, β on patches as they come; feature noise is then in their units", whitening_norm=False,
    ),
    "volume counted": _switch("log γ in the log-determinant", count_adapter_volume=True),
    "volume left out": _switch("log γ left out of the log-determinant", count_adapter_volume=False),
    "no identity regulariser": _switch("base whitening not held near 1", part="identity regulariser", identity_weight=0.0),
    "identity regulariser": _switch("base whitening held near 1", identity_weight=0.1),
    "no mixer": _switch("without spatial context", _pixel(-2.9), part="mixer", use_mixer=False),
    "with mixer": _switch("with spatial context", use_mixer=True),
    # the coupling blocks
    "2 blocks": _switch("depth", coupling_layers=2),
    "4 blocks": _switch("depth", coupling_layers=4),
    "6 blocks": _switch("depth", coupling_layers=6),
    "8 blocks": _switch("depth", coupling_layers=8),
    "12 blocks": _switch("depth", _COLLAPSE, coupling_layers=12),
    "16 blocks": _switch("depth", _COLLAPSE, coupling_layers=16),
    # low-rank updates
    "no LoRA": _switch("without low-rank updates", _image(-0.1), _pixel(-0.5), part="lora", use_lora=False),
    "no task bias": _switch("without the bias per task", part="task_bias", use_task_bias=False),
    "no LoRA or bias": _switch("the base subnets as they are", use_lora=False, use_task_bias=False),
    "rank 4": _switch("LoRA rank, α fixed, so α/r moves too", lora_rank=4),
    "rank 8": _switch("LoRA rank, α fixed", lora_rank=8),
    "rank 16": _switch("LoRA rank, α fixed", *_FLAT, lora_rank=16),
    "rank 32": _switch("LoRA rank, α fixed", *_FLAT, lora_rank=32),
    "rank 64": _switch("LoRA rank, α fixed", *_FLAT, lora_rank=64),
    "rank 128": _switch("LoRA rank, α fixed", *_FLAT, lora_rank=128),
    "LoRA alpha 1": _switch("the published α: updates that hardly act", lora_alpha=1.0),
    "LoRA alpha 16": _switch("updates that act at rank 16", lora_alpha=16.0),
    "published LoRA": _switch("rank 64 at α = 1: four times the values, updates that hardly act", lora_rank=64, lora_alpha=1.0),
    "LoRA alpha 64": _switch("a larger α/r: updates that act", lora_alpha=64.0),
    # the invertible adapter
    "no DIA": _switch("without the invertible adapter", _image(-6.0), part="dia", dia_blocks=0),
    "1 DIA block": _switch("depth of the invertible adapter", dia_blocks=1),
    "2 DIA blocks": _switch("depth of the invertible adapter", dia_blocks=2),
    "4 DIA blocks": _switch("depth of the invertible adapter", dia_blocks=4),
    "DIA alone": _switch(
        "no coupling blocks at all", _image(0.05, "98.1 against 98.05 image AUROC"), _pixel(-2.5, "53.3 against 55.8 pixel AP"),
        part="base", coupling_layers=0,
    ),
    # the loss
    "no tail loss": _switch("plain mean likelihood", _image(-3.1), _pixel(-7.2), part="tail loss", tail_weight=0.0),
    "tail 0.3": _switch("less weight on the tail", tail_weight=0.3),
    "tail 0.7": _switch("more weight on the tail", tail_weight=0.7),
    "tail of 1 %": _switch("tail of fewer patches", tail_ratio=0.01),
    "tail of 10 %": _switch("tail of more patches", tail_ratio=0.10),
    "tail per image": _switch("tail taken per image", tail_scope="image"),
    "tail per batch": _switch("tail taken over the batch", tail_scope="batch"),
    "log-det penalty": _switch("1e-4 · mean log-det²", _pixel(4.0, _PENALTY), log_det_penalty=1e-4),
    "no log-det penalty": _switch("volumes left free", _pixel(-4.0, _PENALTY), part="log-det penalty", log_det_penalty=0.0),
    # the optimiser
    "cosine rate": _switch("learning rate falls to zero", schedule="cosine"),
    "constant rate": _switch("learning rate stays", schedule="constant"),
    "warm-up": _switch("100 steps of rising rate", warmup_steps=100),
    "no warm-up": _switch("full rate from the first step", warmup_steps=0),
    "clipping": _switch("gradient norm held to 0.5", clip_norm=0.5),
    "no clipping": _switch("gradients as they come", clip_norm=0.0),
    "lr 3e-4": _switch("learning rate", lr=3e-4),
    "lr 1e-3": _switch("learning rate", lr=1e-3),
    "faster training": _switch(
        "lr 1e-3, cosine, clipped at 0.5, tail per image", lr=1e-3, schedule="cosine", clip_norm=0.5, tail_scope="image",
    ),
    "lr 1e-4": _switch("learning rate", lr=1e-4),
    "150 steps": _switch("step budget of each task", steps=150),
    "300 steps": _switch("step budget of each task", steps=300),
    "600 steps": _switch("step budget of each task", steps=600),
    "40 epochs": _switch("epochs in place of a step budget, so small tasks get fewer steps", steps=0, epochs=40),
    "half the patches": _switch("each step sees half of the grid", patch_share=0.5),
    "all patches": _switch("each step sees the whole grid", patch_share=1.0),
    # blurred density
    "no noise": _switch("the density of the patches as they are", part="feature noise", feature_noise=0.0),
    "noise 0.1": _switch("density blurred by noise of width 0.1", feature_noise=0.1),
    "noise 0.3": _switch("density blurred by noise of width 0.3", feature_noise=0.3),
    "noise 0.5": _switch("density blurred by noise of width 0.5", feature_noise=0.5),
    # stored patches, nothing trained anew
    "no stored patches": _switch("the flow's score alone", part="stored_patches", memory_size=0),
    "256 stored patches": _switch("fewer stored patches", memory_size=256),
    "1024 stored patches": _switch("stored patches share the score", memory_size=1024),
    "nearest stored patch": _switch("distance to the one nearest stored patch", memory_neighbours=1),
    "5 stored neighbours": _switch("mean distance to five stored patches", memory_neighbours=5),
    "stored patches alone": _switch("the flow's score left out", part="the flow's score", memory_weight=1.0),
    "mostly the flow": _switch("distance to stored patches weighs 0.3", memory_weight=0.3),
    "evenly": _switch("distance to stored patches weighs 0.5", memory_weight=0.5),
    "mostly stored patches": _switch("distance to stored patches weighs 0.7", memory_weight=0.7),
    # the router, nothing trained anew
    "router ridge": _switch("seed covariance + 1e-5·I", router_covariance="ridge"),
    "router Ledoit-Wolf": _switch("shrunk covariance", router_covariance="ledoit_wolf"),
    "router OAS": _switch("shrunk covariance", router_covariance="oas"),
    "router tied": _switch("one covariance for all tasks", router_covariance="tied"),
    "router diagonal": _switch("variances alone", router_covariance="diagonal"),
    "router Euclidean": _switch("distance to the mean alone", router_covariance="euclidean"),
    # the scores, nothing trained anew
    "top-1": _switch("image score from the highest patch", score_mode="top_k", top_k=1),
    "top-3": _switch("image score from the 3 highest patches", score_mode="top_k", top_k=3),
    "top-10": _switch("image score from the 10 highest patches", score_mode="top_k", top_k=10),
    "mean score": _switch("image score from all patches", score_mode="mean"),
    "compressed scores": _switch("logarithm of scores above the training mean", compress_scores=True),
    "linear scores": _switch("scores as they are", compress_scores=False),
    "patches alone": _switch("image score without the distance to the prototype", part="prototype distance", prototype_weight=0.0),
    "prototype distance": _switch("distance to the router's prototype has 0.3 of the image score", prototype_weight=0.3),
    "half prototype": _switch("distance to the router's prototype has 0.5 of the image score", prototype_weight=0.5),
    "half the log-det": _switch("½‖z‖² − ½ log-det", log_det_weight=0.5),
    "energy alone": _switch("½‖z‖² without log-det", part="log-det in the score", log_det_weight=0.0),
    "no smoothing": _switch("raw pixel maps", part="smoothing", smoothing_sigma=0.0),
    "smoothing 4": _switch("pixel maps smoothed with σ = 4 pixels", smoothing_sigma=4.0),
    "smoothing 8": _switch("pixel maps smoothed with σ = 8 pixels", smoothing_sigma=8.0),
})

# a field on the left says nothing while the one on the right is off (zero, false or the named value)
MOOT_WITHOUT: Mapping[str, str] = MappingProxyType({
    "lora_rank": "use_lora", "lora_alpha": "use_lora", "identity_weight": "use_whitening",
    "count_adapter_volume": "use_whitening", "whitening_norm": "use_whitening",
    "tail_scope": "tail_weight", "tail_ratio": "tail_weight", "use_lora": "coupling_layers", "use_task_bias": "coupling_layers",
    "memory_weight": "memory_size", "memory_neighbours": "memory_size", "position_scale": "use_position",
})
