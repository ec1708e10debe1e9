"""Notebook 01: what goes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from moleflow_lib.datasets import Task, unused_line
from moleflow_lib.errors import counted
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.store import Features
from moleflow_lib.metrics import mean_defined
from moleflow_lib.studies.features_and_latents import untrained_auroc

__all__ = ["cache_rows", "image_counts", "input_sentences", "inputs_result"]


def image_counts(tasks: Sequence[Task]) -> list[dict[str, object]]:
    """Images of each task by split and kind."""
    return [
        {
            "task": task.name,
            "train": len(task.train),
            "test": len(task.test),
            "normal": sum(record.label == 0 for record in task.test),
            "defective": sum(record.label == 1 for record in task.test),
            "unlabelled": sum(record.label is None for record in task.test),
            "masks": sum(record.mask is not None for record in task.test),
            "defect types": ", ".join(sorted({record.defect for record in task.test if record.label == 1})),
        }
        for task in tasks
    ]


def cache_rows(
    tasks: Sequence[Task], train: Sequence[Features], test: Sequence[Features]
) -> list[dict[str, Any]]:
    """What the feature cache holds."""
    return [
        {
            "task": task.name,
            "split": split,
            "images": len(f.records),
            "damaged copies": len(f.copies),
            "MB": f.bytes / 1e6,
            "images/s": f.images_per_second,
        }
        for task, *pair in zip(tasks, train, test, strict=True)
        for split, f in zip(("train", "test"), pair, strict=True)
    ]


def inputs_result(
    experiment: Experiment, train: Sequence[Features], test: Sequence[Features], distances: np.ndarray
) -> dict[str, object]:
    """Contents of `01_feature_extraction.result.json`."""
    names, rows = [task.name for task in experiment.tasks], cache_rows(experiment.tasks, train, test)
    counts = {row.pop("task"): row for row in image_counts(experiment.tasks)}
    images = sum(row["images"] for row in rows)
    unused = experiment.unused
    closest = None
    others = np.where(np.eye(len(names), dtype=bool), np.nan, distances)
    if np.isfinite(others).any():
        i, j = divmod(int(np.nanargmin(others)), len(names))
        closest = {"tasks": f"{names[i]} and {names[j]}", "distance": float(distances[i, j])}
    return {
        "classes": counts,
        "backbone": experiment.store.extractor.identity,
        "images_per_second": images / sum(row["images"] / row["images/s"] for row in rows),
        "megabytes": sum(row["MB"] for row in rows),
        "distances": [[value if np.isfinite(value) else None for value in row] for row in distances.tolist()],
        "closest": closest,
        "untrained_auroc": {
            name: untrained_auroc(*pair) for name, *pair in zip(names, train, test, strict=True)
        },
        "unused": {
            "images": sum(one.is_image for one in unused),
            "files": len(unused),
            "text": unused_line(unused),
        },
    }


def input_sentences(result: Mapping[str, Any]) -> list[str]:
    """Summary of notebook 01: the answer to its question first."""
    backbone, counts = result["backbone"], result["classes"].values()
    rows, columns = backbone["grid"]
    sentences = [
        _answer(result),
        f"The backbone `{backbone['tag']}` gives {backbone['feature_dim']} features a patch on a "
        f"{rows}×{columns} grid, at {result['images_per_second']:.0f} images a second.",
        f"{sum(c['train'] for c in counts)} training and {sum(c['test'] for c in counts)} test images of "
        f"{counted(len(counts), 'task')} fill {result['megabytes']:.0f} MB.",
    ]
    if told := cast("Mapping[str, object]", result["unused"])["text"]:
        sentences.append(f"The folder holds more than this run used: {told}.")
    unmarked = [name for name, row in result["classes"].items() if not row["masks"]]
    if unmarked:
        sentences.append(
            f"No masks for {', '.join(unmarked)}: pixel metrics are undefined there and left out of every "
            "mean."
        )
    return sentences


def _answer(result: Mapping[str, Any]) -> str:
    """Whether products, and defects, are seen in features that no training has touched."""
    closest, seen = result["closest"], mean_defined(list(result["untrained_auroc"].values()))
    defects = (
        "no labelled test set says whether defects are seen"
        if seen is None
        else f"without any training a patch's distance from its task's mean gives image AUROC {seen:.3f} "
        "(mean over tasks, chance 0.5)"
    )
    if not closest:
        return f"There is one task, so no products to tell apart; {defects}."
    apart = "tell" if closest["distance"] > 1 else "do not tell"
    return (
        f"The features {apart} the products apart (closest: {closest['tasks']}, "
        f"{closest['distance']:.1f} times their own spread); {defects}."
    )
