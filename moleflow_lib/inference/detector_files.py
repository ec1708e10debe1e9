"""A learned detector on disk: saved by the run that learned it, loaded where its images never were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import moleflow_lib
from moleflow_lib.config import ExperimentConfig, read_options
from moleflow_lib.errors import ArtifactError, BackboneError, ConfigError, MissingWeightsError
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.extractor import PatchExtractor, build_extractor
from moleflow_lib.inference.calibration import Calibration
from moleflow_lib.inference.detector_folder import (
    DETECTOR,
    MANIFEST,
    detector_folder,
    read_manifest,
    read_tensors,
    write_manifest,
    write_tensors,
)
from moleflow_lib.inference.detector_tensors import (
    base_from_tensors,
    base_tensors,
    task_facts,
    task_from_tensors,
    task_tensors,
)
from moleflow_lib.inference.learned_detector import LearnedDetector, learned_detector
from moleflow_lib.runtime import provenance, resolve_device
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.storage.keys import digest

__all__ = ["load_detector", "save_detector", "saved_detector"]

_STORED = (
    "data",
    "features",
    "flow",
    "train",
    "score",
    "router",
    "study",
)  # `run` names paths and changes no number


def save_detector(
    learned: Experiment | LearnedDetector, folder: str | Path = "", calibration_folds: int | None = None
) -> Path:
    """Write a learned detector as one folder that can be moved; saving again adds files for new tasks only.

    Tasks that `learn` added to the folder stay: where it holds an experiment's own tasks as they are, nothing
    is written.

    Args:
        learned: an experiment, whose tasks are learned if they are not yet, or a detector.
        folder: where to; empty: `detector` in the experiment's `out_dir`.
        calibration_folds: of an experiment's calibration, see `learned_detector`.

    Returns:
        The folder.

    Raises:
        ArtifactError: the folder cannot be written.
        ConfigError: no task is known yet, a detector was given without a folder, or the folder holds tasks
            that `learn` added to another state of the experiment's.
    """
    if not folder and not isinstance(learned, Experiment):
        raise ConfigError(
            "folder: expected where the detector should go, got nothing; "
            "e.g. save_detector(detector, 'runs/mine')"
        )
    target = Path(folder or Path(learned.config.run.out_dir) / DETECTOR)
    there = _manifest_there(target)
    if isinstance(learned, LearnedDetector):
        detector, added = learned, _added(there, learned)
    elif _was_added_to(there, learned, target, calibration_folds):
        return target
    else:
        detector, added = learned_detector(learned, calibration_folds), []
    if not detector.tasks:
        raise ConfigError("this detector knows no task yet; learn one before saving it")
    base = write_tensors(target, "base", base_tensors(detector.detector))
    tasks = _task_entries(detector, target)
    facts = {**_facts(detector, base, tasks), "added": added}
    write_manifest(target, facts, [entry["file"] for entry in (base, *tasks)])
    return target


def saved_detector(experiment: Experiment) -> Path:
    """The folder of an experiment's detector, which is saved unless it lies there already.

    A detector that has learned more since (`learn`), or was calibrated with folds, is left as it is.

    Raises:
        ArtifactError: the folder is damaged or cannot be written.
    """
    folder = Path(experiment.config.run.out_dir) / DETECTOR
    if (folder / MANIFEST).is_file() and _holds(read_manifest(folder), experiment):
        return folder
    return save_detector(experiment, folder)


def _manifest_there(folder: Path) -> dict[str, Any]:
    """The manifest of what is to be written over; empty if there is none that this version reads."""
    try:
        return read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    except ArtifactError:
        return {}


def _added(there: Mapping[str, Any], learned: LearnedDetector) -> list[str]:
    """Names of a detector's tasks that no run of the folder's has learned."""
    known = {entry["name"] for entry in there.get("tasks", [])}
    earlier = set(there.get("added", []))
    return [name for name in learned.tasks if there and (name in earlier or name not in known)]


def _was_added_to(
    there: Mapping[str, Any], experiment: Experiment, folder: Path, calibration_folds: int | None
) -> bool:
    """Whether a folder holds an experiment's tasks as they are, and more that were added to them.

    Raises:
        ConfigError: it holds such tasks beside another state of the experiment's.
    """
    own = {task.name for task in experiment.tasks}
    added = [name for name in there.get("added", []) if name not in own]
    if added and (calibration_folds is not None or not _holds(there, experiment)):
        raise ConfigError(
            f"{folder} holds {', '.join(added)}, learned into it with `learn`; this run's tasks or options "
            "are not those that it was added to, and saving them would lose it. Save into another folder "
            f"(out_dir), or delete {folder}"
        )
    return bool(added)


def _holds(manifest: Mapping[str, Any], experiment: Experiment) -> bool:
    """Whether a saved detector begins with an experiment's tasks, learned and scored alike."""
    experiment.learn()
    known = [task.key for task in experiment.detector.tasks]
    kept = [entry["key"] for entry in manifest["tasks"]][: len(known)]
    return kept == known and experiment.config.group("score", "router").items() <= manifest["config"].items()


