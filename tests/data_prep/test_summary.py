"""`summary`: the table, the contact sheet, and the page that holds both."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data_prep.cli import main
from data_prep.contact_sheet import contact_sheet, outlined
from moleflow_lib.datasets import Record, open_dataset
from tests import trees


def test_table_counts_what_is_there(tmp_path, capsys):
    trees.mvtec(tmp_path / "data", "bolt", "nut")
    trees.product(tmp_path / "data/cell", seed=9, masks=False)
    trees.picture(tmp_path / "data/part/train/good/a.png", 1)
    trees.picture(tmp_path / "data/part/test/b.png", 2)
    assert main(["summary", str(tmp_path / "data")]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert lines["bolt"][1:5] == ["3", "2", "4", "0"]
    assert lines["nut"][5:] == ["crack", "2,", "dent", "2", "pixel", "10x8", "0", "0", "not", "known"]
    assert "image" in lines["cell"] and lines["part"][1:6] == ["1", "0", "0", "1", "none"]


def test_published_counts_are_compared(tmp_path, capsys):
    trees.mvtec(tmp_path / "data", "bottle")
    assert main(["summary", str(tmp_path / "data")]) == 0
    assert "no: 209/20/63" in capsys.readouterr().out


@pytest.mark.parametrize("make", [trees.mvtec, trees.visa_raw, trees.visa_converted])
def test_sheet_as_picture_and_page(tmp_path, make):
    make(tmp_path / "data")
    page, png = tmp_path / "out/page.html", tmp_path / "out/sheet.png"
    assert main(["summary", str(tmp_path / "data"), "--html", str(page), "--png", str(png)]) == 0
    with Image.open(png) as sheet:
        assert sheet.mode == "RGB" and sheet.width > 1000
    text = page.read_text()
    assert "data:image/png;base64," in text and "://" not in text and "<script" not in text


def test_sheet_has_one_row_a_product(tmp_path):
    trees.mvtec(tmp_path / "one", "bolt")
    trees.mvtec(tmp_path / "two", "bolt", "nut")
    one, two = (contact_sheet(open_dataset(tmp_path / name)) for name in ("one", "two"))
    assert one.width == two.width and two.height > 1.8 * one.height


def test_outline_runs_around_the_mask(tmp_path):
    """A black image with a square mask: only the ring around the square is drawn."""
    Image.new("RGB", (60, 60)).save(tmp_path / "image.png")
    values = np.zeros((60, 60), dtype=np.uint8)
    values[20:40, 20:40] = 1
    Image.fromarray(values).save(tmp_path / "mask.png")
    record = Record(
        product="p", split="test", defect="d", image=tmp_path / "image.png", mask=tmp_path / "mask.png"
    )
    drawn = np.asarray(outlined(record, 60)).any(axis=-1)
    ring = np.zeros((60, 60), dtype=bool)
    ring[18:42, 18:42] = True
    ring[20:40, 20:40] = False
    assert (drawn == ring).all()


def test_a_single_marked_pixel_still_shows(tmp_path):
    Image.new("RGB", (600, 300)).save(tmp_path / "image.png")
    values = np.zeros((300, 600), dtype=np.uint8)
    values[100, 301] = 1
    Image.fromarray(values).save(tmp_path / "mask.png")
    record = Record(
        product="p", split="test", defect="d", image=tmp_path / "image.png", mask=tmp_path / "mask.png"
    )
    assert np.asarray(outlined(record, 60))[15:45].any()


def test_a_faulty_folder_is_not_summed_up(tmp_path, capsys):
    trees.mvtec(tmp_path / "data")
    (tmp_path / "data/bolt/ground_truth/crack/000_mask.png").unlink()
    assert main(["summary", str(tmp_path / "data")]) == 1
    assert "has no mask" in capsys.readouterr().err
