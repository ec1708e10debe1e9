"""pyproject, lock and environment.yml say the same; nothing private is in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]
EXTRAS = PROJECT["optional-dependencies"]
LOCKED = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["dev"], *EXTRAS["distributed"])]
# `make docs`, `export --onnx` and `make demo-real` alone need these
ASIDE = [*EXTRAS["docs"], *EXTRAS["onnx"], *EXTRAS["real"]]
DEPENDENCIES = [*LOCKED, *(Requirement(text) for text in ASIDE)]


@pytest.mark.parametrize("wanted", LOCKED, ids=lambda r: r.name)
def test_every_dependency_is_locked_within_its_bounds(wanted: Requirement) -> None:
    pins = [pin for pin in LOCK if pin.name.lower() == wanted.name.lower()]
    assert pins, f"{wanted.name} is not in requirements.lock"
    for pin in pins:
        version = next(iter(pin.specifier)).version
        assert str(pin.specifier).startswith("==") and wanted.specifier.contains(version), (
            f"{pin} against {wanted}"
        )


def test_every_pin_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    pins = [line for line in lines if re.match(r'\s+"[\w-]+(\[\w+\])?[=>]', line)]
    assert len(pins) == len(DEPENDENCIES) and all("#" in line for line in pins)
    lines = [
        line
        for line in (ROOT / "environment.yml").read_text().splitlines()
        if re.match(r"\s+- (python|pip>|-r|-e)", line)
    ]
    assert len(lines) == 4 and all("#" in line for line in lines)


def test_conda_gets_the_same_packages() -> None:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    nested = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    assert nested == ["-r requirements.lock", "-e ."]
    python = next(entry for entry in entries if isinstance(entry, str) and entry.startswith("python"))
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])


def test_lock_carries_names_and_versions_alone() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert (
        "http" not in text.replace("httpcore", "").replace("httpx", "").replace("aiohttp", "")
        and "index" not in text
    )


def test_the_licence_is_one_and_the_package_is_typed() -> None:
    assert PROJECT["license"] == "MIT" and (ROOT / "LICENSE").read_text().startswith("MIT License")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["license"], citation["version"]) == (PROJECT["license"], PROJECT["version"])
    assert (ROOT / "moleflow_lib" / "py.typed").is_file()


def test_the_workflow_tries_every_python_that_is_promised() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    tried = workflow["jobs"]["tests"]["strategy"]["matrix"]["python-version"]
    promised = SpecifierSet(PROJECT["requires-python"])
    assert tried == [f"3.{minor}" for minor in range(20) if promised.contains(f"3.{minor}")]


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "reports").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()) + re.findall(
            r'src="([^"]+)"', page.read_text()
        ):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_no_page_names_a_path_of_one_machine() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "reports").glob("*.md")]:
        found = re.findall(r"(?<![\w.])/(?:work|tmp|home|root)/\S*", page.read_text())
        assert found == [], f"{page.name}: {found}"


def test_no_outputs_pictures_or_machine_paths_are_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        assert path.suffix not in (".pt", ".pth", ".safetensors", ".pkl"), name
        assert path.suffix not in (".png", ".jpg") or name.startswith("reports/gallery/"), name
