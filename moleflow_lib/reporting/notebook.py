"""What every notebook shares: reading its parameters, its summary, its result file, its provenance."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.io as pio
from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML

from moleflow_lib.config import PATHS, ExperimentConfig, RunOptions, check_baselines
from moleflow_lib.errors import ConfigError, counted
from moleflow_lib.reporting.escaping import sentence_html
from moleflow_lib.reporting.parameters import injected_names, parameter_names, read_parameters
from moleflow_lib.reporting.tables import Table
from moleflow_lib.runtime import provenance
from moleflow_lib.stopping import leave_with_parent
from moleflow_lib.storage.artifacts import SCHEMA_VERSION
from moleflow_lib.storage.disk import write_json

__all__ = [
    "kept_name",
    "notebook_config",
    "provenance_table",
    "repository_root",
    "show_summary",
    "write_result",
]

_ANCHOR = Path("notebooks") / "01_feature_extraction.ipynb"
_SENTENCES = 5  # of a summary, beside its answer, before the rest is folded
pio.renderers.default = "plotly_mimetype"  # figures as data: JupyterLab draws them, reports embed them


def notebook_config(namespace: Mapping[str, object]) -> ExperimentConfig:
    """The experiment that the parameters cell describes, papermill's injected values included.

    Papermill injects any name it is given, and a researcher may set an option in a cell of its own. What is
    set acts or is refused, see `parameter_names`. Relative paths of the notebook are meant from the
    repository's root, wherever the kernel was started; those that papermill injects from where its command
    was given.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        ConfigError: unknown names or wrong types, or a baseline whose entry is incomplete.
    """
    shell = get_ipython()
    if shell is None:
        raise ConfigError(
            "notebook_config reads a notebook's cells; in a script use ExperimentConfig.from_params"
        )
    leave_with_parent(_kernel_parent())
    cells = [_plain(shell, source) for source in shell.user_ns["In"]]
    params = {name: namespace[name] for name in parameter_names(cells) if name in namespace}
    config = read_parameters(_placed(params, injected_names(cells)))
    check_baselines(config.study.baselines)
    return config


def repository_root() -> Path:
    """The folder that relative paths are meant from: the repository's, or where there is none the current."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / _ANCHOR).is_file()), here)


def show_summary(sentences: Sequence[str]) -> HTML:
    """The answer to the notebook's question: its first sentence large, five more as a list, the rest folded.

    What stands between backticks is shown as code; nothing else of a sentence is markup.
    """
    answer, *others = [sentence_html(sentence) for sentence in sentences] or [""]
    items = [f"<li>{sentence}</li>" for sentence in others]
    shown, folded = items[:_SENTENCES], items[_SENTENCES:]
    html = f'<p class="answer"><strong>{answer}</strong></p>' + (
        f"<ul>{''.join(shown)}</ul>" if shown else ""
    )
    if folded:
        words = counted(len(folded), "further sentence")
        html += f"<details><summary>{words}</summary><ul>{''.join(folded)}</ul></details>"
    return HTML(html)


def kept_name(folder: Path, name: str) -> str:
    """How files of a notebook begin: with its name, and `.interactive` beside a published report."""
    return f"{name}.interactive" if (folder / f"{name}.html").exists() else name


def write_result(
    config: ExperimentConfig,
    name: str,
    result: Mapping[str, object],
    summary: Sequence[str],
    hashes: Mapping[str, str] | None = None,
) -> str:
    """Write `<name>.result.json` into the run's folder, beside a published report's numbers, never over them.

    Where `<name>.html` is there already, the file is `<name>.interactive.result.json`: the runner removes the
    report before it runs the notebook anew, a session in JupyterLab does not.

    Args:
        config: the experiment.
        name: the notebook's name without suffix.
        result: JSON-able numbers; undefined ones are None.
        summary: the sentences of `show_summary`.
        hashes: what the result rests on (`Experiment.hashes`), added to the provenance.

    Returns:
        The file's name.
    """
    folder = Path(config.run.out_dir)
    path = folder / f"{kept_name(folder, name)}.result.json"
    facts = {"schema": SCHEMA_VERSION, "notebook": name, "summary_text": list(summary)}
    made = {**provenance(config.run.device), **(hashes or {})}
    write_json(path, {**facts, **result, "config": config.to_dict(), "provenance": made})
    return path.name


def provenance_table(config: ExperimentConfig, hashes: Mapping[str, str] | None = None) -> Table:
    """What differs from the preset; versions, hardware, commit, hashes; and the configuration in full."""
    facts = {**provenance(config.run.device), **(hashes or {})}
    options = {name: value for name, value in config.to_dict().items() if name not in PATHS}
    preset = ExperimentConfig.from_params({"preset": config.run.preset}).to_dict()
    changed = {name: value for name, value in options.items() if value != preset[name]}
    rows = [
        {"what": f"{name}, not as in {config.run.preset}", "value": f"{value} (preset: {preset[name]})"}
        for name, value in changed.items()
    ]
    rows += [{"what": name, "value": str(value)} for name, value in facts.items()]
    rows += [{"what": f"config: {name}", "value": str(value)} for name, value in options.items()]
    return Table(rows, "Where and with what this was made, and every option in force.")


def _placed(params: Mapping[str, object], injected: Sequence[str]) -> dict[str, object]:
    """Parameters whose paths hold wherever the kernel was started."""
    here, root = Path.cwd(), repository_root()
    placed = dict(params)
    for name in PATHS:
        path = placed.get(name) or getattr(RunOptions(), name)
        if isinstance(path, str) and path and path != "none":
            placed[name] = str((here if name in injected else root) / os.path.expanduser(path))
    return placed


def _kernel_parent() -> int:
    """The process that started this kernel and is still there; 0 where that is not known."""
    told = os.environ.get("JPY_PARENT_PID", "")
    return int(told) if told.isdigit() and int(told) == os.getppid() else 0


def _plain(shell: InteractiveShell, source: str) -> str:
    """A cell as Python, magics and shell lines made calls; as it is if it does not parse and never ran."""
    try:
        return shell.transform_cell(source)
    except SyntaxError:
        return source
