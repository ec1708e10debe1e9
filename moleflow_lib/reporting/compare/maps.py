"""Maps of single test images from what a run keeps in its folder; nothing is learned or extracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from moleflow_lib.datasets import Task, make_tasks, open_dataset
from moleflow_lib.errors import ArtifactError, DataError
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.features.store import Features, FeatureStore
from moleflow_lib.features.takes import shown
from moleflow_lib.inference import LearnedDetector, load_detector
from moleflow_lib.reporting.compare.differences import Disagreement
from moleflow_lib.reporting.compare.finished import FinishedRun
from moleflow_lib.reporting.figures.heat_maps import (
    FalseAlarmScale,
    colour_bar,
    colour_words,
    map_tile,
    picture_tiles,
    scale_ends,
)
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.tables import number
from moleflow_lib.storage.keys import file_sha256

__all__ = ["disagreement_sheet"]


def disagreement_sheet(
    runs: Sequence[FinishedRun], images: Sequence[Disagreement], dataset_root: str = ""
) -> Sheet:
    """The images with every run's map on the run's own scale of false alarms, as notebook 03 draws them.

    Args:
        runs: in their folders must still lie `detector` and `store/features`, or the latter in their
            `store_dir`.
        images: which ones, in this order.
        dataset_root: where the images lie; empty: where each run read them.

    Raises:
        MoLEFlowError: images, features, detector or backbone of a run cannot be had.
    """
    opened = [_Opened(run, dataset_root) for run in runs]
    needed = [(own, seen["chosen"]) for one in images for own, seen in zip(opened, one.seen, strict=True)]
    rarest = max(own.scale(chosen).rarest for own, chosen in needed)  # the finest rate that all can tell
    rows: dict[str, list[Case]] = {}
    for one in images:
        rows.setdefault(one.task, []).append(_case(opened, one, rarest))
    return Sheet(
        title="Where the runs disagree most",
        rows=list(rows.items()),
        ends=scale_ends([replace(own.scale(chosen), rarest=rarest) for own, chosen in needed]),
        scale=colour_bar(),
        caption="Each image under the task that the run's router chose; within a task in the order of the "
        f"table. {colour_words()} Each run's map is measured by "
        "the maps of its own training images, so a colour means the same in every map here. Green: the "
        "mask's outline.",
    )


def _case(opened: Sequence[_Opened], one: Disagreement, rarest: float) -> Case:
    tiles = opened[0].pictures(one)
    words = [one.name]
    for own, seen in zip(opened, one.seen, strict=True):
        told = f"{own.run.label}: rank {number(seen['rank'])}, normalised score {number(seen['normalised'])}"
        told += f", {seen['decision']}" if seen.get("decision") else ""
        told += f", routed to {seen['chosen']}" if seen["chosen"] != one.task else ""
        words.append(told)
        scale = replace(own.scale(seen["chosen"]), rarest=rarest)
        tiles.append(map_tile(own.map(one, seen["chosen"]), scale, own.run.label))
    return Case(tiles=tiles, name=" · ".join(words))


class _Opened:
    """A run with its detector, its images and their stored features, each read when first needed."""

    def __init__(self, run: FinishedRun, dataset_root: str) -> None:
        self.run = run
        self.dataset_root = dataset_root or str(run.config["dataset_root"])
        self._evaluators: dict[str, TaskEvaluator] = {}
        self._scales: dict[str, FalseAlarmScale] = {}

    @cached_property
    def learned(self) -> LearnedDetector:
        return load_detector(self.run.folder, "auto", str(self.run.config.get("backbone_weights", "")))

    @cached_property
    def store(self) -> FeatureStore:
        resize = str(self.run.config["resize"])
        kept = Path(str(self.run.config.get("store_dir") or self.run.folder / "store")) / "features"
        return FeatureStore(kept, self.learned.extractor, resize)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        names = self.run.tasks
        return {task.name: task for task in make_tasks(open_dataset(self.dataset_root, names), names)}

    def pictures(self, one: Disagreement) -> list[Tile]:
        """The image as it is, and with the outline of its mask."""
        return picture_tiles(self.evaluator(one.task), self.place(one))

    def map(self, one: Disagreement, chosen: str) -> np.ndarray:
        """(S, S) map of an image under the task chosen for it."""
        evaluator, index = self.evaluator(one.task), self.place(one)
        scorer = self.learned.detector.scorer(self.learned.task_index(chosen))
        return evaluator.maps(scorer.patch_scores(evaluator.features.patches[index : index + 1]))[0]

    def scale(self, chosen: str) -> FalseAlarmScale:
        """The scale of maps scored under a task, made once."""
        if chosen not in self._scales:
            train = self.features(self.tasks[chosen], "train")
            task = self.learned.task_index(chosen)
            self._scales[chosen] = FalseAlarmScale.of(self.evaluator(chosen), train, task)
        return self._scales[chosen]

    def evaluator(self, name: str) -> TaskEvaluator:
        """Of a task's test images, made once."""
        if name not in self._evaluators:
            task = self.tasks[name]
            own = TaskEvaluator(task, self.features(task, "test"), self.learned.detector)
            self._evaluators[name] = own
        return self._evaluators[name]

    def place(self, one: Disagreement) -> int:
        """Where an image stands among all test images of its task.

        Raises:
            DataError: it is not there, or its content is another.
        """
        wanted = tuple(one.seen[0][key] for key in ("product", "defect", "image"))
        for index, record in enumerate(self.tasks[one.task].test):
            named = (record.product, record.defect, record.image.name) == wanted
            if named and file_sha256(record.image) == one.seen[0]["sha256"]:
                return index
        raise DataError(
            f"{one.name} is not, or no longer, the image that {self.run.folder} was tested on; "
            "name the folder of its images with --dataset-root"
        )

    def features(self, task: Task, split: str) -> Features:
        """Features that the run stored.

        Raises:
            ArtifactError: they are not there; they are not extracted anew.
        """
        wanted = shown(task, split, self.learned.config.features)
        if not self.store.holds(*wanted):
            raise ArtifactError(
                f"{self.store.folder} holds no features of {wanted[1]} as its images are now; run notebook "
                "03 again, or name the folder of its images with --dataset-root"
            )
        return self.store.features(*wanted)
