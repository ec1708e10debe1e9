"""The command line that runs an experiment again, from what a stored result says of its options."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from moleflow_lib.config.experiment import ExperimentConfig
from moleflow_lib.presets import PRESETS

__all__ = ["run_command"]

_START = "python -m moleflow_lib run"
_OWN = ("preset", "dataset_root", "out_dir")  # named on every command line
_FLAGS = {
    "classes": "--classes",
    "backbone": "--backbone",
    "backbone_weights": "--backbone-weights",
    "store_dir": "--store",
    "device": "--device",
    "scheduler": "--scheduler",
}


def run_command(options: Mapping[str, object], out: Path, notebooks: str) -> str:
    """The command that runs notebooks with these options into a folder.

    Args:
        options: all of them under their flat names (`ExperimentConfig.to_dict`); of an unknown preset or
            without one, the command has words to fill in.
        out: the run's folder.
        notebooks: their numbers, e.g. `03`.

    >>> run_command({"preset": "demo", "dataset_root": "data", "epochs": 3}, Path("runs/a"), "03")
    'python -m moleflow_lib run --preset demo --dataset-root data --out runs/a --notebooks 03 -p epochs=3'
    >>> run_command({}, Path("runs/a"), "03")
    'python -m moleflow_lib run --preset PRESET --dataset-root DIR --out runs/a --notebooks 03'
    """
    preset, root = (str(options.get(name) or "") for name in ("preset", "dataset_root"))
    known = preset in PRESETS
    words = ["--preset", preset if known else "PRESET", "--dataset-root", root or "DIR", "--out", str(out)]
    words += ["--notebooks", notebooks, *(_further(options) if known else [])]
    return f"{_START} {shlex.join(words)}"


def _further(options: Mapping[str, object]) -> list[str]:
    """What differs from the preset, as the command line takes it."""
    usual = _usual(options)
    words = []
    for name, value in options.items():
        if name in _OWN or name not in usual or value == usual[name]:
            continue
        text = _text(value)
        words += [_FLAGS[name], text] if name in _FLAGS and value else ["-p", f"{name}={text}"]
    return words


def _usual(options: Mapping[str, object]) -> dict[str, object]:
    """Options as the preset has them beside these products: its own studies go with its own products."""
    named = options.get("classes")
    alone = ExperimentConfig.from_params({"preset": options["preset"]}).to_dict()
    own = named == alone["classes"] and options.get("ablation_classes")
    asked = {"preset": options["preset"], "classes": None if own else named}
    usual = ExperimentConfig.from_params(asked, preset_products=bool(named)).to_dict()
    return usual if own or not named else {**usual, "classes": []}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = [str(item) for item in value]
        return (json.dumps(items) if any("," in item for item in items) else ",".join(items)) or "none"
    return str(value) or "none"
