"""`python -m benchmarks.accuracy`: presets and the memory bank side by side, over task orders and seeds, as one table.

Every number is routed (nobody tells the task), after the last task. Finished tasks are read back from `--out`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from moleflow_lib.baselines.comparison import METHOD, Estimate, compare
from moleflow_lib.baselines.trial import Trial
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import average, interval, mean_defined, over_seeds

SHOWN = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP", "aupro": "AUPRO"}
BANK = "memory_bank"
Trials = Mapping[tuple[str, str], Sequence[Trial]]  # (preset, method) → one trial an order and seed


def main() -> None:
    """Read the options, learn what is not there yet, print the tables."""
    options = _parser().parse_args()
    orders, seeds = options.orders.split("|"), tuple(int(seed) for seed in options.seeds.split(","))
    trials: dict[tuple[str, str], list[Trial]] = {}
    for preset in options.presets.split(","):
        for order in orders:
            comparison = compare(Experiment(_config(options, preset, order, seeds)))
            for name in (METHOD, BANK):
                trials.setdefault((preset, name), []).extend(comparison.trials[name])
    print(f"Orders: {', '.join(orders)}; seeds {options.seeds}. Routed, means over orders and seeds; in brackets the 95 % interval "
          "over test images, orders and seeds.\n")
    _print_means(trials)
    _print_differences(trials)


def _config(options: argparse.Namespace, preset: str, order: str, seeds: Sequence[int]) -> ExperimentConfig:
    return ExperimentConfig.from_params({
        "preset": preset, "dataset_root": options.dataset_root, "backbone": options.backbone, "device": options.device,
        "backbone_weights": options.backbone_weights, "classes": order.replace(">", ","), "baselines": BANK,
        "comparison_seeds": list(seeds), "seed": seeds[0], "out_dir": options.out,
    })


def _print_means(trials: Trials) -> None:
    classes = sorted(next(iter(trials.values()))[0].result.classes)
    print("| preset | method | metric | " + " | ".join(classes) + " | mean |")
    print("|---|---|---|" + "---|" * (len(classes) + 1))
    for (preset, name), runs in trials.items():
        for metric, title in SHOWN.items():
            values = [mean_defined([_of_class(run, metric, one) for run in runs]) for one in classes]
            print(f"| {preset} | {name} | {title} | {' | '.join(map(_number, values))} | {_words(_mean(runs, metric))} |")


def _print_differences(trials: Trials) -> None:
    (first, *others), last = list(trials), list(trials)[-2]  # the last preset's method against everything else
    print(f"\n| {last[0]} minus | " + " | ".join(SHOWN.values()) + " |\n|---|" + "---|" * len(SHOWN))
    for other in [first, *others]:
        if other != last:
            print(f"| {other[0]}, {other[1]} | " + " | ".join(_words(_gap(trials, last, other, m), "+") for m in SHOWN) + " |")


def _gap(trials: Trials, one: tuple[str, str], other: tuple[str, str], metric: str) -> Estimate:
    own, theirs = (_pooled(trials[key], metric) for key in (one, other))
    value = _mean(trials[one], metric).value - _mean(trials[other], metric).value
    return Estimate(value=value, interval=interval(own - theirs))


def _mean(runs: Sequence[Trial], metric: str) -> Estimate:
    value = mean_defined([mean_defined(run.result.final(metric)) for run in runs])
    return Estimate(value=value, interval=interval(_pooled(runs, metric)))


def _pooled(runs: Sequence[Trial], metric: str) -> np.ndarray:
    """(rounds,) replicates of the mean over tasks; draws of one product are the same in every order, so differences are paired."""
    return over_seeds([average(run.replicates[metric]["routed"]) for run in runs])


def _of_class(run: Trial, metric: str, name: str) -> float | None:
    return run.result.final(metric)[run.result.classes.index(name)]


def _words(estimate: Estimate, sign: str = "") -> str:
    low, high = estimate.interval
    return f"{estimate.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--dataset-root", required=True)
    parser.add_argument("--orders", required=True, help="task orders, e.g. 'bottle>cable|cable>bottle'")
    parser.add_argument("--presets", default="v5_final,recommended", help="the last one is compared with all others")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--backbone", default="")
    parser.add_argument("--backbone-weights", default="", metavar="FILE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", required=True, help="folder that keeps features and tasks")
    return parser


if __name__ == "__main__":
    main()
