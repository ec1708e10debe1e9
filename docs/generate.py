"""Writes what follows from other files: `metrics.md` from definitions, `options.md` from options, and in the
README and the quickstart its Colab badge from the repository's address in CITATION.cff.

python docs/generate.py           write them
python docs/generate.py --check   exit status 1 if a committed page is out of date
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from moleflow_lib.config import GROUPS
from moleflow_lib.presets import PRESETS, REASONS
from moleflow_lib.reporting.definitions import definition_sections

__all__ = ["PAGES", "main", "metrics_page", "options_page", "quickstart", "readme_page"]

HERE = Path(__file__).resolve().parent
_README = HERE.parent / "README.md"
_CITATION = HERE.parent / "CITATION.cff"
_QUICKSTART = "notebooks/00_quickstart.ipynb"
_BOOK = HERE.parent / _QUICKSTART
_BADGE_MARK = "<!-- Colab, from repository-code in CITATION.cff -->"
_BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
_BADGE_LINE = re.compile(f"^{_BADGE_MARK}\n.*$", re.MULTILINE)
_COLAB = "https://colab.research.google.com/github/"
_FIRST = "run first: `%pip install git+{}` and `!python -m data_prep draw demo --into data/demo`."
_MADE = "<!-- made by docs/generate.py from {}; edit that, then run `python docs/generate.py` -->"
_METRICS_LEAD = (
    "The name in code font is the key in result files. Reports print the same texts and link every table "
    "head to them. Higher scores mean more anomalous. What is undefined is null, and a dash in tables."
)
_OPTIONS_LEAD = (
    "Each is set with `-p name=value`, in a notebook's parameters cell, or with "
    "`ExperimentConfig.from_params`. The default is the preset `v5_final`. Unknown names, wrong types and "
    "values out of bounds are refused before anything runs; `none` empties a text or a list. `python -m "
    "moleflow_lib params --preset NAME` lists the values of a preset. Stored results are keyed by the "
    "groups they depend on: `score` and `router` can change without training anything again, `run` and "
    "`study` change no number of the method."
)
_PRESETS_LEAD = (
    "`v5_final` is the published configuration: every default above, and its own list of `ablations`. "
    "`demo` is small enough for two cores and a few minutes. `recommended` departs from `v5_final` in {} "
    "options; each departure is a row of notebook 05."
)


def metrics_page() -> str:
    """Every definition that reports print, as one page."""
    made = _MADE.format("the definitions of metrics, baselines and moleflow_lib/reporting/definitions")
    lines = [made, "", "# What the numbers mean", "", _METRICS_LEAD]
    for title, definitions in definition_sections().items():
        lines += ["", f"## {title}"]
        for one in definitions:
            head = f'<a id="{one.name}"></a>**{one.title}** · `{one.name}`'
            lines += ["", head, "", _escaped(one.text), "", f"*Source: {one.source}.*"]
    return "\n".join(lines) + "\n"


def options_page() -> str:
    """Every option by group, and why `recommended` departs from the published configuration."""
    made = _MADE.format("moleflow_lib/config/options.py and moleflow_lib/presets.py")
    lines = [made, "", "# Options", "", _OPTIONS_LEAD]
    for group, kind in GROUPS.items():
        lines += ["", f"## {group}", "", str(kind.__doc__), ""]
        lines += ["| option | default | meaning | bounds |", "|---|---|---|---|"]
        lines += [_option_row(spec) for spec in fields(kind)]
    lines += ["", "## presets", "", *_preset_lines()]
    return "\n".join(lines) + "\n"


def readme_page() -> str:
    """The README with a Colab badge."""
    return _BADGE_LINE.sub(lambda _: f"{_BADGE_MARK}\n{_badge()}", _README.read_text(encoding="utf-8"))


def quickstart() -> str:
    """The quickstart, a Colab badge below its title."""
    book = json.loads(_BOOK.read_text(encoding="utf-8"))
    title, *rest = "".join(book["cells"][0]["source"]).split("\n\n")
    words = [
        title,
        f"{_BADGE_MARK}\n{_badge()}",
        *(part for part in rest if not part.startswith(_BADGE_MARK)),
    ]
    book["cells"][0]["source"] = "\n\n".join(words).splitlines(keepends=True)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _badge() -> str:
    """Opens the quickstart; without `repository-code` in CITATION.cff, Colab's list of repositories."""
    named = re.search(
        r'^repository-code: *"?(https://github\.com/([\w.-]+/[\w.-]+))', _CITATION.read_text(), re.M
    )
    if named:
        return f"{_BADGE}({_COLAB}{named[2]}/blob/main/{_QUICKSTART}) In Colab {_FIRST.format(named[1])}"
    told = f"type this repository's name, open `{_QUICKSTART}`, and"
    return f"{_BADGE}({_COLAB}) In Colab {told} {_FIRST.format('https://github.com/OWNER/NAME')}"


PAGES = {
    "metrics.md": metrics_page,
    "options.md": options_page,
    "../README.md": readme_page,
    f"../{_QUICKSTART}": quickstart,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with `--check` say which are out of date."""
    parser = argparse.ArgumentParser(description="Pages that follow from the library.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    check = parser.parse_args(arguments).check
    stale = [name for name, page in PAGES.items() if not _is_current(HERE / name, page())]
    for name in stale:
        if check:
            print(f"docs/{name} is out of date; run python docs/generate.py", file=sys.stderr)
        else:
            (HERE / name).write_text(PAGES[name](), encoding="utf-8")
    return 1 if check and stale else 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _option_row(spec: Field[Any]) -> str:
    return _row(f"`{spec.name}`", _value(spec.default), _escaped(spec.metadata["what"]), _bounds(spec))


def _bounds(spec: Field[Any]) -> str:
    facts = spec.metadata
    if facts["choices"]:
        return ", ".join(f"`{choice}`" for choice in facts["choices"])
    ends = (("≥", facts["low"]), ("≤", facts["high"]))
    return ", ".join(f"{sign} {_number(end)}" for sign, end in ends if math.isfinite(end))


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _preset_lines() -> list[str]:
    lines = [_PRESETS_LEAD.format(len(REASONS)), ""]
    lines += ["| option | `v5_final` | `recommended` | reason |", "|---|---|---|---|"]
    defaults = {spec.name: spec.default for kind in GROUPS.values() for spec in fields(kind)}
    for name, reason in REASONS.items():
        lines.append(_row(f"`{name}`", _value(defaults[name]), _value(PRESETS["recommended"][name]), reason))
    lines += ["", "`demo` sets:", "", "| option | value |", "|---|---|"]
    return lines + [_row(f"`{name}`", _value(value)) for name, value in PRESETS["demo"].items()]


def _value(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "empty"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`" if value != "" else "empty"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    sys.exit(main())
