"""`python -m benchmarks.accuracy`: presets and their memory banks side by side, over task orders and seeds,
as tables.

Presets are compared and varied in the language of the ablations:
`recommended; recommended, top_k=1` is `recommended` as it is and with that option set.
A variation gets no baselines of its own unless it names them.

Every number is routed (nobody tells the task), after the last task. Finished tasks are read back from
`--out`. `--json FILE` keeps what the tables are made of: each run's own numbers, and every mean with its
interval.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean

import numpy as np

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import ConfigError, MoLEFlowError
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import HEADLINES, average, interval, mean_defined, over_seeds
from moleflow_lib.reporting.text.words import title
from moleflow_lib.runtime import provenance
from moleflow_lib.storage.disk import write_json
from moleflow_lib.studies.ablation import parse_variations
from moleflow_lib.studies.baselines.comparison import METHOD, Estimate, compare
from moleflow_lib.studies.baselines.run import MethodRun

SHOWN = {metric: title(metric) for metric in HEADLINES}
_OWN = (
    "preset",
    "seed",
    "comparison_seeds",
    "classes",
    "dataset_root",
    "out_dir",
    "store_dir",
    "backbone",
    "backbone_weights",
    "device",
)
Runs = Sequence[Sequence[MethodRun]]  # one row an order, one trial a seed
MethodRuns = Mapping[tuple[str, str], Runs]  # (preset, method) → its runs


def main() -> None:
    """Read the options, learn what is not there yet, print the tables."""
    options = _parser().parse_args()
    orders = options.orders.split("|")
    presets = [preset.strip() for preset in options.presets.split(";") if preset.strip()]
    if len({frozenset(order.split(">")) for order in orders}) > 1:
        sys.exit(f"--orders: expected the same products in every order, got {options.orders}")
    try:
        seeds = ExperimentConfig.from_params({"comparison_seeds": options.seeds}).study.comparison_seeds
        planned = [
            (preset, Experiment(_config(options, preset, order, seeds)))
            for preset in presets
            for order in orders
        ]
        trials = _trials(planned)
        if options.json:
            write_json(Path(options.json).expanduser(), _record(options, trials))
        _report(trials, orders, options.seeds)
    except MoLEFlowError as error:
        sys.exit(f"benchmarks.accuracy: {error}")


def _trials(planned: Sequence[tuple[str, Experiment]]) -> MethodRuns:
    """Learn what is not there yet; every preset's methods, one row of runs an order."""
    trials: dict[tuple[str, str], list[list[MethodRun]]] = {}
    for preset, experiment in planned:
        for name, runs in compare(experiment).runs.items():
            trials.setdefault((preset, name), []).append(list(runs))
    return trials


def _record(options: argparse.Namespace, trials: MethodRuns) -> dict[str, object]:
    """The numbers behind the tables, routed and after the last task, and what they were measured with."""
    seeds = [int(seed) for seed in options.seeds.split(",")]
    orders = options.orders.split("|")
    return {
        "orders": orders,
        "seeds": seeds,
        "backbone": options.backbone,
        "made_with": {key: value for key, value in provenance(options.device).items() if key != "platform"},
        "methods": [
            {
                "preset": preset,
                "method": name,
                "mean": {metric: asdict(_mean(rows, metric)) for metric in HEADLINES},
                "runs": [
                    _run_record(order, seed, run)
                    for order, row in zip(orders, rows, strict=True)
                    for seed, run in zip(seeds, row, strict=True)
                ],
            }
            for (preset, name), rows in trials.items()
        ],
        "differences": [
            {
                "preset": other[0],
                "method": other[1],
                **{metric: asdict(_gap(trials, _compared(trials), other, metric)) for metric in HEADLINES},
            }
            for other in trials
            if other != _compared(trials)
        ],
    }


def _run_record(order: str, seed: int, run: MethodRun) -> dict[str, object]:
    """One run: the value of every product, and what it costs."""
    products = {
        name: {metric: _of_class(run, metric, name) for metric in HEADLINES} for name in run.result.classes
    }
    return {"order": order, "seed": seed, "products": products, "costs": asdict(run.costs)}


def _report(trials: MethodRuns, orders: Sequence[str], seeds: str) -> None:
    """Print the tables."""
    print(
        f"Orders: {', '.join(orders)}; seeds {seeds}. Routed, means over orders and seeds; in brackets the "
        "95 % interval over test images and seeds, orders averaged.\n"
    )
    _print_means(trials)
    _print_differences(trials)
    _print_costs(trials)


def _config(options: argparse.Namespace, preset: str, order: str, seeds: Sequence[int]) -> ExperimentConfig:
    name, _, text = (part.strip() for part in preset.partition(","))
    varied = _changes(text)
    return ExperimentConfig.from_params(
        {
            "preset": name,
            "dataset_root": options.dataset_root,
            "backbone": options.backbone,
            "device": options.device,
            "backbone_weights": options.backbone_weights,
            "classes": order.replace(">", ","),
            "baselines": "none" if varied else "memory_bank,gaussian",
            "comparison_seeds": list(seeds),
            "seed": seeds[0],
            "out_dir": options.out,
            **varied,
        }
    )


