"""What one run of a grid yields, and the file it is kept in."""

from __future__ import annotations

from pathlib import Path

from moleflow_lib.errors import ArtifactError
from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, mean_defined
from moleflow_lib.storage.disk import read_json, write_json
from moleflow_lib.storage.keys import digest, file_sha256
from moleflow_lib.studies.ablation.grid import AblationRun
from moleflow_lib.studies.ablation.lora_rank import lora_summary
from moleflow_lib.studies.ablation.parts import as_in_rows
from moleflow_lib.studies.ablation.tail import task_tail
from moleflow_lib.training.trainer import METHOD_VERSION

__all__ = ["DECIDING", "input_keys", "keep", "kept", "measure", "run_key"]

_ROW_VERSION = 7  # raise it when rows hold other numbers or more of them
DECIDING = ("data", "features", "flow", "train", "score", "router")  # groups of options that decide numbers


def input_keys(experiment: Experiment) -> dict[str, object]:
    """What goes into a run: the backbone, the images of every task and split, labels and masks, each as a
    hash.

    Features that are not stored yet are extracted.
    """
    keys = {
        f"{task.name}-{split}": experiment.features(task, split).key
        for task in experiment.tasks
        for split in ("train", "test")
    }
    truth = {
        task.name: [
            [record.product, record.label, file_sha256(record.mask) if record.mask else ""]
            for record in task.test
        ]
        for task in experiment.tasks
    }
    order = [task.name for task in experiment.tasks]
    return {"backbone": experiment.store.identity, "features": keys, "truth": digest(truth), "order": order}


def run_key(run: AblationRun, inputs: dict[str, object]) -> str:
    """SHA-256 of everything that decides a run's numbers; where it runs is no part of it (64 hex digits).

    Args:
        run: its configuration, device resolved.
        inputs: from `input_keys`.
    """
    device = run.config.run.device.split(":")[0]
    return digest(METHOD_VERSION, _ROW_VERSION, device, run.config.group(*DECIDING), list(METRICS), inputs)


def measure(run: AblationRun, experiment: Experiment) -> dict[str, object]:
    """Learn and evaluate one configuration.

    Returns:
        `seed`, `order`, routed means of each metric, `routing`, `seconds` and `seconds_per_task` of
        training, `per_task` values and `parameters` of each part, `per_class` (routed) and
        `per_class_oracle` metrics, `tail` of each class's scores, `lora` updates in short, `device`.
    """
    histories = experiment.learn()
    result = experiment.evaluate()
    counts = experiment.detector.value_counts()
    return {
        "seed": run.seed,
        "order": list(result.classes),
        **{metric: mean_defined(result.final(metric)) for metric in METRICS},
        "routing": result.routing_over_time[-1],
        "seconds": sum(history.seconds for history in histories),
        "seconds_per_task": {history.name: history.seconds for history in histories},
        "per_task": counts["per_task"],
        "parameters": counts,
        "per_class": _per_class(result, "routed"),
        "per_class_oracle": _per_class(result, "oracle"),
        "tail": {task.name: task_tail(experiment, task.index) for task in experiment.tasks},
        "lora": lora_summary(experiment.detector),
        "device": experiment.detector.device.type,
    }


def _per_class(result: ContinualResult, way: str) -> dict[str, dict[str, float | None]]:
    return {
        name: {metric: result.final(metric, way)[j] for metric in METRICS}
        for j, name in enumerate(result.classes)
    }


def keep(path: Path, key: str, row: dict[str, object]) -> None:
    """Write a finished run's row, whole or not at all."""
    write_json(path, {"key": key, "row": row, "row_sha256": digest(row)})


def kept(path: Path, key: str, run: AblationRun) -> dict[str, object]:
    """Read a finished run's row back.

    Raises:
        ArtifactError: the file is damaged or of another run.
    """
    stored = read_json(path)
    if stored.get("key") != key or stored.get("row_sha256") != digest(stored.get("row")):
        raise ArtifactError(f"{path} is damaged or of another run; delete it and run again")
    return {"variation": run.variation, "changes": as_in_rows(run.changes), **stored["row"]}
