"""One experiment from folder to numbers: tasks, features, training and evaluation under one roof."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import Product, Task, Unused, make_tasks, open_dataset, unused_files
from moleflow_lib.errors import DataError, TrainingError, problem_list
from moleflow_lib.evaluation.continual import ContinualResult, evaluate_continual
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.features.extractor import build_extractor
from moleflow_lib.features.store import Features, FeatureStore
from moleflow_lib.features.takes import shown
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.prototype_distance import FEWEST_IMAGES
from moleflow_lib.scoring.task_parts import TaskHistory
from moleflow_lib.training.sequence import record_order, settled_order
from moleflow_lib.training.trainer import MoLEContinualTrainer

__all__ = ["Experiment", "control_config", "training_problems"]

_PROBED = 16  # training images whose scores must not change


class Experiment:
    """Everything a notebook asks for; each step runs when first needed and is kept on disk.

    Args:
        config: the experiment. `out_dir/store` keeps features and tasks; features lie in
            `store_dir` if one is named.

    Raises:
        DataError, BackboneError, ConfigError: at once, before anything long runs.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        data = config.data
        run = config.run
        self.config = config
        self.folder = Path(run.out_dir) / "store"
        self.products: tuple[Product, ...] = open_dataset(run.dataset_root, data.classes)
        found = [product.name for product in self.products]
        self.tasks: tuple[Task, ...] = make_tasks(
            self.products, data.classes or settled_order(self.folder, found)
        )
        self._check_images()
        extractor = build_extractor(config.features, data.image_size, run.backbone_weights, run.device)
        self.store = FeatureStore(run.feature_folder, extractor, data.resize)
        detector = ContinualDetector.untrained(extractor.feature_dim, config)
        self.trainer = MoLEContinualTrainer(detector, self.store.identity, self.folder / "tasks")
        self._learned_scores: dict[int, torch.Tensor] = {}

    @property
    def unused(self) -> tuple[Unused, ...]:
        """Files of the dataset that nothing here uses, photos that cannot be read among them."""
        lying = unused_files(self.config.run.dataset_root, self.config.data.classes)
        left_out = (one for product in self.products for one in product.unused)
        return tuple(dict.fromkeys((*lying, *left_out)))

    @property
    def detector(self) -> ContinualDetector:
        """What is known so far; a detector that was taken earlier stays as it was."""
        return self.trainer.detector

    def features(self, task: Task, split: str) -> Features:
        """Features of a task's `train` images, damaged copies included, or of its `test` images."""
        return self.store.features(*shown(task, split, self.config.features))

    def learn(self, upto: int | None = None) -> list[TaskHistory]:
        """Learn the first `upto` tasks (all if None); those learned already are not learned again."""
        if not self.config.data.classes:
            self.record_order()
        for task in self.tasks[:upto]:
            if task.index == len(self.detector.tasks):
                self.trainer.learn(task.name, self.features(task, "train"))
            if task.index not in self._learned_scores:
                self._learned_scores[task.index] = self._probe(task)
        return self.trainer.histories

    def record_order(self) -> None:
        """Note the order of tasks that later runs of this folder keep, unless they name another."""
        record_order(self.folder, [task.name for task in self.tasks], replace=not self.config.data.classes)

    @cached_property
    def evaluators(self) -> tuple[TaskEvaluator[ContinualDetector], ...]:
        """One evaluator a task, all tasks learned."""
        self.learn()
        return tuple(TaskEvaluator(task, self.features(task, "test"), self.detector) for task in self.tasks)

    def evaluate(self) -> ContinualResult:
        """R matrices and routing after all tasks."""
        return evaluate_continual(self.evaluators, self.detector.router)

    def unchanged(self) -> bool:
        """Whether no task moved by one bit since it was learned.

        Verified twice: the hash of every task's own parts and of the base against the hash taken
        when the task was finished, and the scores of the task's first training images, bit by bit,
        against those computed when it was learned or read back.

        Raises:
            TrainingError: something moved; the message names the task.
        """
        for index, scores in self._learned_scores.items():
            task = self.tasks[index]
            history = self.trainer.histories[index]
            if self.trainer.state_sha256(index) != (history.state_sha256, history.base_sha256):
                raise TrainingError(f"the parts of task {task.name} changed after it was learned")
            if not torch.equal(self._probe(task), scores):
                raise TrainingError(f"the scores of task {task.name} changed after it was learned")
        return True

    def control(self) -> Experiment | None:
        """The same experiment on the control backbone, or None if the config names none."""
        config = control_config(self.config)
        return Experiment(config) if config else None

    def hashes(self) -> dict[str, str]:
        """What the results rest on: SHA-256 of weights, base and what each task keeps, and other devices."""
        known = self.detector.tasks
        base = {"shared base (SHA-256)": known[0].history.base_sha256} if known else {}
        kept = {
            f"{what} of {task.name} (SHA-256)": value
            for task in known
            for what, value in task.hashes().items()
        }
        device = self.detector.device.type
        elsewhere = {
            f"device that {history.name} was learned on": history.device
            for history in self.trainer.histories
            if history.device not in ("", device)
        }
        return {
            "backbone weights (SHA-256)": self.store.extractor.weights_sha256,
            **base,
            **kept,
            **elsewhere,
        }

    def _check_images(self) -> None:
        """Refuse tasks that cannot be learned or tested, all problems at once."""
        problems = [
            f"{task.name}: expected images in test/good, test/<defect> or test/unlabelled, found none"
            for task in self.tasks
            if not task.test
        ]
        problems += training_problems(self.tasks, self.config.score.prototype_weight)
        if problems:
            raise DataError(
                problem_list(f"{self.config.run.dataset_root} cannot be used as it is:", problems)
            )

    def _probe(self, task: Task) -> torch.Tensor:
        """Patch scores, then image scores, of a task's first training images."""
        patches = self.features(task, "train").patches[:_PROBED]
        scores, image_scores = self.detector.scores(patches, patches.float().mean(dim=(1, 2)), task.index)
        return torch.cat([scores.flatten(), image_scores])


def control_config(config: ExperimentConfig) -> ExperimentConfig | None:
    """The configuration on the control backbone, or None if none is named."""
    name = config.study.control_backbone
    if not name:
        return None
    control = config.with_(backbone=name, backbone_weights="", control_backbone="")
    return control.with_(overlap=1) if name == "filterbank" else control


def training_problems(tasks: Sequence[Task], prototype_weight: float) -> list[str]:
    """Tasks with fewer training images than can be learned from, one line each.

    Args:
        tasks: that are to be learned.
        prototype_weight: share of the distance to the prototype in image scores; it needs more images.
    """
    fewest, what = (FEWEST_IMAGES, "prototype_weight") if prototype_weight else (2, "a prototype")
    remedy = "; add some or set prototype_weight to 0" if prototype_weight else ""
    return [
        f"{task.name}: {what} needs at least {fewest} training images, found {len(task.train)}{remedy}"
        for task in tasks
        if len(task.train) < fewest
    ]
