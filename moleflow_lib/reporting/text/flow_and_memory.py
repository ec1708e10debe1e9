"""Notebook 05: why the flow wins or loses against stored patches, and what blurring its density is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from moleflow_lib.studies.ablation.differences import paired_differences

__all__ = ["flow_and_memory_sentences"]

_METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP", "aupro": "AUPRO"}
_NATURE = (
    "A flow is a smooth density: it fills the gaps between training patches and knows where on the product a patch lies, and it "
    "gives rare but normal patches little credit. The distance to stored patches is the reverse: exact where a patch was seen, "
    "blind to position and to how common a patch is."
)
_BLUR = (
    "Unblurred, a likelihood is ruled by directions in which normal patches hardly vary; blurred by noise it is a soft distance to "
    "the nearest training patches, so a defect that is plain to the eye costs more than a deviation nobody sees."
)


def flow_and_memory_sentences(rows: Sequence[Mapping[str, object]], told: Callable[[Mapping[str, object]], str]) -> list[str]:
    """What the flow and the stored patches are worth to each other, where both were taken out.

    Args:
        rows: from `run_ablation`.
        told: gives a paired difference in words, with its interval.
    """
    sentences, gaps = [], {metric: {gap["switch"]: gap for gap in paired_differences(rows, metric)} for metric in _METRICS}

    def listed(switch: str) -> str:
        return ", ".join(f"{title} {told(gaps[metric][switch])}" for metric, title in _METRICS.items())

    here = set(gaps["image_auroc"])
    if {"no stored patches", "stored patches alone"} <= here:
        sentences.append(
            f"Why the flow wins or loses: without stored patches {listed('no stored patches')}; with stored patches and without "
            f"the flow {listed('stored patches alone')}. {_NATURE} "
            "Where taking one out costs nothing, it does not earn its place."
        )
    if "no noise" in here:
        sentences.append(f"Without feature noise: {listed('no noise')}. {_BLUR}")
    return sentences
