"""Notebook 03: the method beside the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from moleflow_lib.errors import counted
from moleflow_lib.metrics import HEADLINES, METRICS
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import title, within
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison, Estimate

__all__ = [
    "beside_the_best",
    "class_comparison_rows",
    "comparison_result",
    "comparison_rows",
    "comparison_sentences",
    "tiles",
]

_WAYS = ("oracle", "routed")
_BARS = ("memory_bank", "gaussian")  # what a flow has to beat


def comparison_rows(comparison: Comparison) -> list[dict[str, object]]:
    """Each method: routed means with their intervals, forgetting in both ways, and what it costs."""
    rows = []
    for name in comparison.runs:
        summary, costs = comparison.summary(name)["image_auroc"], comparison.costs(name)
        rows.append(
            {
                "method": title(name),
                **{title(metric): within(comparison.mean(name, metric)) for metric in HEADLINES},
                "FM_max (oracle)": summary["oracle"]["fm_max"],
                "FM_max (routed)": summary["routed"]["fm_max"],
                "k values a task": round(costs["values_per_task"] / 1e3),
                "MB a task": costs["bytes_per_task"] / 1e6,
                "k shared": round(costs["shared_values"] / 1e3),
                "s to learn": round(costs["learn_seconds"], 1),
                "ms an image": 1e3 * costs["score_seconds"],
            }
        )
    return rows


def class_comparison_rows(comparison: Comparison) -> list[dict[str, object]]:
    """Who wins where: each headline metric on each task, every method, and the method's distance from the
    best other one.
    """
    rows = []
    for metric in HEADLINES:
        finals = {name: comparison.final(name, metric) for name in comparison.runs}
        for j, task in enumerate(comparison.classes):
            values = {name: final[j] for name, final in finals.items()}
            if values[METHOD] is None:
                continue
            rival = max(comparison.others, key=lambda name, own=values: own[name] or 0.0, default=None)
            rows.append(
                {
                    "metric": title(metric),
                    "task": task,
                    "best": " = ".join(title(name) for name in _best(values)),
                    "MoLE-Flow − best other": within(comparison.difference(rival, metric, task=j), sign="+")
                    if rival
                    else None,
                    **{title(name): value for name, value in values.items()},
                }
            )
    return rows


def comparison_result(comparison: Comparison) -> dict[str, object]:
    """What `03_continual_tasks.result.json` says of the baselines."""
    summaries: dict[str, dict[str, Any]] = {name: comparison.summary(name) for name in comparison.runs}
    for name, summary in summaries.items():
        for metric, ways in summary.items():
            for way, values in ways.items():
                values["interval"] = comparison.mean(name, metric, way).interval
    cells, others = [(metric, way) for metric in METRICS for way in _WAYS], comparison.others
    return {
        "comparison_seeds": list(comparison.seeds),
        "baselines": {
            name: _nested({cell: comparison.final(name, *cell) for cell in cells}) for name in others
        },
        "baseline_summary": summaries,
        "baseline_differences": {
            name: _nested({cell: asdict(comparison.difference(name, *cell)) for cell in cells})
            for name in others
        },
        "baseline_costs": {name: comparison.costs(name) for name in comparison.runs},
    }


def comparison_sentences(comparison: Comparison) -> list[str]:
    """Who is ahead, against what a flow has to beat, and what fine-tuning forgets; losses as losses."""
    if not comparison.others:
        return []
    if comparison.mean(METHOD, "image_auroc").value is None:
        return ["No task has normal and defective test images, so nothing can be compared."]
    return [
        _ranking(comparison),
        *(_duel(comparison, name) for name in _BARS if name in comparison.others),
        *_forgetting(comparison),
    ]


def beside_the_best(comparison: Comparison) -> str:
    """The method's distance from the best baseline in words, with its interval; empty without a baseline."""
    best = comparison.best("image_auroc")
    if not best:
        return ""
    gap = comparison.difference(best, "image_auroc")
    if gap.value is None:
        return ""
    return f"image AUROC minus that of the best baseline, {title(best)}: {within(gap, '+')} ({_verdict(gap)})"


