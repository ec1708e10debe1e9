"""Which switches a backbone can take: not every network sees several sizes, finer patches or blocks of one width."""

from __future__ import annotations

from collections.abc import Sequence

from moleflow_lib.ablation.grid import AblationRun
from moleflow_lib.config import digest
from moleflow_lib.errors import BackboneError
from moleflow_lib.extractor import build_extractor

__all__ = ["supported_runs"]


def supported_runs(runs: Sequence[AblationRun]) -> tuple[list[AblationRun], list[dict[str, object]]]:
    """Leave out the switches that the backbone refuses, before anything long runs.

    Args:
        runs: from `planned_runs`, the unchanged preset first.

    Returns:
        The runs that are left, and one row a switch that is not, to stand behind those of `plan_rows`.

    Raises:
        BackboneError: the preset itself cannot be run.
    """
    problems: dict[str, str] = {}
    for run in runs:
        asked = _asked(run)
        if asked not in problems:
            problems[asked] = _problem(run)
            if problems[asked] and not run.changes:
                raise BackboneError(problems[asked])
    refused = {run.switch: problems[_asked(run)] for run in runs if problems[_asked(run)]}
    left_out = [{"switch": name, "what": f"left out, this backbone refuses it: {why}", "changes": "", "seeds": "none"}
                for name, why in refused.items()]
    return [run for run in runs if run.switch not in refused], left_out


def _asked(run: AblationRun) -> str:
    return digest(run.config.group("backbone"), run.config.image_size, run.config.backbone_weights)


def _problem(run: AblationRun) -> str:
    try:
        build_extractor(run.config)
    except BackboneError as error:
        return str(error)
    return ""
