"""A further task for a learned detector, without the images of those it knows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from moleflow_lib.datasets import Task, make_tasks, open_dataset
from moleflow_lib.errors import ConfigError, DataError, problem_list
from moleflow_lib.experiment import training_problems
from moleflow_lib.features.store import FeatureStore
from moleflow_lib.features.takes import shown
from moleflow_lib.inference.calibration import Calibration, kept_calibration
from moleflow_lib.inference.cross_fit import fitting_folds
from moleflow_lib.inference.detector_files import load_detector, save_detector
from moleflow_lib.inference.detector_folder import DETECTOR, detector_folder
from moleflow_lib.inference.learned_detector import LearnedDetector
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.storage.run_lock import run_lock
from moleflow_lib.training.trainer import MoLEContinualTrainer

__all__ = ["learn_further", "learn_into"]


def learn_further(
    learned: LearnedDetector,
    dataset_root: str | Path,
    classes: Sequence[str],
    store: str | Path = "",
    calibration_folds: int | None = None,
) -> LearnedDetector:
    """Learn further tasks on top of those a detector knows; no test image is needed.

    What the earlier tasks keep stays as it is, so their scores stay the same to the bit. The router takes the
    new prototypes in, and the limits of all tasks are measured anew: under the `tied` covariance they depend
    on all tasks.

    Args:
        learned: what is known; it stays as it was.
        dataset_root: folder that holds one folder a product, the new ones among them.
        classes: the new tasks in order of arrival, `a+b` for two products at once.
        store: folder that keeps features and tasks, so that an interrupted call continues; empty: nothing is
            kept.
        calibration_folds: of the new tasks' thresholds, see `learned_detector`; None: as many as the earlier
            tasks have, or as their configuration asks for.

    Raises:
        ConfigError: no class is named, or a product is known already.
        DataError: a product is not there or has too few images.
        TrainingError: the loss was not finite.
    """
    tasks = _new_tasks(learned, dataset_root, classes)
    with nullcontext(store) if store else TemporaryDirectory(prefix="moleflow-") as folder:
        return _learned(learned, tasks, Path(folder), calibration_folds)


def learn_into(
    run: str | Path,
    dataset_root: str | Path,
    classes: Sequence[str],
    device: str = "auto",
    backbone_weights: str | Path = "",
    calibration_folds: int | None = None,
) -> LearnedDetector:
    """Learn further tasks into a saved detector; the folder holds the old one until the new one is whole.

    Args:
        run: the run's folder, whose `store` is used, or its `detector` folder.
        dataset_root: folder that holds the new products.
        classes: the new tasks in order of arrival.
        device: auto, cpu or cuda.
        backbone_weights: a local weights file.
        calibration_folds: of the new tasks' thresholds, see `learn_further`.

    Raises:
        BusyError: a run, or another `learn`, is going on in the folder.
        MoLEFlowError: see `load_detector` and `learn_further`; the folder stays as it was.
    """
    folder = detector_folder(run)
    home = folder.parent if folder.name == DETECTOR else folder  # where a run holds its lock
    with run_lock(home, "learn into another --run"):
        known = load_detector(folder, device, backbone_weights)
        kept = home / "store" if home != folder and (home / "store").is_dir() else ""
        learned = learn_further(known, dataset_root, classes, kept, calibration_folds)
        save_detector(learned, folder)
    return learned


def _new_tasks(
    learned: LearnedDetector, dataset_root: str | Path, classes: Sequence[str]
) -> tuple[Task, ...]:
    if not classes:
        raise ConfigError("classes: expected the new products, e.g. --classes screw, got none")
    known = {product for task in learned.tasks for product in task.split("+")}
    again = [product for entry in classes for product in entry.split("+") if product in known]
    if again:
        raise ConfigError(
            f"{', '.join(again)}: learned already; name new products alone "
            f"(this detector knows {', '.join(learned.tasks)})"
        )
    tasks = make_tasks(open_dataset(dataset_root, classes), classes)
    problems = training_problems(tasks, learned.config.score.prototype_weight)
    if problems:
        raise DataError(problem_list(f"{dataset_root} cannot be used as it is:", problems))
    return tasks


def _learned(
    known: LearnedDetector, tasks: Sequence[Task], folder: Path, folds: int | None
) -> LearnedDetector:
    store = FeatureStore(folder / "features", known.extractor, known.config.data.resize)
    trainer = MoLEContinualTrainer(known.detector, store.identity, folder / "tasks")
    calibrations = list(known.calibration.tasks)
    asked = max(known.config.study.calibration_folds, *(calibration.folds for calibration in calibrations))
    asked *= known.config.score.image_score_is_fitted
    for task in tasks:
        train = store.features(*shown(task, "train", known.config.features))
        trainer.learn(task.name, train)
        position = len(calibrations)
        own_folds = fitting_folds(len(task.train), asked) if folds is None else folds
        own = kept_calibration(trainer.detector, position, train, store.identity, folder, own_folds)
        calibrations.append(own)
    found = trainer.detector
    config = known.config.with_(classes=tuple(task.name for task in found.tasks))
    detector = ContinualDetector(found.flow, config, found.tasks, found.reference)
    return LearnedDetector(detector, known.extractor, Calibration.of(calibrations, config))
