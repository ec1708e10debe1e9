"""What notebook 03 leaves of its test images, so that runs can be set side by side without scoring again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from moleflow_lib.datasets import Record
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import LearnedDetector, learned_detector
from moleflow_lib.inference.verdicts import verdicts_on_tests
from moleflow_lib.metrics import METRICS, ROUNDS
from moleflow_lib.reporting.judged import write_judged_images
from moleflow_lib.reporting.notebook import kept_name
from moleflow_lib.storage.artifacts import save_artifact
from moleflow_lib.storage.keys import file_sha256
from moleflow_lib.studies.baselines.comparison import METHOD, Comparison

__all__ = ["KIND", "NAME", "record_path", "save_test_images"]

_NOTEBOOK = "03_continual_tasks"
NAME = f"{_NOTEBOOK}.images"
KIND = "test images"


def record_path(folder: Path) -> Path:
    """The record of a run's folder, without suffix."""
    return folder / NAME


def save_test_images(experiment: Experiment, comparison: Comparison) -> dict[str, str]:
    """Write the labelled test images with their scores, and the bootstrap rounds of every metric, routed;
    and for people every test image as a table and a page, see `write_judged_images`.

    The rounds of two runs on the same images are paired (`image_draws`), so their differences need neither
    maps nor features.

    Args:
        experiment: all tasks learned; the images' scores are those of its own seed.
        comparison: holds the metrics of the method, under each of its seeds.

    Returns:
        `file` and `sha256` of the manifest, `table` and `page`, for the result file.
    """
    runs = comparison.runs[METHOD]
    final = [[run.result.final(metric) for metric in METRICS] for run in runs]
    rounds = [[run.replicates[metric]["routed"] for metric in METRICS] for run in runs]
    filled = [[[_whole(of_task) for of_task in of_metric] for of_metric in of_run] for of_run in rounds]
    tensors = {
        "values": torch.from_numpy(np.array(final, dtype=float)),  # (S, M, T), NaN where undefined
        "rounds": torch.from_numpy(np.array(filled)),  # (S, M, T, R)
    }
    learned = learned_detector(experiment)
    tasks = [{"name": own.task.name, "images": list(_images(own, learned))} for own in experiment.evaluators]
    facts = {"kind": KIND, "metrics": list(METRICS), "seeds": list(comparison.seeds), "tasks": tasks}
    folder = Path(experiment.config.run.out_dir)
    path = folder / f"{kept_name(folder, _NOTEBOOK)}.images"
    save_artifact(path, tensors, facts)
    manifest = path.with_name(f"{path.name}.json")
    shown = write_judged_images(experiment, comparison, path)
    return {"file": manifest.name, "sha256": file_sha256(manifest), **shown}


def _whole(values: Sequence[float] | np.ndarray | None) -> np.ndarray:
    return np.full(ROUNDS, np.nan) if values is None else np.asarray(values, dtype=float)


def _images(evaluator: TaskEvaluator, learned: LearnedDetector) -> Iterator[dict[str, object]]:
    """One row a labelled test image, in the order of the task's records."""
    verdicts = verdicts_on_tests(evaluator, learned)
    contents = evaluator.features.contents
    for image, sha256, verdict in zip(evaluator.task.test, contents, verdicts, strict=True):
        if image.label is None:
            continue
        kept = {name: verdict[name] for name in ("accepted", "score", "rank", "decision")}
        normalised = _normalised(learned, learned.task_index(verdict["task"]), verdict["score"])
        yield {**_identity(image, sha256), "chosen": verdict["task"], **kept, "normalised": normalised}


def _identity(image: Record, sha256: str) -> dict[str, object]:
    """What makes a test image the same in two runs: name, label, content, and the content of its mask."""
    return {
        "product": image.product,
        "defect": image.defect,
        "image": image.image.name,
        "label": image.label,
        "sha256": sha256,
        "mask_sha256": None if image.mask is None else file_sha256(image.mask),
    }


def _normalised(learned: LearnedDetector, task: int, score: float) -> float:
    """A score in standard deviations of the task's calibration scores from their mean."""
    known = learned.calibration.tasks[task].scores.double()
    spread = float(known.std()) if len(known) > 1 else 0.0
    return (score - float(known.mean())) / max(spread, 1e-6)
