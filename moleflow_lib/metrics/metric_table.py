"""The metrics of detection: one entry each is all that evaluation, intervals, tables and reports ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from moleflow_lib.config.registry import Described, Registry
from moleflow_lib.errors import ConfigError
from moleflow_lib.metrics.aupro import RegionOverlap
from moleflow_lib.metrics.curve_kinds import AveragePrecision, BestF1, CurveKind, RocArea

__all__ = ["HEADLINES", "METRICS", "Level", "Metric", "curve_kinds", "of_level"]

Level = Literal["image", "pixel"]
Value = TypeVar("Value")
HEADLINES = ("image_auroc", "pixel_ap", "aupro")  # the three that tables and summaries lead with

_AUROC = "Hanley & McNeil 1982"
_SCIKIT = "Zhu 2004; as in scikit-learn"
_WINCLIP = "as in Jeong et al. 2023 (WinCLIP)"
_AP = (
    "Sum over thresholds of the rise in recall times the precision there (no trapezoid, no interpolation); "
    "ties are called together."
)
_F1 = (
    "Highest 2·TP / (2·TP + FP + FN) over all thresholds. The threshold is chosen on the test images "
    "themselves, so this is what the best threshold could reach, not what one set beforehand does."
)
_PIXELS = (
    "All pixels of all labelled test images of the product count, normal images included, at the "
    "evaluation size."
)


@dataclass(frozen=True, kw_only=True)
class Metric(Described):
    """A metric in [0, 1], higher = better: what is counted, and how it is read off a walk over scores.

    Raises:
        ConfigError: the level is unknown, the curve lacks a part of `CurveKind`, or a text is missing.
    """

    level: Level  # scores of images, or of pixels
    curve: type[CurveKind]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in ("image", "pixel"):
            raise ConfigError(f"{self.title}: expected level image or pixel, found {self.level!r}")
        missing = [name for name in ("name", "descend", "value") if not hasattr(self.curve, name)]
        if missing or not isinstance(self.curve.name, str):
            raise ConfigError(
                f"{self.title}: expected a class with a text name, descend and value, found no "
                f"{', '.join(missing) or 'text as name'} in {self.curve!r}; see CurveKind"
            )


class _Metrics(Registry[Metric]):
    """Two curves of one name would hide each other."""

    def add(self, name: str, entry: Metric) -> Metric:
        """Register a metric.

        Raises:
            ConfigError: the name is taken or malformed, or another curve has the name of this one.
        """
        if curve_kinds().get(entry.curve.name, entry.curve) is not entry.curve:
            raise ConfigError(f"metric {name}: another curve is named {entry.curve.name!r}; rename this one")
        return super().add(name, entry)


METRICS: Registry[Metric] = _Metrics(
    "metric",
    {
        "image_auroc": Metric(
            level="image",
            curve=RocArea,
            title="image AUROC",
            source=_AUROC,
            text="Probability that a defective test image scores higher than a normal one, ties counting "
            "half: the area under the ROC curve, per product. 0.5 is chance.",
        ),
        "image_ap": Metric(
            level="image",
            curve=AveragePrecision,
            title="image AP",
            source=_SCIKIT,
            text=f"Average precision over images. {_AP}",
        ),
        "image_f1max": Metric(level="image", curve=BestF1, title="image F1-max", source=_WINCLIP, text=_F1),
        "pixel_auroc": Metric(
            level="pixel",
            curve=RocArea,
            title="pixel AUROC",
            source=_AUROC,
            text="Probability that a defective pixel scores higher than a normal one, ties counting half. "
            f"{_PIXELS} Large areas of easy background bring it close to 1; read it together with pixel AP.",
        ),
        "pixel_ap": Metric(
            level="pixel",
            curve=AveragePrecision,
            title="pixel AP",
            source=_SCIKIT,
            text=f"Average precision over pixels. {_AP} {_PIXELS}",
        ),
        "pixel_f1max": Metric(
            level="pixel", curve=BestF1, title="pixel F1-max", source=_WINCLIP, text=f"{_F1} {_PIXELS}"
        ),
        "aupro": Metric(
            level="pixel",
            curve=RegionOverlap,
            title="AUPRO",
            source="Bergmann et al. 2021 (MVTec AD), as in MVTec's own evaluation code",
            text="Area under the per-region overlap: the mean over all defect regions (8-connected, image by "
            "image) of the share that is found, against the false-positive rate over all normal pixels of "
            "normal and defective images; every distinct score is a threshold; integrated up to a rate of "
            "0.3, interpolated there, and divided by 0.3. 0.15 is chance.",
        ),
    },
)


def curve_kinds() -> dict[str, type[CurveKind]]:
    """Every curve that a metric is read off, by its name.

    >>> list(curve_kinds())
    ['auroc', 'ap', 'f1max', 'aupro']
    """
    return {metric.curve.name: metric.curve for metric in METRICS.values()}


def of_level(level: Level, values: Mapping[str, Value]) -> dict[str, Value]:
    """Metrics of images, or of pixels, from the values of the curves.

    >>> of_level("image", {"auroc": 0.9, "ap": 0.8, "f1max": 0.7, "aupro": 0.6})
    {'image_auroc': 0.9, 'image_ap': 0.8, 'image_f1max': 0.7}
    """
    return {name: values[one.curve.name] for name, one in METRICS.items() if one.level == level}
