"""The tail of patch scores: how far the highest scores of normal patches reach, and what of the defects lies
beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import mean_defined
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation.differences import paired_gap

__all__ = ["QUANTILES", "defect_patches", "tail_gap", "tail_rows", "tail_summary", "task_tail"]

QUANTILES = ("50", "95", "99", "99.9")  # percent
_COVERED = 0.25  # share of a patch's area that must be marked for it to count as a defect patch


def task_tail(experiment: Experiment, task: int) -> dict[str, object]:
    """`tail_summary` of a learned task under its own parts: training images, normal test images, defect
    patches.

    It only looks; nothing is trained or chosen by it.
    """
    evaluator = experiment.evaluators[task]
    scores = evaluator.patch_scores(task).numpy()
    train = experiment.detector.patch_scores(
        experiment.features(evaluator.task, "train").patches, task
    ).numpy()
    marked = [n for n, record in enumerate(evaluator.task.test) if record.mask is not None]
    defects = [scores[n][defect_patches(evaluator.mask(n), scores.shape[1:])] for n in marked]
    return tail_summary(
        train.ravel(), scores[evaluator.labels == 0].ravel(), np.concatenate([np.empty(0), *defects])
    )


def defect_patches(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Patches of which at least a quarter is marked as defect.

    Args:
        mask: (S, S) bool.
        grid: H, W.

    Returns:
        (H, W) bool.
    """
    return (F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None], grid)[0] >= _COVERED).numpy()


def tail_summary(train: np.ndarray, normal: np.ndarray, defects: np.ndarray) -> dict[str, object]:
    """Quantiles of patch scores and how defect patches stand out from the normal tail.

    Args:
        train: (n,) scores of the patches of training images, in the unit of scores.
        normal: (n,) of normal test images; may be empty.
        defects: (n,) of defect patches; may be empty.

    Returns:
        `train` and `normal`: quantile in percent → score; `defects`: median; `width`: 95 % − 50 %
        of normal patches; `reach`: how far their 99.9 % quantile lies from their median, in units
        of that width; `beyond`: share of defect patches above it. None where undefined.

    >>> normal = np.arange(1001.0)
    >>> round(tail_summary(normal, normal, np.array([5.0, 2000.0]))["reach"], 2)
    1.11
    """
    inner, outer = _quantiles(train), _quantiles(normal)
    both = len(normal) and len(defects)
    spread = outer["95"] - outer["50"] if len(normal) else 0.0
    return {
        "train": inner,
        "normal": outer,
        "defects": float(np.median(defects)) if len(defects) else None,
        "width": spread or None,
        "reach": (outer["99.9"] - outer["50"]) / spread if spread else None,
        "beyond": float((defects > outer["99.9"]).mean()) if both else None,
    }


def tail_rows(rows: Rows, variations: Sequence[str]) -> list[dict[str, object]]:
    """The tails of some variations side by side, means over seeds.

    Returns:
        One row a variation and class: `variation`, `class`, `images` (`training` or `normal test`), each
        quantile's distance to the median, `defects` likewise, `reach`, `beyond`, `seeds`.
    """
    return [
        _tail_row(
            variation, name, images, [row["tail"][name] for row in rows if row["variation"] == variation]
        )
        for variation in variations
        for name in _classes(rows, variation)
        for images in ("train", "normal")
    ]


def tail_gap(rows: Rows, variation: str, number: str) -> dict[str, object]:
    """`paired_gap` of the preset against a variation in `width`, `reach`, `beyond`, as means over classes."""

    def by_seed(name: str) -> dict[object, float | None]:
        own = [row for row in rows if row["variation"] == name]
        return {row["seed"]: mean_defined([tail[number] for tail in row["tail"].values()]) for row in own}

    return paired_gap(by_seed("preset"), by_seed(variation))


def _classes(rows: Rows, variation: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows if row["variation"] == variation for name in row["tail"]))


def _tail_row(variation: str, name: str, images: str, tails: Rows) -> dict[str, object]:
    def above(value: float | None, tail: Row) -> float | None:
        return None if value is None or tail[images]["50"] is None else value - tail[images]["50"]

    of_test = images == "normal"
    return {
        "variation": variation,
        "class": name,
        "images": "normal test" if of_test else "training",
        **{f"{q} %": mean_defined([above(tail[images][q], tail) for tail in tails]) for q in QUANTILES[1:]},
        "defects": mean_defined([above(tail["defects"], tail) for tail in tails]) if of_test else None,
        "reach": mean_defined([tail["reach"] for tail in tails]) if of_test else None,
        "beyond": mean_defined([tail["beyond"] for tail in tails]) if of_test else None,
        "seeds": len(tails),
    }


def _quantiles(scores: np.ndarray) -> dict[str, Any]:
    values = np.percentile(scores, [float(q) for q in QUANTILES]) if len(scores) else [None] * len(QUANTILES)
    return {q: None if value is None else float(value) for q, value in zip(QUANTILES, values, strict=True)}
