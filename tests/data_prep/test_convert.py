"""Raw VisA in MVTec's layout says the same as raw VisA read directly."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from data_prep.cli import main
from moleflow_lib.datasets import load_image, load_mask, open_dataset
from tests import trees


def content(root):
    return {
        (r.product, r.split, r.defect, r.image.name): (
            load_image(r.image, 8).tobytes(),
            load_mask(r.mask, 8).tobytes() if r.mask else b"",
        )
        for product in open_dataset(root)
        for r in (*product.train, *product.test)
    }


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_converted_says_what_raw_says(tmp_path, mode, capsys):
    raw = trees.visa_raw(tmp_path / "raw")
    assert main(["convert", "visa", str(raw), "--into", str(tmp_path / "out"), "--mode", mode]) == 0
    assert "14 images" in capsys.readouterr().out
    assert content(tmp_path / "out") == content(raw)
    assert main(["check", str(tmp_path / "out")]) == 0
    linked = (tmp_path / "out/candle/train/good/0000.JPG").is_symlink()
    assert linked == (mode == "link")
    if mode == "copy":
        shutil.rmtree(raw)
        assert np.any([load_mask(r.mask, 8) for r in open_dataset(tmp_path / "out")[0].test if r.mask])


def test_links_hold_when_both_folders_move(tmp_path):
    raw = trees.visa_raw(tmp_path / "a/raw")
    main(["convert", "visa", str(raw), "--into", str(tmp_path / "a/out")])
    (tmp_path / "a").rename(tmp_path / "b")
    assert content(tmp_path / "b/out") == content(tmp_path / "b/raw")


def test_links_that_lead_nowhere_are_told(tmp_path, capsys):
    raw = trees.visa_raw(tmp_path / "raw")
    main(["convert", "visa", str(raw), "--into", str(tmp_path / "out")])
    shutil.rmtree(raw / "candle")
    assert main(["check", str(tmp_path / "out")]) == 1
    assert "is a link to a file that is not" in capsys.readouterr().out


def test_converted_needs_no_conversion(tmp_path, capsys):
    trees.visa_converted(tmp_path / "done")
    assert main(["convert", "visa", str(tmp_path / "done"), "--into", str(tmp_path / "out")]) == 1
    assert "needs no conversion" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_faulty_raw_visa_is_not_converted(tmp_path, capsys):
    raw = trees.visa_raw(tmp_path / "raw")
    (raw / "candle/Data/Masks/Anomaly/000.png").unlink()
    assert main(["convert", "visa", str(raw), "--into", str(tmp_path / "out")]) == 1
    assert "is not there" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_a_taken_folder_is_left_alone(tmp_path, capsys):
    raw = trees.visa_raw(tmp_path / "raw")
    trees.picture(tmp_path / "out/mine.png", 0)
    assert main(["convert", "visa", str(raw), "--into", str(tmp_path / "out")]) == 1
    assert "is taken" in capsys.readouterr().err and (tmp_path / "out/mine.png").exists()
