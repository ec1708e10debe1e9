"""Notebook 03: what thresholds from normal training images are worth on test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import calibration_rows, learned_detector
from moleflow_lib.reporting.text.words import percent

__all__ = ["threshold_caption", "threshold_rows", "threshold_tile", "trained_warning"]

_RATES = (0.01, 0.05)  # false-alarm rates asked for
_SHOWN = (
    *("task", "folds", "asked", "promised", "normal"),
    *("over threshold", "over threshold low", "over threshold high", "refused normal"),
    *("defective", "refused defective", "caught", "caught low", "caught high"),
)


def threshold_rows(experiment: Experiment) -> list[dict[str, object]]:
    """`calibration_rows` of the experiment's own detector, for each of two false-alarm rates.

    Returns:
        One row a rate and task, and one for all tasks: `task`, `folds` (none needed where
        neither flow nor whitening scores images), `asked`, `promised`, `normal`, `over
        threshold`, `refused normal`, `defective`, `refused defective`, `caught`; shares with their 95 %
        Wilson intervals.
    """
    learned = learned_detector(experiment)
    rows = [row for rate in _RATES for row in calibration_rows(experiment.evaluators, learned, rate)]
    needed = {} if experiment.config.score.image_score_is_fitted else {"folds": "none needed"}
    return [{name: {**row, **needed}.get(name) for name in _SHOWN} for row in rows]


def threshold_caption(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the rows of `threshold_rows` say, in words."""
    sums = [row for row in rows if row["task"] == "all"] or list(rows)
    came = "; ".join(
        f"asked for {percent(row['asked'])}, {percent(row['over threshold'])} of {row['normal']} normal test "
        f"images lie above the threshold and {row['refused normal']} are accepted by no task; "
        f"{percent(row['caught'])} of {row['defective']} defective ones are caught, and "
        f"{row['refused defective']} of the {row['defective']} are accepted by no task"
        for row in sums
        if row["normal"] and row["defective"]
    )
    trained = tuple(dict.fromkeys(str(row["task"]) for row in rows if row["folds"] == 0))
    return " ".join(
        [
            "Thresholds set by normal training images alone, at the false-alarm rate asked for, with 95 % "
            "intervals.",
            f"In all: {came}." if came else "",
            "Promised: a task of n training images can promise no rate below 1/(n + 1). Refused: farther "
            "from every task than its own held-out images, whatever the score: a line stops these too, "
            "defective or not.",
            trained_warning(trained),
        ]
    ).strip()


def threshold_tile(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Headline of `threshold_rows`: defects caught at the smallest false-alarm rate asked for."""
    sums = [row for row in rows if row["task"] == "all"] or list(rows)
    first = min((row for row in sums if row["normal"] and row["defective"]), key=_asked, default=None)
    if first is None:
        return []
    stopped = round(first["over threshold"] * first["normal"])
    asked = first["asked"]
    promised = max(row["promised"] for row in rows if row["asked"] == asked and row["promised"] is not None)
    beside = f" ({percent(promised)} can be promised)" if promised > asked else ""
    return [
        {
            "label": f"defects caught, {percent(asked)} false alarms asked for{beside}",
            "value": first["caught"],
            "interval": [first["caught low"], first["caught high"]],
            "against": "over the threshold or refused as unknown; "
            f"of {first['normal']} normal images {stopped} and {first['refused normal']}",
        }
    ]


def _asked(row: Mapping[str, Any]) -> float:
    return row["asked"]


def trained_warning(tasks: Sequence[str]) -> str:
    """What must be said of thresholds that rest on images the flow was trained on; empty without tasks.

    >>> trained_warning(["nut"]).split(",")[0]
    'The thresholds of nut rest on images that the flow was trained on'
    """
    if not tasks:
        return ""
    return (
        f"The thresholds of {', '.join(tasks)} rest on images that the flow was trained on, so they are too "
        "low, and more normal images than asked for are flagged; learn with calibration_folds=2 or more, or "
        "with more images where none could be held out."
    )