def tiles(comparison: Comparison) -> list[dict[str, object]]:
    """The headline numbers of a report: each metric with its interval, the best baseline and what a flow has
    to beat beside it; then what is forgotten, beside what fine-tuning forgets.
    """
    found = []
    for metric in HEADLINES:
        own = comparison.mean(METHOD, metric)
        if own.value is None:
            continue
        best = comparison.best(metric)
        against = f"best baseline: {_with_mean(comparison, best, metric)}" if best else "no baseline"
        others = [
            _with_mean(comparison, name, metric)
            for name in _BARS
            if name in comparison.others and name != best
        ]
        facts = {"label": title(metric), "value": own.value, "interval": own.interval}
        found.append({**facts, "against": against, "others": others})
    return [*found, *_forgotten_tile(comparison)]


def _with_mean(comparison: Comparison, name: str, metric: str) -> str:
    return f"{title(name)} {number(comparison.mean(name, metric).value)}"


def _forgotten_tile(comparison: Comparison) -> list[dict[str, object]]:
    lost = comparison.summary(METHOD)["image_auroc"]["routed"]["fm_max"]
    if lost is None:
        return []
    tuned = _fine_tuned_loss(comparison)
    against = f"{title('fine_tune')} {number(tuned)}" if tuned is not None else ""
    return [{"label": "forgetting, image AUROC", "value": lost, "interval": None, "against": against}]


def _ranking(comparison: Comparison) -> str:
    ranked = sorted(comparison.runs, key=lambda name: -(comparison.mean(name, "image_auroc").value or 0))
    listed = ", ".join(
        f"{title(name)} {number(comparison.mean(name, 'image_auroc').value)}" for name in ranked
    )
    wins = sum(METHOD in _best(values) for values in _by_task(comparison, "image_auroc"))
    return (
        f"Mean image AUROC, best first: {listed}; MoLE-Flow is highest, or ties, on {wins} of "
        f"{counted(len(comparison.classes), 'task')}."
    )


def _by_task(comparison: Comparison, metric: str) -> list[dict[str, float | None]]:
    """Each task's value of a metric under every method; tasks where it is undefined left out."""
    finals = {name: comparison.final(name, metric) for name in comparison.runs}
    columns = [{name: final[j] for name, final in finals.items()} for j in range(len(comparison.classes))]
    return [values for values in columns if values[METHOD] is not None]


def _duel(comparison: Comparison, name: str) -> str:
    parts = []
    for metric in HEADLINES:
        gap = comparison.difference(name, metric)
        if gap.value is not None:
            parts.append(f"{title(metric)} {within(gap, sign='+')} ({_verdict(gap)})")
    return f"MoLE-Flow minus {title(name)}: {', '.join(parts)}."


def _verdict(gap: Estimate) -> str:
    if gap.value is None or not gap.decided():
        return "undecided"
    return "better" if gap.value > 0 else "worse"


def _forgetting(comparison: Comparison) -> list[str]:
    lost = _fine_tuned_loss(comparison)
    return (
        []
        if lost is None
        else [f"Fine-tuning one flow from task to task forgets {number(lost)} image AUROC (FM_max)."]
    )


def _fine_tuned_loss(comparison: Comparison) -> float | None:
    """FM_max of image AUROC of one flow trained on product after product; None where it was not run."""
    if "fine_tune" not in comparison.runs:
        return None
    return comparison.summary("fine_tune")["image_auroc"]["oracle"]["fm_max"]


def _nested(cells: dict[tuple[str, str], object]) -> dict[str, dict[str, object]]:
    """(metric, way) → value as metric → way → value."""
    return {metric: {way: cells[metric, way] for way in _WAYS} for metric in METRICS}


def _best(values: dict[str, float | None]) -> Sequence[str]:
    top = max(value for value in values.values() if value is not None)
    return [name for name, value in values.items() if value is not None and value >= top - 1e-9]
