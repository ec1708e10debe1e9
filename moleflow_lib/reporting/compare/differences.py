"""What differs between runs: options, versions, metrics, and how they judge single test images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.compare.comparable import image_name
from moleflow_lib.reporting.compare.finished import FinishedRun, Image
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import title, within
from moleflow_lib.studies.baselines.comparison import Estimate

__all__ = [
    "MEAN",
    "Disagreement",
    "Measured",
    "csv_rows",
    "disagreements",
    "headlines",
    "measured",
    "metric_rows",
    "option_rows",
    "provenance_rows",
    "verdict",
]

MEAN = "mean of tasks"
_PLACES = (
    "dataset_root",
    "out_dir",
    "store_dir",
    "backbone_weights",
    "scheduler",
    "ablation_jobs",
)  # change no number
_OF_THE_BACKBONE = "backbone weights (SHA-256)"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One metric of one task, or of all: each run's value, and each later run minus the first."""

    metric: str
    task: str
    values: tuple[Estimate, ...]
    differences: tuple[Estimate, ...]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """One test image as every run sees it.

    Attributes:
        task: that it belongs to.
        index: its place among the task's labelled test images.
        seen: its row in each run's record.
    """

    task: str
    index: int
    seen: tuple[Image, ...]

    @property
    def name(self) -> str:
        """Product, folder, file."""
        return image_name(self.seen[0])

    @property
    def size(self) -> tuple[float, float]:
        """Largest difference in rank among the runs, then in normalised score."""
        rank, normalised = (max(known) - min(known) for known in (self.of("rank"), self.of("normalised")))
        return round(rank, 9), normalised  # ranks are fractions: equal to rounding is equal

    @property
    def decided_differently(self) -> bool | None:
        """Whether the runs' decisions differ; None where a run, of an earlier version, stored none."""
        decisions = {image.get("decision") for image in self.seen}
        return None if None in decisions else len(decisions) > 1

    @property
    def weighs(self) -> bool:
        """Whether the decisions differ; where that is not known, whether the image is defective."""
        known = self.decided_differently
        return self.seen[0]["label"] == 1 if known is None else known

    def of(self, what: str) -> list[float]:
        """A number of the image in each run."""
        return [image[what] for image in self.seen]


def option_rows(runs: Sequence[FinishedRun]) -> list[dict[str, object]]:
    """Options that are not the same in all runs, one a row; without those that say where things lie."""
    return _differing([run.config for run in runs], [run.label for run in runs], "option", _PLACES)


def provenance_rows(runs: Sequence[FinishedRun]) -> list[dict[str, object]]:
    """Versions, hardware, commit and backbone weights that are not the same in all runs."""
    facts = [run.result["provenance"] for run in runs]
    made = {name for own in facts for name in own if name.endswith("(SHA-256)")} - {_OF_THE_BACKBONE}
    return _differing(facts, [run.label for run in runs], "what", ("time_utc", *made))


def measured(runs: Sequence[FinishedRun], metrics: Sequence[str] = tuple(METRICS)) -> list[Measured]:
    """Every metric of every task and of their mean, routed, after the last task.

    Args:
        runs: that can be compared; the first is the reference.
        metrics: which ones.
    """
    reference, *others = runs
    found = []
    for metric in metrics:
        for name, tasks in [*((task, [task]) for task in reference.tasks), (MEAN, reference.tasks)]:
            gaps = tuple(run.difference(reference, metric, tasks) for run in others)
            values = tuple(run.estimate(metric, tasks) for run in runs)
            found.append(Measured(metric=metric, task=name, values=values, differences=gaps))
    return found


def metric_rows(
    runs: Sequence[FinishedRun], found: Sequence[Measured], metric: str
) -> list[dict[str, object]]:
    """One metric as a table: a row a task, each run's value, each difference and what it says."""
    return [
        {
            "task": row.task,
            **{run.label: own.value for run, own in zip(runs, row.values, strict=True)},
            **{
                f"{run.label} − {runs[0].label}": f"{within(gap, '+')} {verdict(gap)}".strip()
                for run, gap in zip(runs[1:], row.differences, strict=True)
            },
        }
        for row in found
        if row.metric == metric
    ]


