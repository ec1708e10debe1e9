"""The command line: `python -m moleflow_lib` with `run`, `report`, `score`, `learn` or `params`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path

from moleflow_lib.config import GROUPS, PATHS, PRESETS, ExperimentConfig
from moleflow_lib.datasets import task_order
from moleflow_lib.errors import ConfigError, MoLEFlowError, NotebookError
from moleflow_lib.inference import DECISIONS, learn_into, load_detector
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.report import render_report
from moleflow_lib.reporting.runner import available_notebooks, run_notebooks
from moleflow_lib.reporting.scores import write_scores
from moleflow_lib.stopping import STOPPED, exit_status

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 well, 1 a notebook or image failed, 2 the request cannot be met, 130 or 143 stopped."""
    options = _parser().parse_args(arguments)
    try:
        return options.act(options)
    except KeyboardInterrupt as stopped:
        print(STOPPED, file=sys.stderr)
        return exit_status(stopped)
    except MoLEFlowError as error:
        print("moleflow_lib:", visible(error, keep="\n"), file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    params = _params(options)
    chosen = [name.strip() for name in options.notebooks.split(",") if name.strip()]
    return 1 if run_notebooks(params, available_notebooks(chosen), options.single_file) else 0


def _report(options: argparse.Namespace) -> int:
    notebook = Path(options.notebook).expanduser()
    if not notebook.is_file():
        example = "reports/executed/02_base_task.ipynb"
        raise NotebookError(f"no file {notebook}; give an executed notebook, e.g. {example}")
    into = Path(options.into).expanduser() if options.into else notebook.with_suffix(".html")
    render_report(notebook, into, single_file=options.single_file)
    print(visible(into))
    return 0


def _score(options: argparse.Namespace) -> int:
    learned = load_detector(options.run, options.device, options.backbone_weights)
    photos = options.photos[0] if len(options.photos) == 1 else options.photos
    for name in learned.tasks:
        smallest = learned.calibration.smallest_rate(learned.task_index(name))
        if options.false_alarm_rate < smallest:
            _say(
                f"task {name} has too few training images to promise a false-alarm rate below {smallest:.2g}"
            )
    out = Path(options.out)
    counts = write_scores(learned, photos, out, options.task or None, options.false_alarm_rate)
    decided = ", ".join(f"{counts[decision]} {decision}" for decision in DECISIONS)
    print(f"{counts.total()} image(s): {decided}, {counts['failed']} failed; {out / 'scores.html'}")
    if counts["failed"]:
        _say(f"{counts['failed']} image(s) could not be scored; scores.html and scores.csv say why")
    return 1 if counts["failed"] else 0


def _learn(options: argparse.Namespace) -> int:
    classes = [name.strip() for name in options.classes.split(",") if name.strip()]
    learned = learn_into(options.run, options.dataset_root, classes, options.device, options.backbone_weights)
    print(f"learned {', '.join(classes)}; {options.run} knows {', '.join(learned.tasks)}")
    return 0


def _say(text: str) -> None:
    print(f"moleflow_lib: {text}", file=sys.stderr)


def _show_params(options: argparse.Namespace) -> int:
    config = ExperimentConfig.from_params({"preset": options.preset})
    for group, kind in GROUPS.items():
        print(f"{group}: {kind.__doc__}")
        for spec in fields(kind):
            print(f"  {spec.name:22} {config[spec.name]!r:20} {_meaning(spec)}")
    return 0


def _meaning(spec: Field) -> str:
    """What an option decides and what it may be."""
    facts = spec.metadata
    bounds = [
        f"{sign} {facts[end]:g}" for end, sign in (("low", "≥"), ("high", "≤")) if math.isfinite(facts[end])
    ]
    allowed = " | ".join(facts["choices"]) or ", ".join(bounds)
    return facts["what"] + (f" ({allowed})" if allowed else "")


def _params(options: argparse.Namespace) -> dict[str, object]:
    """Named options and `-p name=value` pairs as one set of parameters, paths made absolute."""
    params: dict[str, object] = {"preset": options.preset, "device": options.device}
    if options.task_order and options.classes:
        raise ConfigError("--classes and --task-order both name the order of tasks; give one of the two")
    if options.task_order:
        params["classes"] = list(task_order(Path(options.task_order).expanduser()))
    for name in ("dataset_root", "classes", "backbone", "backbone_weights", "scheduler"):
        if value := getattr(options, name):
            params[name] = value
    for name, value in (("--out", options.out), ("--dataset-root", options.dataset_root)):
        if not value.strip():
            raise ConfigError(f"{name}: expected a folder, got an empty text")
    params["out_dir"] = options.out
    for pair in options.p:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"-p {pair}: expected name=value, e.g. -p lr=1e-3")
        params[name.strip()] = value.strip()
    ExperimentConfig.from_params(params)
    for name in PATHS:
        if params.get(name):
            params[name] = str(Path(str(params[name])).expanduser().resolve())
    return params


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moleflow_lib", description="Continual visual anomaly detection in notebooks."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    run = commands.add_parser("run", help="run notebooks in order and render their reports")
    run.add_argument("--preset", default="v5_final", help=f"named configuration: {', '.join(PRESETS)}")
    run.add_argument("--dataset-root", required=True, help="folder that holds one folder a product")
    order = (
        "products in order of arrival, e.g. bottle,cable+capsule,screw (cable and capsule arrive "
        "together); all if left out"
    )
    run.add_argument("--classes", default="", help=order)
    run.add_argument("--task-order", default="", metavar="FILE", help="the same from a file, one task a line")
    run.add_argument("--backbone", default="", help="timm tag, filterbank, or random:<tag>")
    run.add_argument("--backbone-weights", default="", metavar="FILE", help="local weights of that tag")
    run.add_argument(
        "--out", required=True, help="folder for reports, results and everything kept for resuming"
    )
    run.add_argument("--notebooks", default="", help="which ones, e.g. 01,02,03; all if left out")
    run.add_argument("--device", default="auto", help="auto, cpu or cuda")
    cluster = "a Dask scheduler, whose workers carry the ablation runs instead of this machine"
    run.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help=cluster)
    run.add_argument(
        "-p", action="append", default=[], metavar="name=value", help="any other option, see `params`"
    )
    alone = "hold plotly.js in each report, so that it can be sent alone, instead of once beside them"
    run.add_argument("--single-file", action="store_true", help=alone)
    run.set_defaults(act=_run)
    report = commands.add_parser("report", help="render an executed notebook to HTML")
    report.add_argument("notebook", metavar="NOTEBOOK.ipynb", help="a notebook with its outputs")
    beside = "the HTML to write; beside the notebook if left out"
    report.add_argument("--into", default="", metavar="FILE", help=beside)
    report.add_argument("--single-file", action="store_true", help=alone)
    report.set_defaults(act=_report)
    _add_score(commands)
    _add_learn(commands)
    params = commands.add_parser(
        "params", help="list every option with its value in a preset, its meaning and its bounds"
    )
    params.add_argument("--preset", default="v5_final", help=f"one of {', '.join(PRESETS)}")
    params.set_defaults(act=_show_params)
    return parser


def _add_score(commands: argparse._SubParsersAction) -> None:
    score = commands.add_parser("score", help="score images with a learned run")
    _add_run(score)
    score.add_argument("photos", nargs="+", metavar="PHOTOS", help="image files, or folders of them")
    score.add_argument("--out", required=True, help="new folder for scores and heat maps")
    rate = "share of normal images that may be called defective (default 0.01)"
    score.add_argument("--false-alarm-rate", type=float, default=0.01, metavar="RATE", help=rate)
    score.add_argument("--task", default="", help="score under this task; left out: the router chooses")
    score.set_defaults(act=_score)


def _add_learn(commands: argparse._SubParsersAction) -> None:
    learn = commands.add_parser("learn", help="add products to a learned run, the earlier images not needed")
    _add_run(learn)
    learn.add_argument("--dataset-root", required=True, help="folder that holds the new products")
    learn.add_argument("--classes", required=True, help="new products in order of arrival, e.g. screw,nut")
    learn.set_defaults(act=_learn)


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("--run", required=True, help="folder of the run, or its detector folder")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda")
    command.add_argument(
        "--backbone-weights", default="", metavar="FILE", help="the backbone's local weights"
    )
