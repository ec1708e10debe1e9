"""`python -m moleflow_lib` with `run`, `report`, `score`, `learn`, `compare`, `export` and `params`.

Each command imports what it needs when it is called: torch and plotly take seconds, `--help` needs neither.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path

from moleflow_lib.config import GROUPS, PATHS, PRESETS, ExperimentConfig
from moleflow_lib.config.arguments import HEAT_MAPS, CommandParser, place
from moleflow_lib.datasets import task_order
from moleflow_lib.errors import ConfigError, MoLEFlowError, NotebookError, counted
from moleflow_lib.reporting.escaping import visible
from moleflow_lib.reporting.running.kernels import Kernels
from moleflow_lib.reporting.running.notebooks import available_notebooks
from moleflow_lib.reporting.running.skeleton import require_skeletons
from moleflow_lib.stopping import STOPPED, exit_status

__all__ = ["main"]


_ALONE = "hold plotly.js in each report, so that it can be sent alone, instead of once beside them"


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
    books = available_notebooks(chosen)
    require_skeletons(books)
    with Kernels() as kernels:
        kernels.start_ahead(books[0])  # it imports while this process does
        from moleflow_lib.reporting.running.runner import run_notebooks

        return 1 if run_notebooks(params, books, options.single_file, kernels) else 0


def _report(options: argparse.Namespace) -> int:
    from moleflow_lib.reporting.pages.report import render_report

    notebook = Path(options.notebook).expanduser()
    if not notebook.is_file():
        example = "reports/executed/02_base_task.ipynb"
        raise NotebookError(f"no file {notebook}; give an executed notebook, e.g. {example}")
    into = Path(options.into).expanduser() if options.into else notebook.with_suffix(".html")
    render_report(notebook, into, single_file=options.single_file)
    print(visible(into))
    return 0


def _score(options: argparse.Namespace) -> int:
    from moleflow_lib.inference import DECISIONS
    from moleflow_lib.reporting.scores import ScoreRequest, write_scores

    request = ScoreRequest(
        run=Path(options.run).absolute(),
        out=Path(options.out).absolute(),
        device=options.device,
        backbone_weights=options.backbone_weights and str(Path(options.backbone_weights).absolute()),
        task=options.task or None,
        false_alarm_rate=options.false_alarm_rate,
        heat_maps=options.heat_maps,
    )
    photos = options.photos[0] if len(options.photos) == 1 else options.photos
    counts, refused = write_scores(request, photos, options.scheduler)
    decided = ", ".join(f"{counts[decision]} {decision}" for decision in DECISIONS)
    page = visible(Path(options.out) / "scores.html")
    strange = f" ({refused} accepted by no task)" if refused else ""
    print(f"{counted(counts.total(), 'image')}: {decided}, {counts['failed']} failed{strange}; {page}")
    if counts["failed"]:
        _say(f"{counted(counts['failed'], 'image')} could not be scored; scores.html and scores.csv say why")
    return 1 if counts["failed"] else 0


def _learn(options: argparse.Namespace) -> int:
    from moleflow_lib.inference import learn_into
    from moleflow_lib.reporting.text.thresholds import trained_warning

    classes = [name.strip() for name in options.classes.split(",") if name.strip()]
    learned = learn_into(
        options.run,
        options.dataset_root,
        classes,
        options.device,
        options.backbone_weights,
        options.calibration_folds,
    )
    print(f"learned {', '.join(classes)}; {options.run} knows {', '.join(learned.tasks)}")
    if warning := trained_warning(learned.trained_thresholds()):
        _say(warning)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from moleflow_lib.reporting.compare.page import write_comparison

    out = Path(options.out)
    missing = write_comparison(options.runs, out, options.dataset_root)
    if missing:
        _say(f"compare.html shows no heat maps: {visible(missing, keep=chr(10))}")
    print(visible(out / "compare.html"))
    return 0


def _export(options: argparse.Namespace) -> int:
    from moleflow_lib.inference import export_task

    run = options.run
    weights = options.backbone_weights
    files = export_task(run, options.task, options.out, onnx=options.onnx, backbone_weights=weights)
    print(f"{options.task}: {', '.join(map(visible, files))}")
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
    if options.store is not None:
        params["store_dir"] = options.store
    for name in ("dataset_root", "classes", "backbone", "backbone_weights", "scheduler"):
        if value := getattr(options, name):
            params[name] = value
    folders = {"--out": options.out, "--dataset-root": options.dataset_root, "--store": options.store}
    for name, value in folders.items():
        if value is not None and not value.strip():
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
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=CommandParser)
    _add_run(commands)
    _add_report(commands)
    _add_score(commands)
    _add_learn(commands)
    _add_compare(commands)
    _add_export(commands)
    _add_params(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction) -> None:
    run = commands.add_parser("run", help="run notebooks in order and render their reports")
    run.add_argument("--preset", default="v5_final", help=f"named configuration: {', '.join(PRESETS)}")
    run.add_argument("--dataset-root", required=True, help="folder that holds one folder a product")
    order = (
        "products in order of arrival, e.g. bottle,cable+capsule,screw (cable and capsule arrive "
        "together); all if left out"
    )
    run.add_argument("--classes", default="", help=order)
    run.add_argument("--task-order", default="", metavar="FILE", help="the same from a file, one task a line")
    run.add_argument("--backbone", default="", help="timm tag, filterbank, pypi:<tag> or random:<tag>")
    run.add_argument("--backbone-weights", default="", metavar="FILE", help="local weights of that tag")
    run.add_argument(
        "--out", required=True, help="folder for reports, results and everything kept for resuming"
    )
    shared = "folder of features that several runs share, so that each image is extracted once"
    run.add_argument("--store", metavar="DIR", help=f"{shared}; left out: store in --out")
    run.add_argument("--notebooks", default="", help="which ones, e.g. 01,02,03; left out: all but 00")
    run.add_argument("--device", default="auto", help="auto, cpu or cuda")
    _add_scheduler(run, "carry the ablation runs")
    run.add_argument(
        "-p", action="append", default=[], metavar="name=value", help="any other option, see `params`"
    )
    run.add_argument("--single-file", action="store_true", help=_ALONE)
    run.set_defaults(act=_run)


def _add_report(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser("report", help="render an executed notebook to HTML")
    report.add_argument("notebook", metavar="NOTEBOOK.ipynb", help="a notebook with its outputs")
    beside = "the HTML to write; beside the notebook if left out"
    report.add_argument("--into", default="", metavar="FILE", help=beside)
    report.add_argument("--single-file", action="store_true", help=_ALONE)
    report.set_defaults(act=_report)


def _add_score(commands: argparse._SubParsersAction) -> None:
    score = commands.add_parser("score", help="score images with a learned run")
    _add_place(score)
    photos = "image files, or folders of them"
    score.add_argument("photos", nargs="+", type=place, metavar="PHOTOS", help=photos)
    out = "new folder for scores and heat maps, or an interrupted one"
    score.add_argument("--out", required=True, type=place, help=out)
    rate = "share of normal images that may be called defective (default 0.01)"
    score.add_argument("--false-alarm-rate", type=float, default=0.01, metavar="RATE", help=rate)
    score.add_argument("--task", default="", help="score under this task; left out: the router chooses")
    drawn = "of which images heat maps are written; flagged: of those not called normal (default all)"
    score.add_argument("--heat-maps", default="all", choices=HEAT_MAPS, help=drawn)
    _add_scheduler(score, "score in chunks")
    score.set_defaults(act=_score)


def _add_learn(commands: argparse._SubParsersAction) -> None:
    learn = commands.add_parser("learn", help="add products to a learned run, the earlier images not needed")
    _add_place(learn)
    root = "folder that holds the new products"
    learn.add_argument("--dataset-root", required=True, type=place, help=root)
    learn.add_argument("--classes", required=True, help="new products in order of arrival, e.g. screw,nut")
    folds = (
        "parts of a new product's images, each held out in turn for its threshold, at as many trainings "
        "more; 0: none; left out: as for the earlier products"
    )
    learn.add_argument("--calibration-folds", type=int, default=None, metavar="N", help=folds)
    learn.set_defaults(act=_learn)


def _add_compare(commands: argparse._SubParsersAction) -> None:
    compare = commands.add_parser(
        "compare", help="set finished runs side by side: options, metrics, heat maps"
    )
    runs = "folders of runs; the first is the reference"
    compare.add_argument("runs", nargs="+", type=place, metavar="RUN", help=runs)
    out = "new folder for compare.html and compare.csv"
    compare.add_argument("--out", required=True, type=place, help=out)
    moved = "where the images lie now, for heat maps; left out: where each run read them"
    compare.add_argument("--dataset-root", default="", type=os.path.expanduser, metavar="DIR", help=moved)
    compare.set_defaults(act=_compare)


def _add_export(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser("export", help="write one task as a program that runs without this package")
    _add_place(export, device=False)
    export.add_argument("--task", required=True, help="the task")
    out = "new file NAME.pt2, or a folder for <task>.pt2; NAME.json beside it says how to use it"
    export.add_argument("--out", required=True, type=place, metavar="FILE_OR_DIR", help=out)
    export.add_argument(
        "--onnx", action="store_true", help="write NAME.onnx as well (needs the extra `onnx`)"
    )
    export.set_defaults(act=_export)


def _add_scheduler(command: argparse.ArgumentParser, what: str) -> None:
    cluster = f"a Dask scheduler, whose workers {what} instead of this machine"
    command.add_argument("--scheduler", default="", metavar="tcp://HOST:PORT", help=cluster)


def _add_place(command: argparse.ArgumentParser, device: bool = True) -> None:
    run = "folder of the run, or its detector folder"
    command.add_argument("--run", required=True, type=place, help=run)
    if device:
        command.add_argument("--device", default="auto", help="auto, cpu or cuda")
    local = "the backbone's local weights"
    weights = {"default": "", "type": os.path.expanduser, "metavar": "FILE", "help": local}
    command.add_argument("--backbone-weights", **weights)


def _add_params(commands: argparse._SubParsersAction) -> None:
    params = commands.add_parser(
        "params", help="list every option with its value in a preset, its meaning and its bounds"
    )
    params.add_argument("--preset", default="v5_final", help=f"one of {', '.join(PRESETS)}")
    params.set_defaults(act=_show_params)
