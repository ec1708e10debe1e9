"""`scores.csv` and `scores.json`, written as their rows are read, however many they are."""

from __future__ import annotations

import json
from pathlib import Path

from moleflow_lib.inference import LearnedDetector
from moleflow_lib.reporting.scores.plan import Plan
from moleflow_lib.reporting.tables import Table
from moleflow_lib.runtime import provenance
from moleflow_lib.storage.artifacts import SCHEMA_VERSION
from moleflow_lib.storage.disk import new_file

__all__ = ["write_csv", "write_json_rows"]


def write_csv(plan: Plan, path: Path) -> None:
    """One line an image under a line of names."""
    with new_file(path) as file:
        for place, row in enumerate(plan.rows()):
            head, line = Table([row], "").to_csv().split("\n", 1)
            file.write((line if place else f"{head}\n{line}").encode())


def write_json_rows(plan: Plan, learned: LearnedDetector, path: Path) -> None:
    """What was asked and by what, and under `images` one object an image, one a line."""
    head = json.dumps(_facts(plan, learned), indent=1, allow_nan=False).removesuffix("\n}")
    with new_file(path) as file:
        file.write(f'{head},\n "images": ['.encode())
        for place, row in enumerate(plan.rows()):
            text = json.dumps(row, allow_nan=False)
            file.write(f"{',' if place else ''}\n  {text}".encode())
        file.write(b"\n ]\n}\n")


def _facts(plan: Plan, learned: LearnedDetector) -> dict[str, object]:
    rate = plan.request.false_alarm_rate
    calibrations = zip(learned.tasks, learned.calibration.tasks, strict=True)
    return {
        "schema": SCHEMA_VERSION,
        "tasks": list(learned.tasks),
        "false_alarm_rate": rate,
        "thresholds": learned.thresholds(rate),
        "calibration_folds": {name: calibration.folds for name, calibration in calibrations},
        "image_unit": learned.config.score.image_unit,
        "heat_maps": plan.request.heat_maps,
        "backbone": learned.extractor.tag,
        "provenance": provenance(str(learned.detector.device)),
    }
