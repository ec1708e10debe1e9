"""Where a preset leaves `v5_final`, why, and which switch puts each departure back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from moleflow_lib.config import ExperimentConfig

__all__ = ["REASONS", "Reason", "departure_rows"]

_GROUPS = ("features", "flow", "train", "score", "router")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why an option was changed; `undone_by` names the switch whose row shows what that is worth."""

    why: str
    undone_by: str


def _reason(undone_by: str, why: str) -> Reason:
    return Reason(why=why, undone_by=undone_by)


REASONS: Mapping[str, Reason] = MappingProxyType({
    "block_norm": _reason(
        "no block norm", "Blocks of a vision transformer differ in scale by a large factor, so the plain mean is mostly the "
        "last one. LayerNorm on each block's tokens lets early, local blocks speak as loudly as late ones.",
    ),
    "coupling_layers": _reason(
        "8 blocks", "A fraction of the time in training and at inference, and values saved for the stored patches; a density that "
        "is blurred anyway has little fine detail for more blocks to fit.",
    ),
    "lora_rank": _reason(
        "published LoRA", "Rank and scale belong together: at α = 1 and rank 64 an update is divided by 64 and hardly acts. "
        "Rank 16 at α = 16 has scale 1 and a quarter of the values; what is saved pays for the stored patches.",
    ),
    "lora_alpha": _reason("LoRA alpha 1", "α/r is 1, so that an update acts at the rate it is learned."),
    "whitening_norm": _reason(
        "LayerNorm in the whitening", "LayerNorm takes away each patch's mean and spread over the channels. A defect may show in "
        "just these, and what is left is no density of the patch: LayerNorm has no inverse. With block_norm all patches are on "
        "one scale already.",
    ),
    "count_adapter_volume": _reason(
        "volume left out", "Scaling by γ changes volume. Left out of the log-determinant, the likelihood rewards shrinking γ; "
        "counted, the score is a density.",
    ),
    "steps": _reason(
        "40 epochs", "A fixed number of epochs gives a product with 42 images 120 steps and one with 240 images 600. A budget "
        "of steps gives every product the same training.",
    ),
    "lr": _reason("lr 1e-4", "With a budget of a few hundred steps the published rate stops far from the optimum."),
    "schedule": _reason("constant rate", "A rate that falls to zero ends each task at rest, wherever the budget ends."),
    "clip_norm": _reason("no clipping", "The tail term makes single batches steep; clipping keeps the higher rate stable."),
    "tail_scope": _reason(
        "tail per batch", "Taken over the batch, the tail comes from the one or two hardest images; taken per image, every "
        "image's hardest patches count.",
    ),
    "feature_noise": _reason(
        "no noise", "A likelihood is ruled by the directions in which normal patches hardly vary: tiny deviations there cost "
        "more than a visible defect elsewhere. Noise on patches during training blurs the density to the width of "
        "the noise, the Parzen estimate of that width, whose log is a soft distance to the nearest training patches. "
        "The flow becomes a compressed memory bank that is continuous, and does not overfit small products.",
    ),
    "patch_share": _reason(
        "all patches", "Neighbouring patches say almost the same. Half of the grid, drawn anew each step, halves the time of "
        "the coupling blocks.",
    ),
    "memory_size": _reason(
        "no stored patches", "The flow and the distance to stored patches err in different places. A coreset of 1,024 patches "
        "a task (0.79 M values at D = 768), on the scale of the task's own training scores, is a few per cent of the time and "
        "covers rare normal patches that a smooth density gives too little weight.",
    ),
    "memory_neighbours": _reason(
        "nearest stored patch", "A coreset is picked for being far from everything, so its single nearest patch may be an oddity; "
        "the mean over three asks for more than one witness.",
    ),
    "memory_weight": _reason(
        "evenly", "How much of the score the distance to stored patches has; the flow has the rest. It is the larger share, told "
        "plainly: what the flow adds to it is the row “stored patches alone”, what it is worth without it “no stored patches”.",
    ),
    "compress_scores": _reason(
        "linear scores", "A pixel map is a smoothed patch map. Where one patch scores many times the others, smoothing spreads it "
        "over its neighbours and over the defect's edge, and the largest defects of a product drown the faint ones. The logarithm "
        "of what lies above the training mean keeps the order of patches and evens that out; it does as much for a memory bank.",
    ),
    "prototype_weight": _reason(
        "patches alone", "Patch scores ask whether one patch is strange. A defect that moves many patches a little stays below "
        "that and still moves the image's mean. Its distance to the task's prototype, which the router keeps anyway, tells; with "
        "the task's own Ledoit-Wolf covariance, so that later tasks change no score.",
    ),
    "router_covariance": _reason(
        "router ridge", "The published ridge compares tasks with unlike numbers of images on unlike scales, and sends defective "
        "images of small tasks astray. One pooled covariance treats all alike; notebook 04 asks held-out training images whether "
        "it fits the products at hand.",
    ),
})


def departure_rows(config: ExperimentConfig) -> list[dict[str, object]]:
    """Every option in which a configuration differs from `v5_final`, with the reason where one is recorded.

    Backbone, image size and seed are the user's and are left out.

    >>> [row["option"] for row in departure_rows(ExperimentConfig().with_(lr=1e-3, top_k=1))]
    ['lr', 'top_k']
    """
    published, here = ExperimentConfig().group(*_GROUPS), config.group(*_GROUPS)
    changed = [name for name in here if here[name] != published[name] and name not in ("backbone", "seed")]
    return [
        {"option": name, "v5_final": _shown(published[name]), "here": _shown(here[name]),
         "put back by": REASONS[name].undone_by if name in REASONS else "", "why": REASONS[name].why if name in REASONS else ""}
        for name in changed
    ]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
