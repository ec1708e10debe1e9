"""Heat maps for judging: image, mask outline beside it, and a map on the scale of false alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from moleflow_lib.datasets import load_image
from moleflow_lib.errors import MetricError
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.features.store import Features
from moleflow_lib.inference import LearnedDetector, ScoredImage
from moleflow_lib.reporting.figures.sheets import Case, Sheet, Tile
from moleflow_lib.reporting.figures.style import heat_colours, heat_overlay, outlined
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = [
    "FalseAlarmScale",
    "colour_bar",
    "colour_words",
    "colour_words_of_tests",
    "heat_map_cases",
    "map_tile",
    "photo_and_map",
    "picture_tiles",
    "scale_ends",
]

TILE = 224  # pixels of a tile
_SAMPLE = 32  # training images that the scale rests on
_CONTOUR = 1e-3  # the false-alarm rate at whose score the contour runs
_OTHER_SCALE = (
    "The index and the page of all test images measure maps by normal test images, so colours differ there."
)
_OUTSIDE, _INSIDE = (120, 220, 255), (0, 0, 0)  # colours of the contour


@dataclass(frozen=True)
class FalseAlarmScale:
    """How rare a map's value is among the pixels of normal training images, smoothed as test maps are.

    Attributes:
        normal: sorted values of such pixels.
        rarest: the smallest rate that they can tell, one patch in all of those seen.
    """

    normal: np.ndarray
    rarest: float

    @classmethod
    def of(
        cls, evaluator: TaskEvaluator[ContinualDetector], features: Features, task: int
    ) -> FalseAlarmScale:
        """From training images of the task whose parts score.

        Args:
            evaluator: gives the detector and the smoothing.
            features: of the task's training images.
            task: the task.
        """
        count = len(features.patches)
        images = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)).tolist()
        scores, _ = evaluator.detector.scorer(task).training_scores(features.patches, images)
        return cls(np.sort(evaluator.maps(scores), axis=None), 1 / scores.numel())

    @classmethod
    def among(cls, evaluator: TaskEvaluator, scores: torch.Tensor) -> FalseAlarmScale:
        """From scores (N, H, W) of normal images that nothing was learned from, evenly chosen among them."""
        chosen = scores[np.unique(np.linspace(0, len(scores) - 1, min(len(scores), _SAMPLE)).astype(int))]
        return cls(np.sort(evaluator.maps(chosen), axis=None), 1 / chosen.numel())

    def rate(self, values: np.ndarray) -> np.ndarray:
        """The share of normal pixels that score at least as high as each value, in [rarest, 1].

        >>> FalseAlarmScale(np.array([1.0, 2.0, 3.0, 4.0]), 0.1).rate(np.array([0.0, 3.5, 9.0])).tolist()
        [1.0, 0.25, 0.1]
        """
        below = np.empty(values.size, dtype=int)
        order = values.argsort(axis=None)  # sorted values are found three times as fast
        below[order] = np.searchsorted(self.normal, values.ravel()[order], side="left")
        above = len(self.normal) - below.reshape(values.shape)
        return np.clip(above / len(self.normal), self.rarest, 1.0)

    def brightness(self, values: np.ndarray) -> np.ndarray:
        """0 for what is usual, 1 for what no normal pixel reaches: the logarithm of the rate."""
        return np.log10(self.rate(values)) / np.log10(self.rarest)

    @cached_property
    def threshold(self) -> float:
        """The value whose false-alarm rate is that of the contour."""
        return float(np.quantile(self.normal, 1 - max(_CONTOUR, self.rarest)))


@dataclass(frozen=True)
class _LinearScale:
    """Where nothing is known of training images: the median dark, the highest value of the task bright."""

    low: float
    high: float

    def brightness(self, values: np.ndarray) -> np.ndarray:
        return np.clip((values - self.low) / max(self.high - self.low, 1e-12), 0, 1)

    @property
    def threshold(self) -> float:
        return self.low + 0.5 * (self.high - self.low)


def heat_map_cases(
    evaluators: Sequence[TaskEvaluator], routed: bool = False, training: Sequence[Features] | None = None
) -> Sheet:
    """Best, median and worst detected defect and the most suspicious normal image of each task.

    Args:
        evaluators: one a task.
        routed: score each image under the task that the router chose, not under its own.
        training: features of every learned task's training images, in the tasks' order: the scale of the
            maps is then the false-alarm rate among their pixels. Without them each task's maps share a
            linear scale.
    """
    known: dict[int, FalseAlarmScale] = {}
    rows = [(e.task.name, list(_cases(e, routed, training, known))) for e in evaluators]
    ends = ("median", "highest of the task")
    if known:
        ends = scale_ends(list(known.values()))
    return Sheet(
        title="Heat maps: best, median and worst case",
        rows=rows,
        ends=ends,
        scale=colour_bar(),
        caption=_caption(routed, training is not None),
    )


def scale_ends(scales: Sequence[FalseAlarmScale]) -> tuple[str, str]:
    """What the darkest and the brightest colour of maps on these scales mean."""
    rarest = min(scale.rarest for scale in scales)
    return "every normal pixel reaches it", f"fewer than 1 in {1 / rarest:,.0f}"


def colour_bar() -> np.ndarray:
    """The colours from dark to bright (1, W, 3) uint8."""
    return heat_colours(np.linspace(0, 1, TILE))[None]


def colour_words() -> str:
    """What a colour of a map on the scale of false alarms means."""
    return (
        "Colour: how many pixels of normal training images score as high (logarithmic; at most "
        f"{_SAMPLE} images a task, which were trained on, so new images give more). {_contour_words()}"
    )


def colour_words_of_tests() -> str:
    """What a colour means where a baseline's map stands beside the method's, and why."""
    return (
        "Colour of a map: how many pixels of normal test images score as high (logarithmic), among images "
        "sent to the same task and by the same method. Not of training images, as in the notebooks' reports: "
        "a memory bank keeps their patches, so its colours would mean something else than the method's. "
        f"{_contour_words()}"
    )


def _contour_words() -> str:
    """What the contour of a map on the scale of false alarms means."""
    return f"Light blue and black: the contour at {100 * _CONTOUR:g} %."


def photo_and_map(learned: LearnedDetector, image: ScoredImage) -> list[np.ndarray]:
    """A scored image, and the same under its map, each (S, S, 3) uint8.

    Colours run from the median of the task's maps of normal training images to twice as far as their maximum,
    so a colour means the same on every image of a task.

    Args:
        learned: what scored it.
        image: with a map.
    """
    if image.map is None or image.pixels is None or image.task is None:
        raise MetricError(f"{image.name}: expected a scored image with a map, got none ({image.error})")
    size = len(image.map)
    photo = np.asarray(Image.fromarray(image.pixels).resize((size, size), Image.Resampling.BILINEAR))
    middle, highest = learned.calibration.tasks[learned.task_index(image.task)].map_range.tolist()
    return [photo, heat_overlay(photo, image.map, middle, 2 * highest - middle)]


def _caption(routed: bool, calibrated: bool) -> str:
    way = "the task the router chose" if routed else "its own task"
    scale = (
        "Colour: the score, linear from the task's median to its highest. Light blue and black: half of that."
    )
    if calibrated:
        scale = f"{colour_words()} {_OTHER_SCALE}"
    return (
        "Defective test images with the highest, median and lowest image score, and the normal one with the "
        f"highest, each under {way}. {scale} Green: the mask's outline. The worst case shows what the method "
        "cannot see. Rank 1 is the highest score of the task's test images; click a picture to enlarge it."
    )


def _cases(
    evaluator: TaskEvaluator[ContinualDetector],
    routed: bool,
    training: Sequence[Features] | None,
    known: dict[int, FalseAlarmScale],
) -> Iterator[Case]:
    """The chosen images of one task, each with its map."""
    own = torch.full((len(evaluator.labels),), evaluator.task.index)
    chosen = evaluator.detector.route(evaluator.image_means) if routed else own
    scores = evaluator.image_scores(chosen)
    patch_scores = evaluator.patch_scores(chosen)
    rank = 1 + np.argsort(np.argsort(-scores))
    for name, index in _chosen_images(scores, evaluator.labels).items():
        task = int(chosen[index])
        values = evaluator.maps(patch_scores[index : index + 1])[0]
        scale = _scale(evaluator, patch_scores, task, training, known)
        record = evaluator.task.test[index]
        words = [name, record.defect if record.label == 1 else "", f"score {scores[index]:.3g}"]
        words += [f"rank {rank[index]} of {len(rank)}"]
        words += ["routed to another task"] if task != evaluator.task.index else []
        words += [record.image.name]
        tiles = [*picture_tiles(evaluator, index), map_tile(values, scale)]
        yield Case(tiles=tiles, name=", ".join(filter(None, words)))


def _scale(
    evaluator: TaskEvaluator[ContinualDetector],
    patch_scores: torch.Tensor,
    task: int,
    training: Sequence[Features] | None,
    known: dict[int, FalseAlarmScale],
) -> FalseAlarmScale | _LinearScale:
    """The scale of maps scored under a task, made once."""
    if training is None:
        return _LinearScale(float(patch_scores.median()), float(patch_scores.max()))
    if task not in known:
        known[task] = FalseAlarmScale.of(evaluator, training[task], task)
    return known[task]


def picture_tiles(evaluator: TaskEvaluator, index: int) -> list[Tile]:
    """A test image as it is, and with the outline of its mask where it has one."""
    size = evaluator.config.score.eval_size
    image = load_image(evaluator.task.test[index].image, size, evaluator.config.data.resize)
    mask = evaluator.mask(index)
    tiles = [Tile(picture=_enlarged(image), label="image")]
    if mask.any():
        tiles.append(Tile(picture=outlined(_enlarged(image), _enlarged(mask)), label="mask"))
    return tiles


def map_tile(
    values: np.ndarray, scale: FalseAlarmScale | _LinearScale, label: str = "map", contour: int = 2
) -> Tile:
    """A map (S, S) on a scale, with the contour: light blue outside, black inside, each so many pixels wide.

    The two lines are seen on the darkest and on the brightest colour alike.
    """
    heat = _enlarged(heat_colours(scale.brightness(values))).copy()
    over = _enlarged(values > scale.threshold)
    heat[np.asarray(binary_dilation(over, iterations=contour), dtype=bool) & ~over] = _OUTSIDE
    heat[over & ~np.asarray(binary_erosion(over, iterations=contour, border_value=1), dtype=bool)] = _INSIDE
    return Tile(picture=heat, label=label, exact=True)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    """A picture or a mask (S, S, …) at the size of a tile."""
    way = Image.Resampling.NEAREST if picture.dtype == bool else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(picture).resize((TILE, TILE), way))


def _chosen_images(scores: np.ndarray, labels: np.ndarray) -> Mapping[str, int]:
    """Indices of the images shown, by what they are examples of; what a task has none of is left out."""
    defective = np.flatnonzero(labels == 1)
    normal = np.flatnonzero(labels == 0)
    order = defective[np.argsort(scores[defective])]
    found = {}
    if len(order):
        found = {"best": int(order[-1]), "median": int(order[len(order) // 2]), "worst": int(order[0])}
    if len(normal):
        found["highest normal"] = int(normal[np.argmax(scores[normal])])
    return found
