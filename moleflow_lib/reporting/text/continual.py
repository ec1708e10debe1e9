"""Notebook 03: the sequence of tasks."""

from __future__ import annotations

from collections.abc import Mapping

from moleflow_lib.errors import counted
from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import HEADLINES, METRICS, mean_defined
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.comparison import (
    beside_the_best,
    comparison_result,
    comparison_sentences,
    tiles,
)
from moleflow_lib.reporting.text.thresholds import threshold_rows, threshold_tile
from moleflow_lib.reporting.text.unlabelled import unlabelled_rows
from moleflow_lib.reporting.text.words import percent, score_words, title
from moleflow_lib.studies.baselines.comparison import Comparison
from moleflow_lib.studies.features_and_latents import reference_shift

__all__ = ["class_rows", "continual_result", "continual_sentences", "task_rows"]


def task_rows(experiment: Experiment) -> list[dict[str, object]]:
    """How each task was learned and how far it lies from the base task."""
    rows = []
    for task, history in zip(experiment.tasks, experiment.trainer.histories, strict=True):
        shift = reference_shift(experiment.detector.reference, experiment.features(task, "train"))
        rows.append(
            {
                "task": task.name,
                "training images": len(task.train),
                "steps": history.steps,
                "seconds": history.seconds,
                "final loss (nats)": history.curves["loss"][-1],
                "shift": shift,
                "read from disk": history.resumed,
                "parts": history.state_sha256[:12],
            }
        )
    return rows


def class_rows(evaluation: ContinualResult) -> list[dict[str, object]]:
    """Metrics of each task after the last one, oracle where it differs, and their means where they are
    defined.
    """
    differ = [m for m in METRICS if evaluation.final(m, "oracle") != evaluation.final(m)]
    columns = {
        **{title(m): evaluation.final(m) for m in METRICS},
        **{f"{title(m)} (oracle)": evaluation.final(m, "oracle") for m in differ},
    }
    rows = [
        {"task": name, **{head: values[j] for head, values in columns.items()}}
        for j, name in enumerate(evaluation.classes)
    ]
    means = {key: mean_defined([row[key] for row in rows]) for key in rows[0] if key != "task"}
    marked = len(evaluation.classes_with_masks())
    return [*rows, {"task": f"mean (pixel metrics over {marked} of {len(rows)})", **means}]


def continual_result(
    experiment: Experiment,
    evaluation: ContinualResult,
    comparison: Comparison,
    control: ContinualResult | None,
    unchanged: bool,
) -> dict[str, object]:
    """Contents of `03_continual_tasks.result.json`."""
    thresholds = threshold_rows(experiment)
    return {
        "classes": list(evaluation.classes),
        "R": evaluation.matrices,
        "summary": evaluation.summary(comparison.alone()),
        "classes_with_masks": evaluation.classes_with_masks(),
        "routing": evaluation.routing,
        "unchanged": unchanged,
        "routing_over_time": evaluation.routing_over_time,
        "unlabelled": unlabelled_rows(experiment),
        "thresholds": thresholds,
        **comparison_result(comparison),
        "tiles": [*tiles(comparison), *threshold_tile(thresholds)],
        "seconds": {history.name: history.seconds for history in experiment.trainer.histories},
        "control": None
        if control is None
        else {
            "backbone": experiment.config.study.control_backbone,
            "summary": control.summary(),
            "routing": control.routing,
            "final": {metric: control.final(metric) for metric in METRICS},
        },
    }


def continual_sentences(
    experiment: Experiment,
    evaluation: ContinualResult,
    comparison: Comparison,
    control: ContinualResult | None,
) -> list[str]:
    """Summary of notebook 03: what is detected, who is ahead, what is lost, where it is weak."""
    summary = evaluation.summary()
    right = percent((evaluation.routing or {}).get("accuracy"))
    return [
        _answer(evaluation, comparison),
        *_weakest(evaluation),
        *comparison_sentences(comparison),
        score_words(experiment.config.score),
        f"{_forgetting(summary['image_auroc'])} The router sends {right} of the test images to their task.",
        *_control(experiment, summary, control),
    ]


def _answer(evaluation: ContinualResult, comparison: Comparison) -> str:
    """What is detected, what is lost, and how far that is from the best baseline."""
    summary = evaluation.summary()
    means = []
    for metric in HEADLINES:
        if summary[metric]["routed"]["acc"] is None:
            continue
        routed, oracle = (number(summary[metric][way]["acc"]) for way in ("routed", "oracle"))
        known = sum(value is not None for value in evaluation.final(metric))
        beside = [f"oracle {oracle}"] if oracle != routed else []
        beside += [f"{known} of {len(evaluation.classes)} tasks"] if known < len(evaluation.classes) else []
        means.append(f"{title(metric)} {routed}" + (f" ({', '.join(beside)})" if beside else ""))
    after = f"After {counted(len(evaluation.classes), 'task')}"
    if not means:
        return f"{after} no metric is defined: that takes normal and defective test images of one product."
    lost = summary["image_auroc"]["routed"]["fm_max"]
    parts = [f"{after}, routed: mean {', '.join(means)}"]
    parts += [f"forgetting {number(lost)}"] if lost is not None else []
    return "; ".join(filter(None, [*parts, beside_the_best(comparison)])) + "."


def _forgetting(image: Mapping[str, Mapping[str, float | None]]) -> str:
    if image["oracle"]["fm_max"] is None:
        return "Forgetting is undefined: no earlier task has an image AUROC."
    return (
        f"Forgetting (FM_max of image AUROC) is {image['oracle']['fm_max']:.3f} oracle, verified bit by bit, "
        f"and {image['routed']['fm_max']:.3f} routed."
    )


def _weakest(evaluation: ContinualResult) -> list[str]:
    """The weakest task by image AUROC, unless all are at its ceiling, and by pixel AP."""
    found: dict[str, list[str]] = {}
    for metric, ceiling in (("image_auroc", 0.9995), ("pixel_ap", 1.0)):
        scores = dict(zip(evaluation.classes, evaluation.final(metric), strict=True))
        known = {name: score for name, score in scores.items() if score is not None}
        name = min(known, key=known.__getitem__, default="")
        if name and known[name] < ceiling:
            found.setdefault(name, []).append(f"{title(metric)} {known[name]:.3f}")
    told = [f"{name} at {' and '.join(values)}" for name, values in found.items()]
    return [f"Weakest task: {'; '.join(told)}."] if told else []


def _control(experiment: Experiment, summary: Mapping, control: ContinualResult | None) -> list[str]:
    own = summary["image_auroc"]["routed"]["acc"]
    if not control or own is None:
        return []
    chance = control.summary()["image_auroc"]["routed"]["acc"]
    return [
        f"The control `{experiment.config.study.control_backbone}`, one draw trained with the same settings, "
        f"reaches image AUROC {chance:.3f}; the difference is {own - chance:+.3f}."
    ]
