"""What every notebook shares: reading its parameters, its summary, its result file, its provenance."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import plotly.io as pio
from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML

from moleflow_lib.artifacts import SCHEMA_VERSION, write_json
from moleflow_lib.config import PATHS, ExperimentConfig, RunOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.reporting.escaping import sentence_html
from moleflow_lib.reporting.parameters import read_parameters
from moleflow_lib.reporting.tables import Table
from moleflow_lib.runtime import provenance
from moleflow_lib.stopping import leave_with_parent

__all__ = ["notebook_config", "provenance_table", "show_summary", "write_result"]

_ANCHOR = Path("notebooks") / "01_feature_extraction.ipynb"
pio.renderers.default = "plotly_mimetype"  # figures as data: JupyterLab draws them, reports embed them


def notebook_config(namespace: Mapping[str, object]) -> ExperimentConfig:
    """The experiment that the parameters cell describes, papermill's injected values included.

    Papermill injects any name it is given. So every name assigned in the parameters cell or in an
    injected one counts as a parameter here, and an unknown one is refused; options that a cell between
    them and this call assigns count too. Relative paths of the parameters cell are meant from the
    repository's root, wherever the kernel was started; those that papermill injects from where its command
    was given.

    Args:
        namespace: the notebook's `globals()`.

    Raises:
        ConfigError: unknown names or wrong types.
    """
    shell = get_ipython()
    if shell is None:
        raise ConfigError(
            "notebook_config reads a notebook's cells; in a script use ExperimentConfig.from_params"
        )
    leave_with_parent(_kernel_parent())
    cells = [(source, _targets(_parsed(shell, source))) for source in shell.user_ns["In"] if source]
    params = {name: namespace[name] for name in _assigned(cells) if name in namespace}
    return read_parameters(_placed(params, _injected(cells)))


def show_summary(sentences: Sequence[str]) -> HTML:
    """The answer to the notebook's question: its first sentence large, the rest as a list.

    What stands between backticks is shown as code; nothing else of a sentence is markup.
    """
    answer, *others = [sentence_html(sentence) for sentence in sentences] or [""]
    rest = "".join(f"<li>{sentence}</li>" for sentence in others)
    return HTML(f'<p class="answer"><strong>{answer}</strong></p>' + (f"<ul>{rest}</ul>" if rest else ""))


def write_result(
    config: ExperimentConfig,
    name: str,
    result: Mapping[str, object],
    summary: Sequence[str],
    hashes: Mapping[str, str] | None = None,
) -> str:
    """Write `<name>.result.json` into the run's folder.

    Args:
        config: the experiment.
        name: the notebook's name without suffix.
        result: JSON-able numbers; undefined ones are None.
        summary: the sentences of `show_summary`.
        hashes: what the result rests on (`Experiment.hashes`), added to the provenance.

    Returns:
        The file's name.
    """
    path = Path(config.run.out_dir) / f"{name}.result.json"
    facts = {"schema": SCHEMA_VERSION, "notebook": name, "summary_text": list(summary)}
    made = {**provenance(config.run.device), **(hashes or {})}
    write_json(path, {**facts, **result, "config": config.to_dict(), "provenance": made})
    return path.name


def provenance_table(config: ExperimentConfig, hashes: Mapping[str, str] | None = None) -> Table:
    """Versions, hardware, commit, the hashes of what went in and came out, and the configuration in full."""
    facts = {**provenance(config.run.device), **(hashes or {})}
    rows = [{"what": name, "value": str(value)} for name, value in facts.items()]
    options = config.to_dict().items()
    rows += [{"what": f"config: {name}", "value": str(value)} for name, value in options if name not in PATHS]
    return Table(rows, "Where and with what this was made, and every option in force.")


def _placed(params: Mapping[str, object], injected: Sequence[str]) -> dict[str, object]:
    """Parameters whose paths hold wherever the kernel was started."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / _ANCHOR).is_file()), here)
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


def _assigned(cells: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Names assigned in the latest parameters cell and the injected ones, and options assigned below it."""
    declared = [index for index, (_, targets) in enumerate(cells) if "preset" in targets][-1:]
    names = [name for index in declared for name in cells[index][1]]
    below = cells[declared[0] + 1 :] if declared else cells
    options = ExperimentConfig().to_dict()
    names += [name for _, targets in below for name in targets if name in options]
    return list(dict.fromkeys([*names, *_injected(cells)]))


def _injected(cells: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [name for source, targets in cells if source.startswith("# Parameters") for name in targets]


def _parsed(shell: InteractiveShell, source: str) -> ast.Module:
    """A cell as Python, magics and shell lines made calls; empty if it does not parse and never ran."""
    try:
        return ast.parse(shell.transform_cell(source))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _targets(tree: ast.Module) -> list[str]:
    """Names that a cell's own statements assign, annotated, chained and unpacked ones included."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found += node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found.append(node.target)
    return [name.id for target in found for name in ast.walk(target) if _is_assigned(name)]


def _is_assigned(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
