"""What importing costs: every notebook, every command and every worker pays it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_NEEDLESS = {
    "rfc3987_syntax": "two seconds of grammar",
    "timm": "only timm backbones need it",
    "torchvision": "only timm needs it",
}


@pytest.mark.parametrize("module", ["moleflow_lib.reporting.notebook", "moleflow_lib.cli"])
def test_what_a_notebook_or_a_command_imports_leaves_out_what_it_does_not_need(module: str) -> None:
    code = f"import sys, {module}; import nbformat; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needless = _NEEDLESS.keys() & set(found.stdout.split())
    assert not needless, {name: _NEEDLESS[name] for name in needless}