def load_detector(
    path: str | Path, device: str = "auto", backbone_weights: str | Path = ""
) -> LearnedDetector:
    """Load a learned detector, on any device, whatever device it was learned on.

    Args:
        path: the run's folder or its `detector` folder.
        device: auto, cpu or cuda.
        backbone_weights: a local weights file; empty downloads the tag's own. `filterbank` and `random:` need
            none.

    Raises:
        ArtifactError: no detector lies there, a file is damaged (named), or a newer version wrote it.
        BackboneError: the backbone's weights cannot be had, or are not those it was learned with.
    """
    folder = detector_folder(path)
    manifest = read_manifest(folder)
    config = _config(manifest["config"], str(resolve_device(device)), str(backbone_weights), folder)
    extractor = _extractor(manifest["backbone"], config, folder)
    return _assembled(folder, manifest, config, extractor)


def _task_entries(detector: LearnedDetector, target: Path) -> list[dict[str, Any]]:
    entries = []
    for index, (task, calibration) in enumerate(
        zip(detector.detector.tasks, detector.calibration.tasks, strict=True)
    ):
        file = write_tensors(target, f"task-{index:03}-{task.name}", task_tensors(task, calibration))
        limit = float(detector.calibration.limits[index])
        smallest = detector.calibration.smallest_rate(index)
        entries.append(
            {
                **file,
                **task_facts(task),
                "limit": limit if math.isfinite(limit) else None,
                "calibration_images": len(calibration.scores),
                "smallest_false_alarm_rate": smallest,
                "calibration_folds": calibration.folds,
            }
        )
    return entries


def _facts(
    detector: LearnedDetector, base: Mapping[str, Any], tasks: list[dict[str, Any]]
) -> dict[str, object]:
    where = provenance(str(detector.detector.device))
    identity = {**detector.extractor.identity, "resize": detector.config.data.resize}
    return {
        "tasks": tasks,
        "base": base,
        "config": detector.config.group(*_STORED),
        "preset": detector.config.run.preset,
        "backbone": {
            "name": detector.config.features.backbone,
            "identity": identity,
            "key": digest(identity),
        },
        "provenance": {"moleflow_lib": moleflow_lib.__version__, **where},
    }


def _config(stored: Mapping[str, Any], device: str, weights: str, folder: Path) -> ExperimentConfig:
    try:
        return ExperimentConfig().with_(**read_options(stored), device=device, backbone_weights=weights)
    except ConfigError as error:
        raise ArtifactError(
            f"{folder} was written by another version of moleflow_lib, or is damaged: {error}"
        ) from error


def _extractor(backbone: Mapping[str, Any], config: ExperimentConfig, folder: Path) -> PatchExtractor:
    """The backbone, after checking that its features will be those the detector was learned on."""
    expected = backbone["identity"]
    try:
        extractor = build_extractor(
            config.features, config.data.image_size, config.run.backbone_weights, config.run.device
        )
    except BackboneError as error:
        told = error.told if isinstance(error, MissingWeightsError) else error
        raise BackboneError(
            f"{folder} needs the weights of {backbone['name']} "
            f"(SHA-256 of its tensors {expected['weights_sha256'][:12]}…): {told}"
        ) from error
    found = {**extractor.identity, "resize": config.data.resize}
    differ = [name for name in expected if found.get(name) != expected[name]]
    if differ:
        told = "; ".join(f"{name}: expected {expected[name]!r}, found {found.get(name)!r}" for name in differ)
        raise BackboneError(
            f"{folder} was learned with another backbone than the one at hand ({told}); give the weights of "
            f"{expected['tag']} that it was learned with"
        )
    return extractor


def _assembled(
    folder: Path, manifest: Mapping[str, Any], config: ExperimentConfig, extractor: PatchExtractor
) -> LearnedDetector:
    try:
        base = read_tensors(folder, manifest["base"])
        detector: ContinualDetector = base_from_tensors(base, extractor.feature_dim, config)
        calibrations = []
        for entry in manifest["tasks"]:
            facts = {name: entry[name] for name in ("name", "key", "history")}
            task, calibration = task_from_tensors(read_tensors(folder, entry), facts, detector)
            detector = detector.with_task(task)
            calibrations.append(calibration)
    except ConfigError as error:
        raise ArtifactError(
            f"{folder} does not fit its own configuration: {error}; copy it again or learn again"
        ) from error
    limits = [math.inf if entry["limit"] is None else entry["limit"] for entry in manifest["tasks"]]
    calibration = Calibration(tasks=tuple(calibrations), limits=torch.tensor(limits, dtype=torch.float64))
    return LearnedDetector(detector, extractor, calibration)
