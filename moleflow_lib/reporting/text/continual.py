"""Notebook 03: the sequence of tasks."""

from __future__ import annotations

from collections.abc import Mapping

from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, mean_defined
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.comparison import comparison_result, comparison_sentences
from moleflow_lib.reporting.text.unlabelled import unlabelled_rows
from moleflow_lib.reporting.text.words import percent
from moleflow_lib.studies.baselines.comparison import Comparison
from moleflow_lib.studies.features_and_latents import reference_shift

__all__ = ["class_rows", "continual_result", "continual_sentences", "task_rows"]

_PART_WORDS = {
    "flow": "the flow's likelihood", "gaussian": "the energy of the whitening",
    "memory": "the mean distance to the three nearest stored patches",
}


def task_rows(experiment: Experiment) -> list[dict[str, object]]:
    """How each task was learned and how far it lies from the base task."""
    rows = []
    for task, history in zip(experiment.tasks, experiment.trainer.histories, strict=True):
        shift = reference_shift(experiment.detector.reference, experiment.features(task, "train"))
        rows.append({
            "task": task.name, "training images": len(task.train), "steps": history.steps, "seconds": history.seconds,
            "final loss (nats)": history.curves["loss"][-1], "shift": shift, "read from disk": history.resumed,
            "parts": history.state_sha256[:12],
        })
    return rows


def class_rows(evaluation: ContinualResult) -> list[dict[str, object]]:
    """Metrics of each task after the last one, with the mean over the tasks where they are defined."""
    columns = [(metric, way) for metric in METRICS for way in ("routed", "oracle")]
    rows = [
        {"task": name, **{f"{m} ({way})" if way == "oracle" else m: evaluation.final(m, way)[j] for m, way in columns}}
        for j, name in enumerate(evaluation.classes)
    ]
    means = {key: mean_defined([row[key] for row in rows]) for key in rows[0] if key != "task"}
    marked = len(evaluation.classes_with_masks())
    return [*rows, {"task": f"mean (pixel metrics over {marked} of {len(rows)})", **means}]


def continual_result(
    experiment: Experiment, evaluation: ContinualResult, comparison: Comparison, control: ContinualResult | None, unchanged: bool
) -> dict[str, object]:
    """Contents of `03_continual_tasks.result.json`."""
    return {
        "classes": list(evaluation.classes), "R": evaluation.matrices, "summary": evaluation.summary(comparison.alone()),
        "classes_with_masks": evaluation.classes_with_masks(), "routing": evaluation.routing, "unchanged": unchanged,
        "routing_over_time": evaluation.routing_over_time,
        "unlabelled": unlabelled_rows(experiment),
        **comparison_result(comparison),
        "seconds": {history.name: history.seconds for history in experiment.trainer.histories},
        "control": None if control is None else {
            "backbone": experiment.config.study.control_backbone, "summary": control.summary(), "routing": control.routing,
            "final": {metric: control.final(metric) for metric in METRICS},
        },
    }


def continual_sentences(
    experiment: Experiment, evaluation: ContinualResult, comparison: Comparison, control: ContinualResult | None
) -> list[str]:
    """Summary of notebook 03."""
    summary, names = evaluation.summary(), evaluation.classes
    image, pixel = summary["image_auroc"], summary["pixel_ap"]
    scores = dict(zip(names, evaluation.final("image_auroc"), strict=True))
    weakest = min((n for n in names if scores[n] is not None), key=scores.get, default=None)
    sentences = [
        f"After {len(names)} task(s), not told the task: mean image AUROC {number(image['routed']['acc'])} "
        f"(told: {number(image['oracle']['acc'])}), mean pixel AP {number(pixel['routed']['acc'])} (told: "
        f"{number(pixel['oracle']['acc'])}) over the {len(evaluation.classes_with_masks())} task(s) with masks.",
        *_score_words(experiment, summary["aupro"]["routed"]["acc"]),
        _forgetting_words(image),
        f"The router chose the right task for {percent(evaluation.routing['accuracy'])} of the test images.",
    ]
    if weakest:
        sentences.append(f"Weakest product: {weakest} at image AUROC {scores[weakest]:.3f}.")
    sentences += comparison_sentences(comparison)
    unlabelled = int(sum((evaluator.labels == -1).sum() for evaluator in experiment.evaluators))
    if unlabelled:
        sentences.append(f"{unlabelled} unlabelled image(s) were scored and left out of every metric.")
    if control and image["routed"]["acc"] is not None:
        chance = control.summary()["image_auroc"]["routed"]["acc"]
        sentences.append(
            f"The control `{experiment.config.study.control_backbone}`, one draw trained with the same settings, reaches {chance:.3f}; "
            f"the difference is {image['routed']['acc'] - chance:+.3f}."
        )
    return sentences


def _score_words(experiment: Experiment, aupro: float | None) -> list[str]:
    """Which AUPRO this is, and whether stored patches have a part in the scores."""
    config, sentences = experiment.config, []
    if aupro is not None:
        sentences.append(
            f"Mean AUPRO {aupro:.3f}, routed, is MVTec's own: 8-connected regions, every score a threshold, false positives over "
            "all normal pixels up to 0.3, divided by 0.3."
        )
    if len(config.score.used_parts) > 1:
        names = " and ".join(_PART_WORDS[name] for name in config.score.score_parts)
        of_images = " and ".join(_PART_WORDS[name] for name in config.score.image_parts)
        sentences.append(
            f"A patch score joins {names} in equal shares, each in standard deviations of training patches"
            + (f"; an image score rests on {of_images}." if of_images else ".")
        )
    if config.score.compress_scores:
        sentences.append("A patch score y above the mean of training patches becomes log(1 + y).")
    if config.score.prototype_weight:
        sentences.append(
            f"{config.score.prototype_weight:.2g} of an image's score is the distance of its mean patch feature to the task's prototype, "
            "the rest is made of its patches, each in standard deviations of training images."
        )
    if config.study.baselines and (config.score.scaled or config.score.prototype_weight):
        sentences.append(
            "Of the plainer methods, separate flows and adapters alone make their scores the same way, the joint flow without a "
            "prototype, the fine-tuned flow by its likelihood alone, memory bank and PaDiM by their distances as they are. What is "
            "left of the method without its flow is the variation `score_parts=gaussian,memory` of notebook 05."
        )
    return sentences


def _forgetting_words(image: Mapping[str, Mapping[str, float | None]]) -> str:
    if image["oracle"]["fm_max"] is None:
        return "Forgetting is undefined here: no earlier task has an image AUROC."
    return (
        f"Forgetting (FM_max of image AUROC): {image['oracle']['fm_max']:.3f} told, {image['routed']['fm_max']:.3f} routed. The "
        "first is zero by construction and was verified bit by bit; the second is what routes lost to later tasks cost (wrong "
        "routes that were wrong from the start lower the routed mean and count as no forgetting)."
    )
