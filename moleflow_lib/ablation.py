"""One change at a time against the preset, on the same features, over several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from moleflow_lib.artifacts import read_json, write_json
from moleflow_lib.config import ExperimentConfig, digest
from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, mean_defined
from moleflow_lib.runtime import progress
from moleflow_lib.trainer import METHOD_VERSION

__all__ = ["SWITCHES", "AblationRun", "paired_differences", "planned_runs", "run_ablation"]

# name → (what it asks, changes to the preset)
SWITCHES: Mapping[str, tuple[str, Mapping[str, object]]] = MappingProxyType({
    "preset": ("the preset itself", {}),
    "no whitening": ("without the whitening adapter", {"use_whitening": False}),
    "volume counted": ("log γ in the log-determinant", {"count_adapter_volume": True}),
    "no mixer": ("without spatial context", {"use_mixer": False}),
    "no position": ("without positional encoding", {"use_position": False}),
    "no LoRA": ("without low-rank updates", {"use_lora": False}),
    "no LoRA, no bias": ("the base subnets as they are", {"use_lora": False, "use_task_bias": False}),
    "no DIA": ("without the invertible adapter", {"dia_blocks": 0}),
    "DIA alone": ("no coupling blocks at all", {"coupling_layers": 0}),
    "no tail loss": ("plain mean likelihood", {"tail_weight": 0.0}),
    "tail 0.7": ("more weight on the tail", {"tail_weight": 0.7}),
    "tail per image": ("tail taken per image", {"tail_scope": "image"}),
    "tail per batch": ("tail taken over the batch", {"tail_scope": "batch"}),
    "log-det penalty": ("1e-4 · mean log-det²", {"log_det_penalty": 1e-4}),
    "2 blocks": ("depth", {"coupling_layers": 2}),
    "4 blocks": ("depth", {"coupling_layers": 4}),
    "12 blocks": ("depth", {"coupling_layers": 12}),
    "rank 4": ("LoRA rank, α fixed, so α/r moves too", {"lora_rank": 4}),
    "rank 16": ("LoRA rank, α fixed", {"lora_rank": 16}),
    "rank 128": ("LoRA rank, α fixed", {"lora_rank": 128}),
    "LoRA alpha 64": ("a larger α/r: updates that act", {"lora_alpha": 64.0}),
    "top-1": ("image score from the highest patch", {"top_k": 1}),
    "top-10": ("image score from the 10 highest patches", {"top_k": 10}),
    "mean score": ("image score from all patches", {"score_mode": "mean"}),
    "no smoothing": ("raw pixel maps", {"smoothing_sigma": 0.0}),
    "faster training": (
        "lr 1e-3, cosine, clipped at 0.5, tail per image",
        {"lr": 1e-3, "schedule": "cosine", "clip_norm": 0.5, "tail_scope": "image"},
    ),
})


@dataclass(frozen=True, kw_only=True)
class AblationRun:
    """One switch under one seed: what it is, and the key its result is kept under."""

    switch: str
    seed: int
    config: ExperimentConfig

    @property
    def changes(self) -> Mapping[str, object]:
        """Fields set against the preset."""
        return SWITCHES[self.switch][1]


def planned_runs(config: ExperimentConfig) -> list[AblationRun]:
    """The runs a config asks for: its switches (all if none are named) times its seeds.

    A switch that would leave the configuration as it is is left out. The preset itself is always in.

    Raises:
        ConfigError: a switch is unknown.
    """
    names = list(config.ablation_switches) or list(SWITCHES)
    unknown = [name for name in names if name not in SWITCHES]
    if unknown:
        raise ConfigError(f"unknown ablation switches {unknown}; known: {', '.join(SWITCHES)}")
    base = config.with_(
        classes=config.ablation_classes or config.classes, epochs=config.ablation_epochs or config.epochs
    )
    acting = [name for name in dict.fromkeys(["preset", *names]) if name == "preset" or _acts(base, name)]
    return [
        AblationRun(switch=name, seed=seed, config=base.with_(seed=seed, **SWITCHES[name][1]))
        for seed in config.ablation_seeds for name in acting
    ]


def run_ablation(runs: Sequence[AblationRun], folder: Path) -> list[dict[str, object]]:
    """Carry out runs, or read back those that were finished before.

    Args:
        runs: from `planned_runs`.
        folder: where each finished run keeps its result, keyed by configuration and inputs.

    Returns:
        One row a run: `switch`, `value` (the fields changed), `seed`, routed means of each metric,
        `routing`, `seconds`, `per_task` parameters, and `per_class` metrics.
    """
    return [_run(run, folder) for run in progress(runs, "ablation runs")]


def paired_differences(rows: Sequence[Mapping[str, object]], metric: str) -> list[dict[str, object]]:
    """Each switch against the preset, seed by seed.

    Returns:
        One row a switch: `switch`, `mean` of the metric, `difference` to the preset under the same
        seed, its `spread` (sample standard deviation over seeds, None for one), and `seeds`.
    """
    preset = {row["seed"]: row[metric] for row in rows if row["switch"] == "preset"}
    return [_difference(switch, group, preset, metric) for switch, group in _by_switch(rows)]


def _by_switch(rows: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, list[Mapping[str, object]]]]:
    for switch in dict.fromkeys(row["switch"] for row in rows):
        yield switch, [row for row in rows if row["switch"] == switch]


def _difference(switch: str, group: Sequence[Mapping[str, object]], preset: Mapping, metric: str) -> dict[str, object]:
    gaps = [row[metric] - preset[row["seed"]] for row in group if row[metric] is not None]
    return {
        "switch": switch, "mean": mean_defined([row[metric] for row in group]), "difference": mean_defined(gaps),
        "spread": float(np.std(gaps, ddof=1)) if len(gaps) > 1 else None, "seeds": len(gaps),
    }


def _acts(base: ExperimentConfig, switch: str) -> bool:
    changed = base.with_(**SWITCHES[switch][1])
    return changed != base


def _run(run: AblationRun, folder: Path) -> dict[str, object]:
    experiment = Experiment(run.config)
    key = digest(
        METHOD_VERSION, experiment.detector.device.type,
        run.config.group("data", "backbone", "flow", "train", "score", "router"), experiment.store.identity,
        [experiment.features(task, split).key for task in experiment.tasks for split in ("train", "test")],
    )
    path = folder / f"{key[:24]}.json"
    if not path.is_file():
        row = _measure(run, experiment)
        write_json(path, {"key": key, "row": row, "row_sha256": digest(row)})
    stored = read_json(path)
    if stored.get("key") != key or stored.get("row_sha256") != digest(stored.get("row")):
        raise ArtifactError(f"{path} is damaged or of another run; delete it and run again")
    return {**stored["row"], "switch": run.switch, "value": dict(run.changes)}


def _measure(run: AblationRun, experiment: Experiment) -> dict[str, object]:
    histories = experiment.learn()
    result = experiment.evaluate()
    last = len(histories) - 1
    return {
        "seed": run.seed,
        **{metric: mean_defined(result.final(metric)) for metric in METRICS},
        "routing": result.routing["accuracy"], "seconds": sum(history.seconds for history in histories),
        "per_task": experiment.detector.flow.parameter_counts(last)["per_task"],
        "per_class": {name: {m: result.final(m)[j] for m in METRICS} for j, name in enumerate(result.classes)},
    }
