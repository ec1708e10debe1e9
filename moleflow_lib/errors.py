"""Errors that say what was expected, what came, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ArtifactError",
    "BackboneError",
    "BusyError",
    "ConfigError",
    "DataError",
    "DiskError",
    "FalseAlarmRateWarning",
    "MetricError",
    "MissingWeightsError",
    "MoLEFlowError",
    "NotebookError",
    "RunError",
    "TrainingError",
    "counted",
    "problem_list",
]


class MoLEFlowError(Exception):
    """Base of every error this package raises on purpose."""


class FalseAlarmRateWarning(UserWarning):
    """A false-alarm rate was asked for that a task's calibration images are too few to promise."""


class ConfigError(MoLEFlowError, ValueError):
    """A parameter is unknown, has the wrong type, or is out of range."""


class DataError(MoLEFlowError):
    """A dataset folder cannot be used as it stands."""


class BackboneError(MoLEFlowError):
    """A backbone or its weights cannot be had, or do not fit."""


class MissingWeightsError(BackboneError):
    """A backbone's own weights cannot be downloaded; told with the advice to choose another backbone."""

    @property
    def told(self) -> str:
        """The message where no other backbone can be chosen."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.told}, or use --backbone filterbank, which needs no weights"


class ArtifactError(MoLEFlowError):
    """A stored file is damaged, or belongs to another configuration."""


class DiskError(ArtifactError):
    """The disk refuses to read or write a file: it is full or read-only, something else lies there, …"""


class BusyError(MoLEFlowError):
    """A folder belongs to a run that is going on."""


class MetricError(MoLEFlowError, ValueError):
    """Scores or curves from which a metric cannot be computed."""


class TrainingError(MoLEFlowError):
    """Training met a non-finite loss or an impossible request."""


class NotebookError(MoLEFlowError):
    """A notebook failed, or lacks what the runner needs."""


class RunError(MoLEFlowError):
    """Some of many runs failed; the others are kept."""


def counted(count: int, thing: str) -> str:
    """How many of what, in words that fit one of it too.

    >>> counted(1, "task"), counted(0, "unlabelled image")
    ('1 task', '0 unlabelled images')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


def problem_list(headline: str, problems: Iterable[str]) -> str:
    """Join all problems of one input into one message, one line each.

    >>> print(problem_list("2 problems in data/demo:", ["no train", "no test"]))
    2 problems in data/demo:
      - no train
      - no test
    """
    return "\n".join([headline, *(f"  - {problem}" for problem in problems)])