def _changes(text: str) -> dict[str, object]:
    """What a preset is varied by; empty as it is."""
    found = parse_variations(text)
    own = [name for changes in found for name in changes if name in _OWN]
    if len(found) > 1 or own:
        raise ConfigError(
            f"--presets: expected one value an option and none of {', '.join(_OWN)}, got {text!r}; name a "
            "variation each"
        )
    return found[0] if found else {}


def _print_means(trials: MethodRuns) -> None:
    classes = sorted(next(iter(trials.values()))[0][0].result.classes)
    print("| preset | method | metric | " + " | ".join(classes) + " | mean |")
    print("|---|---|---|" + "---|" * (len(classes) + 1))
    for (preset, name), runs in trials.items():
        for metric, shown in SHOWN.items():
            values = [
                mean_defined([_of_class(run, metric, one) for row in runs for run in row]) for one in classes
            ]
            print(
                f"| {preset} | {name} | {shown} | {' | '.join(map(_number, values))} | "
                f"{_words(_mean(runs, metric))} |"
            )


def _print_differences(trials: MethodRuns) -> None:
    if len(trials) == 1:
        return
    last = _compared(trials)
    print(f"\n| {last[0]} minus | " + " | ".join(SHOWN.values()) + " |\n|---|" + "---|" * len(SHOWN))
    for other in trials:
        if other != last:
            print(
                f"| {other[0]}, {other[1]} | "
                + " | ".join(_words(_gap(trials, last, other, m), "+") for m in SHOWN)
                + " |"
            )


def _compared(trials: MethodRuns) -> tuple[str, str]:
    """The last preset's own runs, which everything else is compared with."""
    return [key for key in trials if key[1] == METHOD][-1]


def _print_costs(trials: MethodRuns) -> None:
    """What is kept and how long it takes, as means; a task keeps its prototype too."""
    print(
        "\nA variation is charged for all that it trains, also where its weight is 0; ms without backbone "
        "and router.\n"
    )
    print(
        "| preset | method | k values a task | MB a task | k values shared | s to learn a task | ms to score "
        "an image |"
    )
    print("|---|---|---|---|---|---|---|")
    for (preset, name), runs in trials.items():
        costs, tasks = [run.costs for row in runs for run in row], len(runs[0][0].result.classes)
        kept = [mean(c.values_per_task for c in costs) / 1e3, mean(c.bytes_per_task for c in costs) / 1e6]
        shared, seconds = (
            mean(c.shared_values for c in costs) / 1e3,
            mean(c.learn_seconds for c in costs) / tasks,
        )
        print(
            f"| {preset} | {name} | {kept[0]:,.0f} | {kept[1]:.1f} | {shared:,.0f} | {seconds:.1f} | "
            f"{1e3 * mean(c.score_seconds for c in costs):.2f} |"
        )


def _gap(trials: MethodRuns, one: tuple[str, str], other: tuple[str, str], metric: str) -> Estimate:
    own, theirs = (_pooled(trials[key], metric) for key in (one, other))
    if own is None:
        return Estimate(value=None, interval=None)
    value = _mean(trials[one], metric).value - _mean(trials[other], metric).value
    return Estimate(value=value, interval=interval(own - theirs))


def _mean(runs: Runs, metric: str) -> Estimate:
    value = mean_defined([mean_defined(run.result.final(metric)) for row in runs for run in row])
    return Estimate(value=value, interval=interval(_pooled(runs, metric)))


def _pooled(runs: Runs, metric: str) -> np.ndarray | None:
    """(rounds,) replicates of the mean over tasks and orders, over seeds; None where the metric is undefined.

    Draws of one product are the same in every order and for every method, so differences are paired.
    """
    seeds = [
        [average(run.replicates[metric]["routed"]) for run in column] for column in zip(*runs, strict=True)
    ]
    return None if seeds[0][0] is None else over_seeds([np.mean(column, axis=0) for column in seeds])


def _of_class(run: MethodRun, metric: str, name: str) -> float | None:
    return run.result.final(metric)[run.result.classes.index(name)]


def _words(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None or estimate.interval is None:
        return "–"
    low, high = estimate.interval
    return f"{estimate.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--dataset-root", required=True)
    parser.add_argument("--orders", required=True, help="task orders, e.g. 'bottle>cable|cable>bottle'")
    parser.add_argument(
        "--presets",
        default="v5_final; recommended, score_parts=gaussian,memory, image_parts=none; recommended",
        help="separated by semicolons; each may be varied, as in recommended, top_k=1; the "
        "last one is compared with all others",
    )
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--backbone", default="")
    parser.add_argument("--backbone-weights", default="", metavar="FILE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", default="", metavar="FILE", help="keep the numbers behind the tables here")
    parser.add_argument("--out", required=True, help="folder that keeps features and tasks")
    return parser


if __name__ == "__main__":
    main()
