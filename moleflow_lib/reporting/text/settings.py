"""Notebook 05: which settings would have been better or worse than the preset's, and which nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from moleflow_lib.studies.ablation.differences import paired_differences
from moleflow_lib.studies.ablation.switches import SWITCHES

__all__ = ["setting_sentences"]

Row = Mapping[str, object]
_METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP", "aupro": "AUPRO"}
_SHOWN = 6  # the largest of each kind; the table has all


def setting_sentences(rows: Sequence[Row], told: Callable[[Row], str]) -> list[str]:
    """One sentence a metric on the switches that change a setting and take nothing out; with one seed on the largest moves.

    Args:
        rows: from `run_ablation`.
        told: gives a paired difference in words, with its interval.
    """
    sentences = []
    for metric, title in _METRICS.items():
        moved = [gap for gap in paired_differences(rows, metric) if _is_setting(gap["switch"]) and gap["difference"] is not None]
        gaps = [gap for gap in moved if gap["sign"] is not None]
        if not gaps:
            sentences += [f"Settings, {title}, nothing decided: the largest moves are {_listed(moved, told)}."] if moved else []
            continue
        better, worse = ([gap for gap in gaps if gap["sign"] == sign] for sign in (1, -1))
        sentences.append(
            f"Settings, {title}: better than the preset {_listed(better, told)}; worse {_listed(worse, told)}; "
            f"not told apart {len(gaps) - len(better) - len(worse)} of {len(gaps)}."
        )
    return sentences


def _is_setting(switch: str) -> bool:
    return switch in SWITCHES and switch != "preset" and not SWITCHES[switch].part


def _listed(gaps: Sequence[Row], told: Callable[[Row], str]) -> str:
    ordered = sorted(gaps, key=lambda gap: -abs(gap["difference"]))
    more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    return (", ".join(f"`{gap['switch']}` {told(gap)}" for gap in ordered[:_SHOWN]) or "none") + more
