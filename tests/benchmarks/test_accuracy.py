"""The README's accuracy command on tiny products: every preset, bank and variation has rows, with the
evaluation's numbers.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import accuracy
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import mean_defined

TINY = "image_size=56, eval_size=56, epochs=1, coupling_layers=2, lora_rank=4, control_backbone=none"


def _table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    monkeypatch.setattr(sys, "argv", ["accuracy", *options])
    accuracy.main()
    return capsys.readouterr().out


def test_rows_differences_and_numbers(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "accuracy"
    presets = f"demo, {TINY}, baselines=memory_bank; demo, {TINY}, memory_size=20, score_parts=memory"
    text = _table(
        monkeypatch,
        capsys,
        "--dataset-root",
        str(tiny_data),
        "--out",
        str(out),
        "--seeds",
        "0",
        "--device",
        "cpu",
        "--orders",
        "leather>nut|nut>leather",
        "--presets",
        presets,
        "--json",
        str(tmp_path / "accuracy.json"),
    )
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in text.splitlines()
        if line.startswith("| demo")
    ]
    values = {(row[0].count(","), row[1], row[2]): row[3:] for row in rows if len(row) == 6}
    costs = {(row[0].count(","), row[1]): row[2:] for row in rows if len(row) == 7}
    assert set(costs) == {(7, "moleflow"), (7, "memory_bank"), (8, "moleflow")}
    assert {key[:2] for key in values} == {(7, "moleflow"), (7, "memory_bank"), (8, "moleflow")}
    compared = [row for row in rows if len(row) == 4 and not row[0].endswith("minus")]
    assert len(compared) == 2, "the last preset against the other and against the bank"
    one = ExperimentConfig.from_params(
        {
            "preset": "demo",
            "dataset_root": str(tiny_data),
            "out_dir": str(out),
            "device": "cpu",
            **dict(text.split("=") for text in TINY.split(", ")),
        }
    )
    final = [
        Experiment(one.with_(classes=order)).evaluate().final("image_auroc")
        for order in (("leather", "nut"), ("nut", "leather"))
    ]
    experiment = Experiment(one.with_(classes=("leather", "nut")))
    experiment.learn()
    shared, parts, prototype = experiment.detector.stored_values()
    assert (
        costs[7, "moleflow"][0] == f"{(parts + prototype) / 1e3:,.0f}"
        and costs[7, "moleflow"][2] == f"{shared / 1e3:,.0f}"
    )
    assert all(float(cell.replace(",", "")) >= 0 for row in costs.values() for cell in row)
    leather = mean_defined([final[0][0], final[1][1]])
    told = values[7, "moleflow", "image AUROC"]
    assert float(told[0]) == pytest.approx(leather, abs=6e-4)
    mean, low, high = map(float, re.findall(r"-?\d\.\d+", told[2]))
    assert low <= mean <= high

    record = json.loads((tmp_path / "accuracy.json").read_text())
    own = record["methods"][0]
    assert [(run["order"], run["seed"]) for run in own["runs"]] == [("leather>nut", 0), ("nut>leather", 0)]
    assert [run["products"]["leather"]["image_auroc"] for run in own["runs"]] == [final[0][0], final[1][1]]
    assert own["mean"]["image_auroc"]["value"] == pytest.approx(mean, abs=6e-4)
    assert len(record["differences"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--presets", "demo, memory_size"], "expected option=value .*, got 'memory_size'"),
        (["--presets", "demo, seed=5"], "none of .*, got 'seed=5'"),
        (["--presets", "demo, top_k=1|2"], "expected one value an option"),
        (["--seeds", "a"], "comparison_seeds: expected a list of whole numbers, got 'a'"),
    ],
)
def test_wrong_options_are_told(
    options: list[str], message: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--dataset-root", str(tiny_data), "--out", str(tmp_path), "--orders", "leather>nut", *options]
    monkeypatch.setattr(sys, "argv", ["accuracy", *given])
    with pytest.raises(SystemExit, match=message):
        accuracy.main()


def test_orders_of_other_products_are_refused(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--dataset-root", str(tiny_data), "--out", str(tmp_path), "--orders", "leather>nut|nut>board"]
    monkeypatch.setattr(sys, "argv", ["accuracy", *options])
    with pytest.raises(SystemExit, match="the same products in every order"):
        accuracy.main()
