"""A product's folder copied under another name is told."""

from __future__ import annotations

import shutil
from pathlib import Path

from moleflow_lib.datasets import open_dataset, shared_line
from tests import trees


def test_a_copied_product_is_told_and_other_products_are_not_read(tmp_path: Path) -> None:
    trees.mvtec(tmp_path, "bolt", "nut")
    assert shared_line(open_dataset(tmp_path)) == ""
    shutil.copytree(tmp_path / "nut", tmp_path / "screw")
    (tmp_path / "screw/train/good/000.png").unlink()
    shutil.copy(tmp_path / "bolt/train/good/000.png", tmp_path / "screw/train/good/b.png")
    told = shared_line(open_dataset(tmp_path))
    assert "1 of 3 training images of screw are also those of bolt; " in told
    assert "2 of 3 training images of screw are also those of nut: nothing if that is meant" in told


def test_copies_within_one_product_are_no_matter_of_two(tmp_path: Path) -> None:
    trees.mvtec(tmp_path, "bolt")
    shutil.copy(tmp_path / "bolt/train/good/000.png", tmp_path / "bolt/train/good/b.png")
    assert shared_line(open_dataset(tmp_path)) == ""
