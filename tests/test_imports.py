"""What importing costs: every notebook, every command and every worker pays it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_NEEDLESS = {"rfc3987_syntax", "timm", "torchvision"}  # a grammar; what timm backbones need


@pytest.mark.parametrize(
    ("modules", "needless"),
    [
        ("moleflow_lib.reporting.notebook, nbformat", _NEEDLESS),
        ("moleflow_lib.cli", {*_NEEDLESS, "torch", "plotly"}),
        ("data_prep.cli", {*_NEEDLESS, "torch", "plotly"}),
    ],
)
def test_a_notebook_or_a_command_imports_nothing_it_can_do_without(modules: str, needless: set[str]) -> None:
    code = f"import sys, {modules}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not needless & set(found.stdout.split())
