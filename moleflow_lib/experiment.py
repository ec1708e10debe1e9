"""One experiment from folder to numbers: tasks, features, training and evaluation under one roof."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch

from moleflow_lib.artifacts import tensors_sha256
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import Product, Task, make_tasks, open_dataset
from moleflow_lib.errors import DataError, TrainingError, problem_list
from moleflow_lib.evaluation.evaluator import ContinualResult, TaskEvaluator, evaluate_continual
from moleflow_lib.features.extractor import build_extractor
from moleflow_lib.features.store import Features, FeatureStore
from moleflow_lib.model.flow import shared_values
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.prototype_distance import FEWEST_IMAGES
from moleflow_lib.training.trainer import MoLEContinualTrainer, TaskHistory

__all__ = ["Experiment"]


class Experiment:
    """Everything a notebook asks for; each step runs when first needed and is kept on disk.

    Args:
        config: the experiment. `out_dir/store` keeps features and tasks.

    Raises:
        DataError, BackboneError, ConfigError: at once, before anything long runs.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.folder = Path(config.run.out_dir) / "store"
        self.products: tuple[Product, ...] = open_dataset(config.run.dataset_root, config.data.classes)
        self.tasks: tuple[Task, ...] = make_tasks(self.products, config.data.classes)
        problems = [f"{task.name}: expected images in test/good, test/<defect> or test/unlabelled, found none"
                    for task in self.tasks if not task.test]
        fewest, what = (FEWEST_IMAGES, "prototype_weight") if config.score.prototype_weight else (2, "a prototype")
        remedy = "; add some or set prototype_weight to 0" if config.score.prototype_weight else ""
        problems += [f"{task.name}: {what} needs at least {fewest} training images, found {len(task.train)}{remedy}"
                     for task in self.tasks if len(task.train) < fewest]
        if problems:
            raise DataError(problem_list(f"{config.run.dataset_root} cannot be used as it is:", problems))
        extractor = build_extractor(config.features, config.data.image_size, config.run.backbone_weights, config.run.device)
        self.store = FeatureStore(self.folder / "features", extractor, config.data.resize)
        self.detector = ContinualDetector(self.store.extractor.feature_dim, config)
        self.trainer = MoLEContinualTrainer(self.detector, self.store.identity, self.folder / "tasks")
        self._learned_scores: list[torch.Tensor] = []

    def features(self, task: Task, split: str) -> Features:
        """Features of a task's `train` or `test` images."""
        return self.store.features(task.train if split == "train" else task.test, f"{task.name}-{split}")

    def learn(self, upto: int | None = None) -> list[TaskHistory]:
        """Learn the first `upto` tasks (all if None); those learned already are not learned again."""
        for task in self.tasks[len(self.trainer.histories) : upto]:
            self.trainer.learn(task.name, self.features(task, "train"))
            self._learned_scores.append(self._probe(task))
        return self.trainer.histories

    @cached_property
    def evaluators(self) -> tuple[TaskEvaluator, ...]:
        """One evaluator a task, all tasks learned."""
        self.learn()
        return tuple(TaskEvaluator(task, self.features(task, "test"), self.detector) for task in self.tasks)

    def evaluate(self) -> ContinualResult:
        """R matrices and routing after all tasks."""
        return evaluate_continual(self.evaluators)

    def unchanged(self) -> bool:
        """Whether no task moved by one bit since it was learned.

        Verified twice: the hash of every task's own parts and of the base against the hash taken
        when the task was finished, and the scores of the task's first training images, bit by bit,
        against those computed when it was learned or read back.

        Raises:
            TrainingError: something moved; the message names the task.
        """
        for task, history, scores in zip(self.tasks, self.trainer.histories, self._learned_scores, strict=False):
            if self.trainer.state_sha256(task.index) != (history.state_sha256, history.base_sha256):
                raise TrainingError(f"the parts of task {task.name} changed after it was learned")
            if not torch.equal(self._probe(task), scores):
                raise TrainingError(f"the scores of task {task.name} changed after it was learned")
        return True

    def control(self) -> Experiment | None:
        """The same experiment on the control backbone, or None if the config names none."""
        name = self.config.study.control_backbone
        if not name:
            return None
        config = self.config.with_(backbone=name, backbone_weights="", control_backbone="")
        return Experiment(config.with_(overlap=1) if name == "filterbank" else config)

    def stored_values(self) -> tuple[int, int, int]:
        """Values kept: of the shared base, of each task's parts with its stored patches, of each task's prototype."""
        counts, dim = self.detector.value_counts(), self.detector.dim
        return shared_values(counts), counts["per_task"], dim + dim * (dim + 1) // 2

    def training_image_scores(self, task: Task) -> torch.Tensor:
        """Image scores (P,) of at most 64 of a task's training images, a guide to how new ones score.

        What such an image left behind, its stored patches and its share of the prototype, is taken out first; the
        flow was trained on it all the same.
        """
        train, detector = self.features(task, "train"), self.detector
        return detector.training_image_scores(train.patches, task.index)

    def hashes(self) -> dict[str, str]:
        """What the results rest on: backbone weights, and the parts of each task learned so far (SHA-256)."""
        histories = self.trainer.histories
        parts = {f"parts of {history.name} (SHA-256)": history.state_sha256 for history in histories}
        base = {"shared base (SHA-256)": histories[0].base_sha256} if histories else {}
        found = self.detector
        scales = {"stored patches and scale": found.memories, "image scale": found.prototype_distances}
        for what, kept in scales.items():
            parts |= {f"{what} of {history.name} (SHA-256)": tensors_sha256(one.state())
                      for history, one in zip(histories, kept, strict=False)}
        return {"backbone weights (SHA-256)": self.store.extractor.weights_sha256, **base, **parts}

    def _probe(self, task: Task) -> torch.Tensor:
        """Patch scores, then image scores, of a task's first training images."""
        patches = self.features(task, "train").patches[:16]
        scores, means = self.detector.patch_scores(patches, task.index), patches.float().mean(dim=(1, 2))
        return torch.cat([scores.flatten(), self.detector.image_scores(scores, means, task.index)])
