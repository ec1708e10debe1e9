"""What the notebooks say: rows of their tables, contents of their result files, sentences of their summaries.

Every sentence is built from the numbers of the run it stands in, weak results included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moleflow_lib.ablation import paired_differences
from moleflow_lib.datasets import Task
from moleflow_lib.evaluation import ContinualResult
from moleflow_lib.experiment import Experiment
from moleflow_lib.feature_store import Features
from moleflow_lib.inspection import LatentReport, reference_shift
from moleflow_lib.metrics import METRICS, mean_defined
from moleflow_lib.scoring import image_scores
from moleflow_lib.tables import number
from moleflow_lib.trainer import TaskHistory

__all__ = [
    "ablation_sentences", "base_sentences", "cache_rows", "class_rows", "continual_result", "continual_sentences",
    "image_counts", "input_sentences", "inputs_result", "router_sentences", "task_rows", "unlabelled_rows",
]


def image_counts(tasks: Sequence[Task]) -> list[dict[str, object]]:
    """Images of each task by split and kind."""
    return [
        {
            "task": task.name, "train": len(task.train), "test": len(task.test),
            "normal": sum(record.label == 0 for record in task.test),
            "defective": sum(record.label == 1 for record in task.test),
            "unlabelled": sum(record.label is None for record in task.test),
            "masks": sum(record.mask is not None for record in task.test),
            "defect types": ", ".join(sorted({record.defect for record in task.test if record.label == 1})),
        }
        for task in tasks
    ]


def cache_rows(tasks: Sequence[Task], train: Sequence[Features], test: Sequence[Features]) -> list[dict[str, object]]:
    """What the feature cache holds."""
    return [
        {"task": task.name, "split": split, "images": len(f.records), "MB": f.bytes / 1e6, "images/s": f.images_per_second}
        for task, *pair in zip(tasks, train, test, strict=True) for split, f in zip(("train", "test"), pair, strict=True)
    ]


def inputs_result(
    experiment: Experiment, train: Sequence[Features], test: Sequence[Features], distances: np.ndarray
) -> dict[str, object]:
    """Contents of `01_feature_extraction.result.json`."""
    names, rows = [task.name for task in experiment.tasks], cache_rows(experiment.tasks, train, test)
    counts = {row.pop("task"): row for row in image_counts(experiment.tasks)}
    images = sum(row["images"] for row in rows)
    closest = None
    if len(names) > 1:
        i, j = divmod(int(np.argmin(distances + np.diag(np.full(len(names), np.inf)))), len(names))
        closest = {"tasks": f"{names[i]} and {names[j]}", "distance": float(distances[i, j])}
    return {
        "classes": counts, "backbone": experiment.store.extractor.identity,
        "images_per_second": images / sum(row["images"] / row["images/s"] for row in rows),
        "megabytes": sum(row["MB"] for row in rows), "distances": distances.tolist(), "closest": closest,
    }


def input_sentences(result: Mapping[str, object]) -> list[str]:
    """Summary of notebook 01."""
    backbone, counts, closest = result["backbone"], result["classes"].values(), result["closest"]
    rows, columns = backbone["grid"]
    sentences = [
        f"The backbone `{backbone['tag']}` gives {backbone['feature_dim']} features a patch on a {rows}×{columns} grid, "
        f"at {result['images_per_second']:.0f} images a second.",
        f"{sum(c['train'] for c in counts)} training and {sum(c['test'] for c in counts)} test images of {len(counts)} "
        f"task(s) fill {result['megabytes']:.0f} MB.",
    ]
    unmarked = [name for name, row in result["classes"].items() if not row["masks"]]
    if unmarked:
        sentences.append(f"No masks for {', '.join(unmarked)}: pixel metrics are undefined there and left out of every mean.")
    if closest:
        sentences.append(f"The closest tasks are {closest['tasks']}, {closest['distance']:.1f} times their own spread apart.")
    return sentences


def base_sentences(
    history: TaskHistory, metrics: Mapping[str, float | None], latent: LatentReport, counts: Mapping[str, int]
) -> list[str]:
    """Summary of notebook 02."""
    loss = history.curves["loss"]
    back = min(5, len(loss) - 1)
    return [
        f"On {history.name} the base task reaches image AUROC {number(metrics['image_auroc'])}; " + _pixel_words(metrics),
        f"{history.steps} steps took {history.seconds:.0f} s; over the last {back} epochs the loss moved by "
        f"{loss[-1] - loss[-1 - back]:+.1f} nats a patch, from {loss[0]:.0f} in the first epoch to {loss[-1]:.0f}.",
        f"The latent of normal test images is {latent.ks_distance:.3f} (Kolmogorov–Smirnov) from a standard normal.",
        f"{number(counts['base'])} values are shared and frozen from here on; each task adds {number(counts['per_task'])}.",
    ]


def task_rows(experiment: Experiment) -> list[dict[str, object]]:
    """How each task was learned and how far it lies from the base task."""
    rows = []
    for task, history in zip(experiment.tasks, experiment.trainer.histories, strict=True):
        shift = reference_shift(experiment.trainer.reference, experiment.features(task, "train"))
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


def unlabelled_rows(experiment: Experiment) -> list[dict[str, object]]:
    """Scores of the images whose truth nobody has told, most anomalous first.

    Returns:
        `task` (the folder it lies in), `image`, `chosen` task, `score` (nats), and `rank`, the share of
        the chosen task's training images that score lower; normal images of a good fit lie below 1.
    """
    config, rows = experiment.config, []
    for evaluator in experiment.evaluators:
        if not (evaluator.labels == -1).any():
            continue
        chosen = experiment.detector.route(evaluator.image_means)
        scores = evaluator.image_scores(chosen)
        for index in np.flatnonzero(evaluator.labels == -1):
            task = experiment.tasks[int(chosen[index])]
            known = experiment.detector.patch_scores(experiment.features(task, "train").patches, task.index)
            lower = image_scores(known, config.score_mode, config.top_k).numpy() < scores[index]
            rows.append({"task": evaluator.task.name, "image": evaluator.task.test[index].image.name, "chosen": task.name,
                         "score": float(scores[index]), "rank": float(lower.mean())})
    return sorted(rows, key=lambda row: -row["score"])


def continual_result(
    experiment: Experiment, evaluation: ContinualResult, control: ContinualResult | None, unchanged: bool
) -> dict[str, object]:
    """Contents of `03_continual_tasks.result.json`."""
    return {
        "classes": list(evaluation.classes), "R": evaluation.matrices, "summary": evaluation.summary(),
        "classes_with_masks": evaluation.classes_with_masks(), "routing": evaluation.routing, "unchanged": unchanged,
        "routing_over_time": evaluation.routing_over_time,
        "unlabelled": unlabelled_rows(experiment),
        "seconds": {history.name: history.seconds for history in experiment.trainer.histories},
        "control": None if control is None else {
            "backbone": experiment.config.control_backbone, "summary": control.summary(), "routing": control.routing,
            "final": {metric: control.final(metric) for metric in METRICS},
        },
    }


def continual_sentences(
    experiment: Experiment, evaluation: ContinualResult, control: ContinualResult | None
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
        _forgetting_words(image),
        f"The router chose the right task for {_percent(evaluation.routing['accuracy'])} of the test images.",
    ]
    if weakest:
        sentences.append(f"Weakest product: {weakest} at image AUROC {scores[weakest]:.3f}.")
    unlabelled = int(sum((evaluator.labels == -1).sum() for evaluator in experiment.evaluators))
    if unlabelled:
        sentences.append(f"{unlabelled} unlabelled image(s) were scored and left out of every metric.")
    if control and image["routed"]["acc"] is not None:
        chance = control.summary()["image_auroc"]["routed"]["acc"]
        sentences.append(
            f"The control `{experiment.config.control_backbone}`, one draw trained with the same settings, reaches {chance:.3f}; "
            f"the difference is {image['routed']['acc'] - chance:+.3f}."
        )
    return sentences


def router_sentences(
    rows: Sequence[Mapping[str, object]], cost: Sequence[Mapping[str, object]], used: str
) -> list[str]:
    """Summary of notebook 04."""
    best = max(rows, key=lambda row: row["accuracy"])
    mine = next(row for row in rows if row["variant"] == used)
    euclid = next(row for row in rows if row["variant"] == "euclidean")
    sentences = [
        f"The preset's `{used}` covariance sends {_percent(mine['accuracy'])} of the images to their task "
        f"({_percent(mine['accuracy_normal'])} of the normal, {_percent(mine['accuracy_anomalous'])} of the defective ones); "
        f"Euclidean distance {_percent(euclid['accuracy'])}; best is `{best['variant']}` with {_percent(best['accuracy'])}.",
        f"Its worst condition number is {mine['condition_number']:.1e}.",
        f"Routing costs {number(mine['image_auroc_lost'])} image AUROC and {number(mine['pixel_ap_lost'])} pixel AP "
        "against being told the task, as means over tasks.",
    ]
    drops = [_worst_drop(row, cost) for row in cost if row["task"] != row["sent to"] and row["image_auroc"] is not None]
    if drops:
        drop, pair = max(drops)
        sentences.append(f"The dearest wrong route sends all of {pair}: {drop:.3f} image AUROC lost.")
    return sentences


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


def _forgetting_words(image: Mapping[str, Mapping[str, float | None]]) -> str:
    if image["oracle"]["fm_max"] is None:
        return "Forgetting is undefined here: no earlier task has an image AUROC."
    return (
        f"Forgetting (FM_max of image AUROC): {image['oracle']['fm_max']:.3f} told, {image['routed']['fm_max']:.3f} routed. The "
        "first is zero by construction and was verified bit by bit; the second is what wrong routes cost."
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _pixel_words(metrics: Mapping[str, float | None]) -> str:
    if metrics["pixel_ap"] is None:
        return "no defect is marked, so pixel metrics are undefined."
    return f"pixel AUROC {metrics['pixel_auroc']:.3f}, pixel AP {metrics['pixel_ap']:.3f}."


def _worst_drop(row: Mapping[str, object], cost: Sequence[Mapping[str, object]]) -> tuple[float, str]:
    own = next(r for r in cost if r["task"] == r["sent to"] == row["task"])
    return own["image_auroc"] - row["image_auroc"], f"{row['task']} to {row['sent to']}"


def _difference_words(row: Mapping[str, object]) -> str:
    spread = f" ± {row['spread']:.3f}" if row["spread"] is not None else ""
    return f"{row['switch']} ({row['difference']:+.3f}{spread})"
