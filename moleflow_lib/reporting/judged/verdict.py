"""One test image with what the detector decides, and whether that is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from moleflow_lib.datasets import Record
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.inference import LearnedDetector
from moleflow_lib.inference.verdicts import verdicts_on_tests
from moleflow_lib.reporting.scores.gallery import suspicion
from moleflow_lib.rows import Row

__all__ = ["OUTCOMES", "JudgedImage", "clearest", "in_turn", "judged_images"]

OUTCOMES = ("missed defect", "false alarm", "routed wrong", "right", "unlabelled")
_ERRORS = OUTCOMES[:3]
_LABELS = {0: "normal", 1: "defective", None: "unlabelled"}


@dataclass(frozen=True, kw_only=True)
class JudgedImage:
    """A test image.

    Attributes:
        task: position of the task that it belongs to.
        index: its position among the task's test images.
        chosen: position of the task that the router chose.
        row: what the table says.
    """

    task: int
    index: int
    chosen: int
    row: Row

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`."""
        return str(self.row["outcome"])

    @property
    def detected(self) -> bool:
        """Whether it is a defective image, sent to its own task and called defective there."""
        return self.outcome == "right" and self.row["label"] == self.row["decision"] == "defective"


def judged_images(
    evaluators: Sequence[TaskEvaluator], learned: LearnedDetector, false_alarm_rate: float
) -> list[JudgedImage]:
    """Every test image of every task once, labelled or not, in the order of tasks and records.

    Args:
        evaluators: one a task.
        learned: the detector with its calibration.
        false_alarm_rate: of the decisions.
    """
    return [image for evaluator in evaluators for image in _of_task(evaluator, learned, false_alarm_rate)]


def in_turn(images: Sequence[JudgedImage]) -> list[JudgedImage]:
    """Errors first; tasks and kinds of errors take turns, each beginning with its clearest case.

    So the first hundred show every kind of error of every task, however many one of them has.
    """
    groups = groupby(sorted(images, key=_group), key=_group)
    places = [(place, image) for _, own in groups for place, image in enumerate(sorted(own, key=clearest))]
    turns = sorted(places, key=lambda one: (one[1].outcome not in _ERRORS, one[0], _group(one[1])))
    return [image for _, image in turns]


def _of_task(evaluator: TaskEvaluator, learned: LearnedDetector, rate: float) -> Iterator[JudgedImage]:
    own = evaluator.task
    verdicts = verdicts_on_tests(evaluator, learned, rate)
    for index, (record, verdict) in enumerate(zip(own.test, verdicts, strict=True)):
        chosen = {"chosen": verdict["task"], **{key: verdict[key] for key in verdict if key != "task"}}
        outcome = _outcome(record, str(verdict["decision"]), verdict["task"] == own.name)
        row = {"task": own.name, **_identity(record), **chosen, "outcome": outcome}
        yield JudgedImage(task=own.index, index=index, chosen=learned.task_index(verdict["task"]), row=row)


def _identity(record: Record) -> dict[str, object]:
    label = _LABELS[record.label]
    return {"product": record.product, "defect": record.defect, "image": record.image.name, "label": label}


def _outcome(record: Record, decision: str, own_task: bool) -> str:
    """A wrong decision first; `routed wrong` only where the decision is right, or there is no label."""
    if record.label == 1 and decision == "normal":
        return "missed defect"
    if record.label == 0 and decision != "normal":
        return "false alarm"
    if not own_task:
        return "routed wrong"
    return "unlabelled" if record.label is None else "right"


def _group(image: JudgedImage) -> tuple[int, int]:
    return OUTCOMES.index(image.outcome), image.task


def clearest(image: JudgedImage) -> tuple[float, float, str]:
    """Sorts images of one outcome: the least suspicious missed defect, the most suspicious of others."""
    rate, gap, name = suspicion({**image.row, "name": image.row["image"]})
    return (-rate, -gap, name) if image.outcome == "missed defect" else (rate, gap, name)
