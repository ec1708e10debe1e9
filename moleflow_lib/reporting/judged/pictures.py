"""Strips of pictures: test image, outline of its mask, the method's map, and that of the best baseline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.reporting.figures.heat_maps import FalseAlarmScale, map_tile, picture_tiles
from moleflow_lib.reporting.figures.sheets import data_address
from moleflow_lib.reporting.figures.style import composed
from moleflow_lib.reporting.judged.verdict import JudgedImage

__all__ = ["Strips"]

_SIDE = 128  # pixels of a picture
_QUALITY = 80
_CONTOUR = 3  # pixels of a map, so that it is seen in so small a picture


class Strips:
    """Draws test images beside their maps.

    A map's colour is the share of pixels of normal test images that score as high: of those images that the
    router sends to the same task, scored by the same method, so that the colours of two methods mean the
    same. Nothing was learned from these images. Where there is none, the method's map is measured by normal
    training images, and the baseline's is left out.

    Args:
        experiment: all tasks learned.
        images: all test images.
        baseline: routed patch scores (N, H, W) of each task's test images by a baseline; empty: none.
    """

    def __init__(
        self, experiment: Experiment, images: Sequence[JudgedImage], baseline: Sequence[torch.Tensor]
    ) -> None:
        self._experiment = experiment
        self._images = images
        self._own = [_routed(own, images) for own in experiment.evaluators]
        self._theirs = list(baseline)
        self._scales: dict[tuple[int, bool], FalseAlarmScale | None] = {}

    @property
    def scales(self) -> list[FalseAlarmScale]:
        """The scales that were used so far."""
        return [scale for scale in self._scales.values() if scale is not None]

    @property
    def by_training(self) -> list[str]:
        """Tasks whose maps so far are measured by training images."""
        chosen = dict.fromkeys(task for task, _ in self._scales)
        return [self._experiment.tasks[task].name for task in chosen if not self._normal(task)]

    def address(self, image: JudgedImage) -> str:
        """The strip of an image as a data address, `no mask` in a mask's place; a missing map stays white."""
        photo, mask, *maps = self.pictures(image)
        pictures = [photo, _no_mask() if mask is None else mask, *maps]
        return data_address(composed([pictures], len(pictures), _SIDE)[:_SIDE], quality=_QUALITY)

    def pictures(self, image: JudgedImage) -> list[np.ndarray | None]:
        """Photo, mask, the method's map and the baseline's, each (S, S, 3) uint8; None: there is none."""
        evaluator = self._experiment.evaluators[image.task]
        photos: list[np.ndarray | None] = [tile.picture for tile in picture_tiles(evaluator, image.index)]
        photos += [None] * (2 - len(photos))
        maps = [self._map(image, self._own, False)]
        maps += [self._map(image, self._theirs, True)] if self._theirs else []
        return [*photos, *maps]

    def marked(self, image: JudgedImage) -> float:
        """The share of an image that its mask marks, 0 without a mask."""
        return float(self._experiment.evaluators[image.task].mask(image.index).mean())

    def _map(self, image: JudgedImage, scores: Sequence[torch.Tensor], baseline: bool) -> np.ndarray | None:
        scale = self._scale(image.chosen, scores, baseline)
        if scale is None:
            return None
        own = scores[image.task][image.index : image.index + 1]
        values = self._experiment.evaluators[image.task].maps(own)[0]
        return map_tile(values, scale, contour=_CONTOUR).picture

    def _scale(self, chosen: int, scores: Sequence[torch.Tensor], baseline: bool) -> FalseAlarmScale | None:
        """Of a method's maps of images that are sent to a task, made once."""
        key = (chosen, baseline)
        if key not in self._scales:
            self._scales[key] = self._measured(chosen, scores, baseline)
        return self._scales[key]

    def _measured(
        self, chosen: int, scores: Sequence[torch.Tensor], baseline: bool
    ) -> FalseAlarmScale | None:
        evaluator = self._experiment.evaluators[chosen]
        normal = self._normal(chosen)
        if normal:
            return FalseAlarmScale.among(
                evaluator, torch.stack([scores[image.task][image.index] for image in normal])
            )
        if baseline:
            return None
        train = self._experiment.features(self._experiment.tasks[chosen], "train")
        return FalseAlarmScale.of(evaluator, train, chosen)

    def _normal(self, chosen: int) -> list[JudgedImage]:
        return [one for one in self._images if one.chosen == chosen and one.row["label"] == "normal"]


@cache
def _no_mask() -> np.ndarray:
    """A grey picture (S, S, 3) uint8 that says so, seen by day and by night."""
    tile = Image.new("RGB", (_SIDE, _SIDE), (205, 205, 205))
    pen = ImageDraw.Draw(tile)
    pen.text(
        (_SIDE / 2, _SIDE / 2), "no mask", fill=(70, 70, 70), font=ImageFont.load_default(18), anchor="mm"
    )
    return np.asarray(tile)


def _routed(evaluator: TaskEvaluator, images: Sequence[JudgedImage]) -> torch.Tensor:
    """Patch scores (N, H, W) of a task's test images, each under the task that the router chose."""
    chosen = [image.chosen for image in images if image.task == evaluator.task.index]
    return evaluator.patch_scores(torch.tensor(chosen))
