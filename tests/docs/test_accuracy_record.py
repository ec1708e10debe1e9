"""The tables of reports/accuracy.md say what the numbers kept beside them say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from moleflow_lib.metrics import HEADLINES
from moleflow_lib.reporting.text.words import title

REPORTS = Path(__file__).resolve().parents[2] / "reports"
RECORDS = {"## ViT-Tiny": "vit_tiny_patch16_224", "## ViT-S/14": "vit_small_patch14_dinov2"}


def _short(preset: str) -> str:
    return preset.replace(", blocks=3,4,5,6", "").replace(", baselines=memory_bank,gaussian", "")


@pytest.mark.parametrize("heading", RECORDS)
def test_every_mean_and_difference_is_that_of_the_record(heading: str) -> None:
    text = (REPORTS / "accuracy.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text[text.index(heading) + 3 :], flags=re.MULTILINE)[0]
    record = json.loads((REPORTS / "accuracy" / f"{RECORDS[heading]}.json").read_text(encoding="utf-8"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    shown = {(row[0], row[1], row[2]): row[-1] for row in rows if len(row) == 8}
    gaps = {row[0]: row[1:] for row in rows if len(row) == 4}
    assert len(record["methods"]) >= 8 and all(len(own["runs"]) == 9 for own in record["methods"])
    for own in record["methods"]:
        for metric in HEADLINES:
            value, (low, high) = own["mean"][metric]["value"], own["mean"][metric]["interval"]
            name = (_short(own["preset"]), own["method"], title(metric))
            assert shown[name] == f"{value:.3f} [{low:.3f}, {high:.3f}]"
    for gap in record["differences"]:
        for metric, cell in zip(HEADLINES, gaps[f"{_short(gap['preset'])}, {gap['method']}"], strict=True):
            found = [float(number) for number in re.findall(r"[-+]\d\.\d+", cell)]
            assert found == pytest.approx([gap[metric]["value"], *gap[metric]["interval"]], abs=6e-4)
