"""Notebook 05: which settings would have been better or worse than the preset's, or neither."""

from __future__ import annotations

from collections.abc import Callable

from moleflow_lib.metrics import HEADLINES
from moleflow_lib.reporting.text.parts_verdict import is_setting
from moleflow_lib.reporting.text.words import title
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation.differences import paired_differences

__all__ = ["setting_sentences"]

_SHOWN = 6  # the largest of each kind; the table has all


def setting_sentences(rows: Rows, said: Callable[[Row], str]) -> list[str]:
    """One sentence a metric on the variations that change a setting and take nothing out; with one seed on
    the largest moves.

    Args:
        rows: from `run_ablation`.
        said: gives a paired difference in words, with its interval.
    """
    sentences = []
    settings = {row["variation"] for row in rows if is_setting(row["changes"])}
    for metric in HEADLINES:
        moved = [
            gap
            for gap in paired_differences(rows, metric)
            if gap["variation"] in settings and gap["difference"] is not None
        ]
        gaps = [gap for gap in moved if gap["sign"] is not None]
        if not gaps:
            sentences += (
                [f"Settings, {title(metric)}, nothing decided: the largest moves are {_listed(moved, said)}."]
                if moved
                else []
            )
            continue
        better, worse = ([gap for gap in gaps if gap["sign"] == sign] for sign in (1, -1))
        sentences.append(
            f"Settings, {title(metric)}: better than the preset {_listed(better, said)}; worse "
            f"{_listed(worse, said)}; not told apart {len(gaps) - len(better) - len(worse)} of {len(gaps)}."
        )
    return sentences


def _listed(gaps: Rows, said: Callable[[Row], str]) -> str:
    ordered = sorted(gaps, key=lambda gap: -abs(gap["difference"]))
    more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    return (", ".join(f"`{gap['variation']}` {said(gap)}" for gap in ordered[:_SHOWN]) or "none") + more
