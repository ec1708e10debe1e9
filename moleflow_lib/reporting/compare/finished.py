"""A finished run as its folder holds it, and why a folder is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moleflow_lib.errors import ArtifactError, ConfigError, MoLEFlowError, problem_list
from moleflow_lib.metrics import average, interval, mean_defined, over_seeds
from moleflow_lib.reporting.compare.record import KIND, record_path
from moleflow_lib.storage.artifacts import SCHEMA_VERSION, load_artifact
from moleflow_lib.storage.disk import read_json
from moleflow_lib.storage.keys import file_sha256
from moleflow_lib.studies.baselines.comparison import Estimate

__all__ = ["FinishedRun", "finished_runs"]

_RESULT = "03_continual_tasks.result.json"
_TRACES = ("index.html", "executed", "store", "detector")  # what a run leaves from its first minutes on
_NEEDED = ("dataset_root", "eval_size", "resize")  # options
_HEADS = ("task", "option", "what", "image", "run")
Image = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What notebook 03 left.

    Attributes:
        label: what it is called beside the others.
        folder: where it lies.
        result: its result file.
        images: task → its labelled test images, see `save_test_images`; tasks in order of arrival.
        seeds: training seeds that the metrics are means over.
        metrics: their names, the order of the arrays.
        values: (S, M, T), NaN where undefined.
        rounds: (S, M, T, R) bootstrap replicates of the same.
    """

    label: str
    folder: Path
    result: Mapping[str, Any]
    images: Mapping[str, Sequence[Image]]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    values: np.ndarray
    rounds: np.ndarray

    @property
    def config(self) -> Mapping[str, Any]:
        """Every option in force."""
        return self.result["config"]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order of arrival."""
        return list(self.images)

    def value(self, metric: str, tasks: Sequence[str]) -> float | None:
        """A metric's mean over tasks and seeds, routed, after the last task."""
        columns = [self.values[:, self.metrics.index(metric), self.tasks.index(task)] for task in tasks]
        return mean_defined([mean_defined([_defined(v) for v in column]) for column in columns])

    def estimate(self, metric: str, tasks: Sequence[str]) -> Estimate:
        """The same with its interval over test images and seeds."""
        found = interval(self._drawn(metric, tasks))
        return Estimate(value=self.value(metric, tasks), interval=found)

    def difference(self, reference: FinishedRun, metric: str, tasks: Sequence[str]) -> Estimate:
        """This run minus a reference on the same drawn images.

        Args:
            reference: a run that it can be compared with.
            metric: one of `METRICS`.
            tasks: of which the mean is taken.
        """
        own, other = self.value(metric, tasks), reference.value(metric, tasks)
        if own is None or other is None:
            return Estimate(value=None, interval=None)
        drawn, theirs = self._drawn(metric, tasks), reference._drawn(metric, tasks)
        gaps = None if drawn is None or theirs is None else drawn - theirs
        return Estimate(value=own - other, interval=interval(gaps))

    def _drawn(self, metric: str, tasks: Sequence[str]) -> np.ndarray | None:
        """(R,) replicates of a mean over tasks and seeds; None where it is undefined."""
        columns = [self.tasks.index(task) for task in tasks]
        table = self.rounds[:, self.metrics.index(metric)][:, columns]  # (S, tasks, R)
        seeds = [average([of if np.isfinite(of).any() else None for of in seed]) for seed in table]
        known = [seed for seed in seeds if seed is not None]
        return over_seeds(known) if len(known) == len(seeds) else None


def finished_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Read runs.

    Args:
        folders: at least two; the first is the reference.

    Raises:
        ConfigError: fewer than two.
        ArtifactError: a folder holds no finished run, or a damaged one; all of them in one message.
    """
    if len(folders) < 2:
        raise ConfigError(f"compare: expected at least two runs, got {len(folders)}")
    runs, problems = [], []
    for folder, label in zip(folders, _labels(folders), strict=True):
        try:
            runs.append(_read(folder, label))
        except MoLEFlowError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{folder} cannot be read ({error.strerror}); copy the whole run again")
    if problems:
        raise ArtifactError(problem_list("expected finished runs:", problems))
    return runs


def _read(folder: Path, label: str) -> FinishedRun:
    result = _result(folder)
    path = record_path(folder)
    manifest = path.with_name(f"{path.name}.json")
    listed = result.get("test_images")
    if not isinstance(listed, dict):
        raise ArtifactError(
            f"{folder} was made by an earlier version, which kept no test images; {_again(folder)}"
        )
    for part in (manifest, path.with_name(f"{path.name}.safetensors")):
        if not part.is_file():
            raise ArtifactError(f"{part} is missing; copy the whole run again, or {_again(folder)}")
    if file_sha256(manifest) != listed.get("sha256"):
        raise ArtifactError(f"{manifest} is not the one that {_RESULT} was written with; {_again(folder)}")
    tensors, facts = load_artifact(path, expect={"kind": KIND})
    return FinishedRun(
        label=label,
        folder=folder,
        result=result,
        images={task["name"]: task["images"] for task in facts["tasks"]},
        seeds=tuple(facts["seeds"]),
        metrics=tuple(facts["metrics"]),
        values=tensors["values"].numpy(),
        rounds=tensors["rounds"].numpy(),
    )


def _result(folder: Path) -> dict:
    """The result file of notebook 03.

    Raises:
        ArtifactError: there is none, and why; or it is damaged, or of another version.
    """
    path = folder / _RESULT
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is no folder; expected the --out of a run")
    if not path.is_file():
        begun = any((folder / name).exists() for name in _TRACES) or any(folder.glob("*.result.json"))
        what = "is not finished: notebook 03 has left no result" if begun else "holds no run"
        raise ArtifactError(
            f"{folder} {what}; expected {_RESULT} in it, which notebook 03 writes; {_again(folder)}"
        )
    result = read_json(path)
    schema = result.get("schema") if isinstance(result, dict) else None
    if schema != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path} has schema {schema}, this version reads {SCHEMA_VERSION}; {_again(folder)}"
        )
    lacking = [name for name in ("config", "provenance", "routing") if not isinstance(result.get(name), dict)]
    lacking = lacking or [name for name in _NEEDED if name not in result["config"]]
    if lacking:
        raise ArtifactError(f"{path} is damaged, it lacks {', '.join(lacking)}; {_again(folder)}")
    return result


def _again(folder: Path) -> str:
    return (
        f"repeat the command that made the run, with --out {folder} --notebooks 03: what is learned is read "
        "back"
    )


def _labels(folders: Sequence[Path]) -> list[str]:
    """Short names that tell the runs apart: folder names, paths where those are alike, else numbered.

    >>> _labels([Path("runs/a"), Path("runs/b")]), _labels([Path("x/a"), Path("y/a")])
    (['a', 'b'], ['x/a', 'y/a'])
    """
    for names in ([folder.resolve().name for folder in folders], [str(folder) for folder in folders]):
        taken = any(name in _HEADS or "−" in name for name in names)  # heads of tables, differences
        if max(Counter(names).values()) == 1 and all(names) and not taken:
            return names
    return [f"{number}: {folder}" for number, folder in enumerate(folders, start=1)]


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
