"""Notebook 03: the method against plainer ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import title, within
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison, Estimate

__all__ = ["HEADLINES", "class_comparison_rows", "comparison_result", "comparison_rows", "comparison_sentences"]

HEADLINES = ("image_auroc", "pixel_ap", "aupro")
_WAYS = ("oracle", "routed")
_ISOLATED = ("memory_bank", "padim", "separate", "adapter_only")


def comparison_rows(comparison: Comparison) -> list[dict[str, object]]:
    """Each method: routed means with their intervals, forgetting in both ways, and what it costs."""
    rows = []
    for name in comparison.runs:
        summary, costs = comparison.summary(name)["image_auroc"], comparison.costs(name)
        rows.append({
            "method": title(name),
            **{title(metric): within(comparison.mean(name, metric)) for metric in HEADLINES},
            "FM_max (told)": summary["oracle"]["fm_max"], "FM_max (routed)": summary["routed"]["fm_max"],
            "k values a task": round(costs["values_per_task"] / 1e3), "MB a task": costs["bytes_per_task"] / 1e6,
            "k shared": round(costs["shared_values"] / 1e3), "s to learn": round(costs["learn_seconds"], 1),
            "ms an image": 1e3 * costs["score_seconds"],
        })
    return rows


def class_comparison_rows(comparison: Comparison) -> list[dict[str, object]]:
    """Who wins where: each headline metric on each task, every method, and the method's distance from the best other one."""
    rows = []
    for metric in HEADLINES:
        finals = {name: comparison.final(name, metric) for name in comparison.runs}
        for j, task in enumerate(comparison.classes):
            values = {name: final[j] for name, final in finals.items()}
            if values[METHOD] is None:
                continue
            rival = max(comparison.others, key=values.get, default=None)
            rows.append({
                "metric": title(metric), "task": task, "best": " = ".join(title(name) for name in _best(values)),
                "MoLE-Flow − best other": within(comparison.difference(rival, metric, task=j), sign="+") if rival else None,
                **{title(name): value for name, value in values.items()},
            })
    return rows


def comparison_result(comparison: Comparison) -> dict[str, object]:
    """What `03_continual_tasks.result.json` says of the plainer methods."""
    summaries = {name: comparison.summary(name) for name in comparison.runs}
    for name, summary in summaries.items():
        for metric, ways in summary.items():
            for way, values in ways.items():
                values["interval"] = comparison.mean(name, metric, way).interval
    cells, others = [(metric, way) for metric in METRICS for way in _WAYS], comparison.others
    return {
        "comparison_seeds": list(comparison.seeds),
        "baselines": {name: _nested({cell: comparison.final(name, *cell) for cell in cells}) for name in others},
        "baseline_summary": summaries,
        "baseline_differences": {
            name: _nested({cell: asdict(comparison.difference(name, *cell)) for cell in cells}) for name in others
        },
        "baseline_costs": {name: comparison.costs(name) for name in comparison.runs},
    }


def comparison_sentences(comparison: Comparison) -> list[str]:
    """What the comparison says, weak results of the method included."""
    if not comparison.others:
        return []
    if comparison.mean(METHOD, "image_auroc").value is None:
        return ["No task has normal and defective test images, so nothing can be compared."]
    sentences = [_standing(comparison), *(_duel(comparison, name) for name in ("memory_bank",) if name in comparison.others)]
    sentences += [_winners(comparison, metric) for metric in HEADLINES if comparison.mean(METHOD, metric).value is not None]
    return [*sentences, *_forgetting(comparison), *_gaps(comparison), _certainty(comparison)]


def _standing(comparison: Comparison) -> str:
    ranked = sorted(comparison.runs, key=lambda name: -(comparison.mean(name, "image_auroc").value or 0))
    listed = ", ".join(f"{title(name)} {within(comparison.mean(name, 'image_auroc'))}" for name in ranked)
    return f"Mean image AUROC, routed where a method has parts for each task, best first: {listed}."


def _duel(comparison: Comparison, name: str) -> str:
    parts = []
    for metric in HEADLINES:
        gap = comparison.difference(name, metric)
        if gap.value is not None:
            parts.append(f"{title(metric)} {number(comparison.mean(name, metric).value)} (MoLE-Flow {_verdict(gap)})")
    return f"A {title(name)} for each product, chosen by the same router, scores {', '.join(parts)}."


def _verdict(gap: Estimate) -> str:
    standing = ("better" if gap.value > 0 else "worse") if gap.decided() else "undecided"
    return f"{within(gap, sign='+')}: {standing}"


def _winners(comparison: Comparison, metric: str) -> str:
    finals, wins = {name: comparison.final(name, metric) for name in comparison.runs}, {}
    for j, task in enumerate(comparison.classes):
        if finals[METHOD][j] is not None:
            best = _best({name: final[j] for name, final in finals.items()})
            wins.setdefault(" = ".join(title(name) for name in best), []).append(task)
    listed = "; ".join(f"{who} on {', '.join(tasks)}" for who, tasks in wins.items())
    return f"Highest {title(metric)}, decided or not: {listed}."


def _forgetting(comparison: Comparison) -> list[str]:
    forgotten = {name: comparison.summary(name)["image_auroc"] for name in comparison.runs}
    if forgotten[METHOD]["oracle"]["fm_max"] is None:
        return []
    isolated = [name for name in (METHOD, *_ISOLATED) if name in forgotten]
    listed = ", ".join(f"{title(name)} {number(forgotten[name]['routed']['fm_max'])}" for name in isolated)
    sentences = [
        "Told the task, every method with parts of its own for each task forgets exactly 0: scores of training images of each "
        f"task were compared bit by bit. FM_max of image AUROC when routed: {listed}."
    ]
    if "fine_tune" in forgotten:
        lost = forgotten["fine_tune"]["oracle"]
        sentences.append(
            f"Fine-tuning one flow from task to task forgets {number(lost['fm_max'])} image AUROC (FM_max: best earlier value − "
            f"last value, mean over earlier tasks; FM_first, against the value when just learned: {number(lost['fm_first'])})."
        )
    return sentences


def _gaps(comparison: Comparison) -> list[str]:
    words = {"separate": "Against a separate flow for each task", "joint": "Against one flow trained on all tasks at once"}
    return [
        f"{text}{', both told the task' if way == 'oracle' else ''}, MoLE-Flow's image AUROC is "
        f"{_verdict(comparison.difference(name, 'image_auroc', way))}."
        for (name, text), way in zip(words.items(), ("oracle", "routed"), strict=True)
        if name in comparison.others
    ]


def _certainty(comparison: Comparison) -> str:
    drawn = "Brackets are 95 % bootstrap intervals; differences are taken on the same drawn images, undecided ones hold zero"
    if len(comparison.seeds) == 1:
        return f"{drawn}. With one training seed they say how sure the test images make us, and nothing about the luck of training."
    return f"{drawn}; they combine test images with {len(comparison.seeds)} training seeds."


def _nested(cells: dict[tuple[str, str], object]) -> dict[str, dict[str, object]]:
    """(metric, way) → value as metric → way → value."""
    return {metric: {way: cells[metric, way] for way in _WAYS} for metric in METRICS}


def _best(values: dict[str, float | None]) -> Sequence[str]:
    top = max(value for value in values.values() if value is not None)
    return [name for name, value in values.items() if value is not None and value >= top - 1e-9]
