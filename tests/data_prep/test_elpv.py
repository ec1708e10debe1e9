"""`get elpv`: solar cells from an installed package, here one that the test makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import elpv
from data_prep.cli import main
from data_prep.elpv import arranged, read_cells
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import DataError

JUDGED = [("mono", p) for p in (0.0,) * 10 + (1.0,) * 4 + (0.3333333333333333,) * 2] + [
    ("poly", p) for p in (0.0,) * 5 + (1.0,) * 3 + (0.6666666666666666,)
]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of 25 cells in the form of `elpv-dataset`, importable by its name."""
    folder = tmp_path / "site" / "elpv_dataset"
    (folder / "data" / "images").mkdir(parents=True)
    (folder / "__init__.py").touch()
    lines = []
    for number, (kind, probability) in enumerate(JUDGED, start=1):
        name = f"images/cell{number:04d}.png"
        Image.fromarray(np.full((32, 32), number, dtype=np.uint8)).save(folder / "data" / name)
        lines.append(f"{name}  {probability}  {kind}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def get(into: Path, *more: str) -> int:
    return main(["get", "elpv", "--into", str(into), "--accept-licence", *more])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_products_that_open_with_every_sure_cell_once(package: Path, tmp_path: Path, capsys) -> None:
    into = tmp_path / "data"
    assert get(into) == 0
    products = open_dataset(into)
    assert [product.name for product in products] == ["solar_mono", "solar_poly"]
    assert [len(product.train) for product in products] == [8, 4]
    assert [[r.label for r in product.test] for product in products] == [[1] * 4 + [0] * 2, [1] * 3 + [0]]
    sure = [f"cell{n:04d}.png" for n, (_, p) in enumerate(JUDGED, start=1) if p in (0, 1)]
    assert sorted(path.name for path in into.rglob("*.png")) == sure
    said = capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in said and "left out: cells that people were unsure of" in said
    assert json.loads((into / "dataset.json").read_text())["left_out"] == 3


def test_the_split_depends_on_names_alone(package: Path) -> None:
    cells = read_cells(package)
    whole, backwards = arranged(cells, {}), arranged(cells[::-1], {})
    assert whole == backwards
    few = arranged(cells, {"train/good": 3, "test/defective": 2})
    assert few["solar_mono"]["train/good"] == whole["solar_mono"]["train/good"][:3]
    assert few["solar_mono"]["test/good"] == whole["solar_mono"]["test/good"]
    assert len(few["solar_poly"]["test/defective"]) == 2


def test_limits_are_kept_and_the_same_command_again_changes_nothing(package: Path, tmp_path: Path) -> None:
    into, limits = tmp_path / "data", ("--train", "3", "--test-good", "1", "--test-defect", "2")
    assert get(into, *limits) == 0
    made = {path: path.stat().st_mtime_ns for path in into.rglob("*.png")}
    assert len(made) == 12 and get(into, *limits) == 0
    assert {path: path.stat().st_mtime_ns for path in into.rglob("*.png")} == made
    assert get(into) == 1 and len(list(into.rglob("*.png"))) == 12, "other numbers want another folder"


def test_a_killed_copy_leaves_no_dataset(package: Path, tmp_path: Path, monkeypatch) -> None:
    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(elpv.shutil, "copyfile", killed)
    assert get(tmp_path / "data") == 1
    assert names(tmp_path) == {"site"}


def test_a_folder_that_holds_something_else_is_left_alone(package: Path, tmp_path: Path, capsys) -> None:
    into = tmp_path / "data"
    into.mkdir()
    (into / "notes.txt").write_text("mine")
    assert get(into) == 1 and names(into) == {"notes.txt"}
    assert "give another --into" in capsys.readouterr().err


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(elpv, "MODULE", "no_such_package_of_cells")
    assert get(tmp_path / "data") == 1
    assert "moleflow-notebooks[real]" in capsys.readouterr().err and not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("images/cell0001.png 1.0", "path, probability and kind"),
        ("images/cell0001.png often mono", "could not convert"),
        ("images/cell0001.png 1.5 mono", "found 1.5 and mono"),
        ("images/cell0001.png nan mono", "found nan and mono"),
        ("images/cell0001.png 1.0 thin", "found 1.0 and thin"),
        ("images/cell9999.png 1.0 mono", "no image images/cell9999.png"),
        ("../__init__.py 1.0 mono", "no image ../__init__.py"),
    ],
)
def test_damaged_labels_are_told_with_their_lines(package: Path, line: str, told: str) -> None:
    table = package / "data" / "labels.csv"
    table.write_text(f"{table.read_text()}\n{line}\n{line}\n")
    with pytest.raises(DataError, match=r"line 27: .*line 28: .*reinstall") as caught:
        read_cells(package)
    assert told in str(caught.value)


def test_a_product_without_normal_cells_is_refused(package: Path) -> None:
    cells = [cell for cell in read_cells(package) if (cell.kind, cell.probability) != ("poly", 0)]
    with pytest.raises(DataError, match="solar_poly: expected images for train/good, test/good"):
        arranged(cells, {})


@pytest.mark.parametrize("more", [("mvtec", "--train", "5"), ("elpv", "--archive", "x.zip")])
def test_options_of_other_datasets_are_misuse(tmp_path: Path, more: tuple[str, ...]) -> None:
    name, *rest = more
    assert main(["get", name, "--into", str(tmp_path / "data"), "--accept-licence", *rest]) == 2
    assert not (tmp_path / "data").exists()


def test_the_licence_must_be_accepted(package: Path, tmp_path: Path) -> None:
    assert main(["get", "elpv", "--into", str(tmp_path / "data")]) == 2 and not (tmp_path / "data").exists()
