"""Notebook 05: what each part earns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.ablation import paired_differences

__all__ = ["ablation_sentences"]


def ablation_sentences(rows: Sequence[Mapping[str, object]], classes: Sequence[str], epochs: int) -> list[str]:
    """Summary of notebook 05."""
    sentences = [
        f"{len(rows)} runs of {epochs} epochs on {', '.join(classes)}; differences are to the preset trained likewise, paired by "
        "seed, ± one standard deviation over seeds."
    ]
    for metric in ("image_auroc", "pixel_ap"):
        moved = [d for d in paired_differences(rows, metric) if d["switch"] != "preset" and d["difference"] is not None]
        moved.sort(key=lambda d: d["difference"])
        clear = [d for d in moved if d["spread"] is not None and abs(d["difference"]) > 2 * d["spread"]]
        if moved:
            sentences.append(
                f"{metric}: lowest against the preset {_difference_words(moved[0])}, highest {_difference_words(moved[-1])}; "
                f"{len(clear)} of {len(moved)} switches differ from the preset by more than twice their spread."
            )
    return sentences


def _difference_words(row: Mapping[str, object]) -> str:
    spread = f" ± {row['spread']:.3f}" if row["spread"] is not None else ""
    return f"{row['switch']} ({row['difference']:+.3f}{spread})"
