"""The parts of the method: what "without it" means, and what the public record says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moleflow_lib.rows import Rows

__all__ = ["PARTS", "PUBLISHED", "RECORD", "Part", "Published", "as_in_rows", "varied_as"]

RECORD = "public logs and papers, measured on MVTec AD with other backbones and settings"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the method and the change that takes it out.

    Attributes:
        or_without: the same change where a preset scores with flow and stored patches alone, as `demo` does.
    """

    name: str
    without: Mapping[str, object]
    or_without: Mapping[str, object] | None = None
    counted: tuple[str, ...] = ()  # parts of `ContinualDetector.value_counts` that it keeps
    shared: bool = False  # kept once, not by every task

    @property
    def ways(self) -> tuple[Mapping[str, object], ...]:
        """The changes that take it out."""
        return (self.without,) if self.or_without is None else (self.without, self.or_without)

    def varied_as(self, rows: Rows) -> str | None:
        """The name under which rows of `run_ablation` hold its removal; None where it was not run."""
        return next(filter(None, (varied_as(rows, changes) for changes in self.ways)), None)

    def removed_by(self, changes: Mapping[str, object]) -> bool:
        """Whether the changes of a row of `run_ablation` take it out, and nothing else."""
        return as_in_rows(changes) in map(as_in_rows, self.ways)


@dataclass(frozen=True, kw_only=True)
class Published:
    """What the public record says a variation does to one metric."""

    changes: Mapping[str, object]
    metric: str
    difference: (
        float | None
    )  # to the unchanged method, −0.06 = six points lower; None: a direction without a number
    words: str


PARTS = (
    Part(name="position code", without={"use_position": False}),
    Part(name="whitening", without={"whitening": "off"}, counted=("whitening",)),
    Part(name="identity regulariser", without={"identity_weight": 0.0}),
    Part(name="mixer", without={"use_mixer": False}, counted=("mixer",), shared=True),
    Part(name="LoRA", without={"lora_rank": 0}, counted=("lora",)),
    Part(name="task bias", without={"use_task_bias": False}, counted=("task_bias",)),
    Part(name="DIA", without={"dia_blocks": 0}, counted=("dia",)),
    Part(name="coupling blocks", without={"coupling_layers": 0}, counted=("base",), shared=True),
    Part(name="tail loss", without={"tail_weight": 0.0}),
    Part(name="log-det penalty", without={"log_det_penalty": 0.0}),
    Part(
        name="stored patches",
        without={"score_parts": ("flow", "gaussian"), "image_parts": ("flow",)},
        or_without={"score_parts": ("flow",)},
        counted=("stored_patches",),
    ),
    Part(name="the Gaussian's score", without={"score_parts": ("flow", "memory")}),
    Part(
        name="the flow's score",
        without={"score_parts": ("gaussian", "memory"), "image_parts": ("memory",)},
        or_without={"score_parts": ("memory",)},
        counted=("lora", "task_bias", "dia"),
    ),
    Part(name="damaged copies", without={"damaged_copies": 0}),
    Part(name="prototype distance", without={"prototype_weight": 0.0}),
    Part(name="log-det in the score", without={"log_det_weight": 0.0}),
    Part(name="smoothing", without={"smoothing_sigma": 0.0}),
)


def _image(changes: Mapping[str, object], points: float, words: str = "") -> Published:
    text = words or f"{points:+.1f} image AUROC"
    return Published(changes=changes, metric="image_auroc", difference=points / 100, words=text)


def _pixel(changes: Mapping[str, object], points: float, words: str = "") -> Published:
    text = words or f"{points:+.1f} pixel AP"
    return Published(changes=changes, metric="pixel_ap", difference=points / 100, words=text)


def _flat(rank: int) -> tuple[Published, Published]:
    changes = {"lora_rank": rank}
    return _image(changes, 0.0, "rank 16 to 128: flat"), _pixel(changes, 0.0, "rank 16 to 128: flat")


def _collapse(layers: int) -> Published:
    words = "12 or more coupling blocks collapse"
    return Published(changes={"coupling_layers": layers}, metric="image_auroc", difference=None, words=words)


PUBLISHED = (
    _pixel({"use_position": False}, -1.8),
    _pixel({"whitening": "off"}, -7.0),
    _pixel({"use_mixer": False}, -2.9),
    _collapse(12),
    _collapse(16),
    _image({"lora_rank": 0}, -0.1),
    _pixel({"lora_rank": 0}, -0.5),
    *(effect for rank in (16, 32, 64, 128) for effect in _flat(rank)),
    _image({"dia_blocks": 0}, -6.0),
    _image({"coupling_layers": 0}, 0.05, "98.1 against 98.05 image AUROC"),
    _pixel({"coupling_layers": 0}, -2.5, "53.3 against 55.8 pixel AP"),
    _image({"tail_weight": 0.0}, -3.1),
    _pixel({"tail_weight": 0.0}, -7.2),
    _pixel({"log_det_penalty": 1e-4}, 4.0, "without the log-det penalty −4.0 pixel AP"),
    _pixel({"log_det_penalty": 0.0}, -4.0, "without the log-det penalty −4.0 pixel AP"),
)


def varied_as(rows: Rows, changes: Mapping[str, object]) -> str | None:
    """The name under which rows of `run_ablation` hold a change; None where it was not run."""
    wanted = as_in_rows(changes)
    return next((row["variation"] for row in rows if row["changes"] == wanted), None)


def as_in_rows(changes: Mapping[str, object]) -> dict[str, object]:
    """Changes as a row of `run_ablation` holds them, and JSON: lists in place of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