def verdict(gap: Estimate) -> str:
    """What a difference says: better, worse, undecided, or equal where not one round differs.

    >>> verdict(Estimate(value=0.1, interval=(0.05, 0.2))), verdict(Estimate(value=0.0, interval=(0.0, 0.0)))
    ('better', 'equal')
    """
    if gap.value is None or gap.interval is None:
        return ""
    if (gap.value, *gap.interval) == (0, 0, 0):
        return "equal"
    return ("better" if gap.value > 0 else "worse") if gap.decided() else "undecided"


def disagreements(runs: Sequence[FinishedRun], most: int) -> list[Disagreement]:
    """The test images that the runs judge most differently: first those on which their decisions differ.

    Of runs that stored no decision, defective images come first. Then the greatest difference: two runs'
    scores have different units, so each is compared with what the run gives to normal training images.
    First the rank, the share of the chosen task's training images that score lower; where that is the same,
    as it is where an image scores above them all, the score in their standard deviations.

    Args:
        runs: that can be compared.
        most: images that are returned; those that all runs judge alike are left out.
    """
    found = [
        Disagreement(task=task, index=index, seen=seen)
        for task in runs[0].tasks
        for index, seen in enumerate(zip(*(run.images[task] for run in runs), strict=True))
    ]
    differing = [one for one in found if any(one.size) or one.decided_differently]
    return sorted(differing, key=lambda one: (one.weighs, one.size), reverse=True)[:most]


def headlines(runs: Sequence[FinishedRun], found: Sequence[Measured], metrics: Sequence[str]) -> list[str]:
    """The answer, one sentence a further run: its differences from the first, mean over tasks."""
    means = {row.metric: row for row in found if row.task == MEAN}
    sentences = []
    for place, run in enumerate(runs[1:]):
        gaps = [(title(metric), means[metric].differences[place]) for metric in metrics]
        parts = [f"{name} {within(gap, '+')} ({verdict(gap)})" for name, gap in gaps if gap.value is not None]
        told = ", ".join(parts) or "no metric is defined"
        sentences.append(f"{run.label} minus {runs[0].label}: {told}.")
    return sentences


def csv_rows(
    runs: Sequence[FinishedRun], found: Sequence[Measured], images: Sequence[Disagreement]
) -> list[dict[str, object]]:
    """All differences as one long table, a row a thing and run; docs/result_files.md has its columns."""
    return [*_option_lines(runs), *_metric_lines(runs, found), *_image_lines(runs, images)]


def _option_lines(runs: Sequence[FinishedRun]) -> Iterator[dict[str, object]]:
    for row in option_rows(runs):
        for run in runs:
            yield _line("option", row["option"], "", run, row[run.label])


def _metric_lines(runs: Sequence[FinishedRun], found: Sequence[Measured]) -> Iterator[dict[str, object]]:
    for row in found:
        for run, own, gap in zip(runs, row.values, (None, *row.differences), strict=True):
            yield {**_line("metric", row.metric, row.task, run, own.value, own), **_gap(gap)}


def _image_lines(runs: Sequence[FinishedRun], images: Sequence[Disagreement]) -> Iterator[dict[str, object]]:
    for one in images:
        for what in ("rank", "normalised"):
            values = one.of(what)
            for run, value in zip(runs, values, strict=True):
                gap = None if run is runs[0] else Estimate(value=value - values[0], interval=None)
                yield {**_line(what, one.name, one.task, run, value), **_gap(gap)}


def _line(
    kind: str, name: object, task: str, run: FinishedRun, value: object, own: Estimate | None = None
) -> dict[str, object]:
    low, high = (own.interval if own else None) or (None, None)
    facts = {"kind": kind, "name": name, "task": task, "run": run.label}
    return {**facts, "value": value, "low": low, "high": high}


def _gap(gap: Estimate | None) -> dict[str, object]:
    low, high = (gap.interval if gap else None) or (None, None)
    told = {"difference": gap.value if gap else None, "difference_low": low, "difference_high": high}
    return {**told, "verdict": (verdict(gap) if gap else "") or None}


def _differing(
    facts: Sequence[Mapping[str, object]], labels: Sequence[str], head: str, without: Sequence[str]
) -> list[dict[str, object]]:
    """Entries that are not the same everywhere, values as text; a dash where there is no such entry."""
    names = dict.fromkeys(name for own in facts for name in own if name not in without)
    rows = []
    for name in names:
        values = [_text(own[name]) if name in own else number(None) for own in facts]
        if len(set(values)) > 1:
            rows.append({head: name, **dict(zip(labels, values, strict=True))})
    return rows


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"
