"""What a name is: any Unicode, equal where people see it equal, or refused before anything runs."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.check import examine
from data_prep.fault_table import as_json
from moleflow_lib.datasets import (
    UNLABELLED,
    Product,
    file_stem,
    make_tasks,
    open_dataset,
    task_order,
    unused_files,
    unused_line,
)
from moleflow_lib.datasets.folder_names import defect_of
from moleflow_lib.datasets.names import LONGEST_NAME, is_unicode, shown
from moleflow_lib.errors import DataError
from tests import trees

COMPOSED = unicodedata.normalize("NFC", "Größe")
APART = unicodedata.normalize("NFD", "Größe")


def refused(root: Path) -> str:
    """What opening says; check must say so too."""
    assert examine(root).errors
    with pytest.raises(DataError) as told:
        open_dataset(root)
    return str(told.value)


def bytes_name(path: Path, name: bytes) -> bytes:
    return os.fsencode(path) + b"/" + name


@pytest.mark.parametrize("place", ["train/good", "test/good", "test/unlabelled", "test/crack"])
def test_image_names_that_are_no_text_are_refused_and_shown_escaped(tmp_path, place):
    folder = trees.product(tmp_path / "bolt")
    source = trees.picture(folder / place / "new.png", 77)
    os.rename(os.fsencode(source), bytes_name(source.parent, b"pr\xfcf.png"))
    if place == "test/crack":
        mask = trees.mask(folder / "ground_truth/crack/new_mask.png")
        os.rename(os.fsencode(mask), bytes_name(mask.parent, b"pr\xfcf_mask.png"))
    text = refused(tmp_path)
    assert f"bolt: {place}/pr\\xfcf.png has a name that is no UTF-8 text" in text
    assert is_unicode(text), "can be printed and stored"


@pytest.mark.parametrize("deeper", ["", "test"])
def test_folder_names_that_are_no_text_are_refused(tmp_path, deeper):
    trees.product(tmp_path / "bolt")
    trees.product(tmp_path / "nut", seed=3, masks=False)
    source = tmp_path / "nut" / deeper / ("crack" if deeper else "")
    os.rename(os.fsencode(source), bytes_name(source.parent, b"Schl\xfcssel"))
    text = refused(tmp_path)
    as_json(examine(tmp_path)).encode("utf-8")
    assert "Schl\\xfcssel" in text and "no UTF-8 text" in text and is_unicode(text)


def test_a_stray_name_that_is_no_text_is_a_note(tmp_path):
    folder = trees.product(tmp_path / "bolt") / "train/good"
    with open(bytes_name(folder, b"\xb2\xe2.txt"), "w"):
        pass
    (note,) = examine(tmp_path).faults
    assert note.file == "train/good/\\xb2\\xe2.txt" and open_dataset(tmp_path)


def test_a_root_that_is_no_text_is_refused(tmp_path):
    trees.mvtec(tmp_path / "data")
    os.rename(os.fsencode(tmp_path / "data"), bytes_name(tmp_path, b"dat\xe9"))
    with pytest.raises(DataError, match="UTF-8") as told:
        open_dataset(Path(os.fsdecode(bytes_name(tmp_path, b"dat\xe9"))))
    assert is_unicode(str(told.value))


@pytest.mark.parametrize("on_disk", [COMPOSED, APART])
@pytest.mark.parametrize("asked", [COMPOSED, APART])
def test_names_that_look_alike_are_the_same_product(tmp_path, on_disk, asked):
    trees.product(tmp_path / on_disk)
    trees.product(tmp_path / "nut", seed=3)
    products = open_dataset(tmp_path, [asked, "nut"])
    assert [product.name for product in products] == [COMPOSED, "nut"]
    assert [task.name for task in make_tasks(products, [f"nut+{asked}"])] == [f"nut+{COMPOSED}"]
    assert task_order([asked]) == (COMPOSED,)
    with pytest.raises(DataError, match="asked for 2 times"):
        open_dataset(tmp_path, [COMPOSED, APART])


def test_two_folders_that_look_alike_are_refused(tmp_path):
    trees.product(tmp_path / COMPOSED)
    try:
        trees.product(tmp_path / APART, seed=2)
    except FileExistsError:
        pytest.skip("this file system takes the two names for one")
    assert "2 folders that differ in how accents are composed" in refused(tmp_path)


def test_images_masks_and_defects_pair_by_what_people_see(tmp_path):
    for index in range(2):
        trees.picture(tmp_path / f"bolt/train/good/{index}.png", index)
    trees.picture(tmp_path / f"bolt/test/{APART}/{COMPOSED}.png", 9)
    mask = trees.mask(tmp_path / f"bolt/ground_truth/{COMPOSED}/{APART}_mask.png")
    (bolt,) = open_dataset(tmp_path)
    assert [(record.defect, record.mask) for record in bolt.test] == [(COMPOSED, mask)]


def test_raw_visa_finds_names_as_the_disk_spells_them(tmp_path):
    root = trees.visa_raw(tmp_path, COMPOSED)
    (root / COMPOSED).rename(root / APART)
    (only,) = open_dataset(root, [APART])
    assert only.name == COMPOSED and len(only.train) == 3 and all(r.product == COMPOSED for r in only.test)
    assert examine(root).errors == ()


@pytest.mark.parametrize(
    "name", ["螺丝 5%", "none", "nan", "true", "2024-01-01", "1e5", "__init__", "a`b`", "<b>"]
)
def test_odd_names_are_names(tmp_path, name):
    trees.product(tmp_path / name)
    (only,) = open_dataset(tmp_path, [name])
    assert only.name == name and not examine(tmp_path).errors


@pytest.mark.parametrize("name", ["nut ", " nut", "n\nut", "n\x1b[31mut", "x" * 200, "螺" * 80])
def test_names_that_cannot_be_carried_on_are_refused(tmp_path, name):
    trees.product(tmp_path / name)
    text = refused(tmp_path)
    assert "rename the folder" in text and "\x1b" not in text and text.count("\n") == 1


def test_the_longest_allowed_name_is_read(tmp_path):
    trees.product(tmp_path / ("y" * LONGEST_NAME))
    assert open_dataset(tmp_path)


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0")), min_size=1))
def test_file_stems_fit_and_differ(names):
    joined = "+".join(names)
    stem = file_stem(joined)
    assert len(stem.encode()) <= 120 and is_unicode(stem)
    assert (stem == joined) == (len(joined.encode()) <= 120)
    assert file_stem(joined + "x") != stem or joined + "x" == stem


def test_shown_leaves_text_alone():
    assert shown("Größe 螺丝 <b>") == "Größe 螺丝 <b>" and shown("a\tb\x1b") == "a\\x09b\\x1b"


SPELLINGS = [
    "unlabelled",
    "unlabeled",
    "Unlabelled",
    "UNLABELED",
    "unlabelled_images",
    "Unlabeled Images",
    "un-labeled",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("masks", [True, False])
def test_spellings_of_not_labelled_are_read_as_such(tmp_path, name, masks):
    trees.product(tmp_path / "bolt", masks=masks)
    trees.picture(tmp_path / f"bolt/test/{name}/new.png", 50)
    (bolt,) = open_dataset(tmp_path)
    (new,) = [record for record in bolt.test if record.image.name == "new.png"]
    assert (new.defect, new.label, new.mask) == (UNLABELLED, None, None)
    assert not examine(tmp_path).errors


@pytest.mark.parametrize(
    "name", ["no_label", "No-Labels", "not_labelled", "unlabled", "new_unlabelled", "unknown"]
)
def test_names_that_may_mean_not_labelled_are_refused(tmp_path, name):
    trees.product(tmp_path / "bolt", masks=False)
    trees.picture(tmp_path / f"bolt/test/{name}/new.png", 50)
    assert f"test/{name} would be read as a defect" in refused(tmp_path)
    assert defect_of(name) is None


def test_two_spellings_at_once_are_refused(tmp_path):
    trees.product(tmp_path / "bolt")
    for index, name in enumerate(("unlabelled", "unlabeled")):
        trees.picture(tmp_path / f"bolt/test/{name}/new.png", 50 + index)
    assert "means the same as test/unlabeled" in refused(tmp_path)


@pytest.mark.parametrize("name", ["label_missing", "wrong_label", "crack", "Kratzer"])
def test_defects_stay_defects(name):
    assert defect_of(name) == name


@pytest.mark.parametrize("folder", ["Test", "GROUND_TRUTH", "ground truth"])
def test_folders_that_differ_by_case_are_not_left_out(tmp_path, folder):
    trees.product(tmp_path / "bolt")
    meant = folder.lower().replace(" ", "_")
    (tmp_path / "bolt" / meant).rename(tmp_path / "bolt" / folder)
    assert f"rename it to {meant}" in refused(tmp_path)


def test_a_product_in_capital_folders_is_told(tmp_path):
    trees.product(tmp_path / "bolt")
    (tmp_path / "bolt/train").rename(tmp_path / "bolt/Train")
    with pytest.raises(DataError, match="bolt/Train: rename its folders"):
        open_dataset(tmp_path)


def test_what_is_not_used_is_counted(tmp_path):
    folder = trees.product(tmp_path / "bolt")
    for name in ("test/good/a.HEIC", "test/unlabelled/b.heic", "test/good/clip.gif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"something")
    trees.picture(folder / "test/good/more/deeper/1.png", 8)
    trees.picture(folder / "loose.png", 8)
    (folder / "readme.txt").touch()
    (folder / "test/good/.DS_Store").touch()
    trees.picture(tmp_path / "beside/photo.png", 4)
    (bolt,) = open_dataset(tmp_path)
    assert isinstance(bolt, Product) and len(bolt.unused) == 7
    line = unused_line(bolt.unused)
    assert line.startswith("5 images not used: 3 in a format that is not read (.gif, .heic)")
    assert "1 in folders inside folders, 1 where none belongs; 2 other files ignored" in line
    assert len(unused_files(tmp_path)) == 8 and len(unused_files(tmp_path, ["bolt"])) == 8
    notes = {fault.file: fault.what for fault in examine(tmp_path).notes}
    assert "not read (.heic)" in notes["test/good/a.HEIC"] and "1 image" in notes["test/good/more"]


def test_a_product_that_is_used_whole_has_nothing_to_tell(tmp_path):
    trees.mvtec(tmp_path)
    assert unused_files(tmp_path) == () and unused_line(()) == ""
    for part in ("test", "ground_truth"):
        shutil.rmtree(tmp_path / "nut" / part)
    assert all(product.unused == () for product in open_dataset(tmp_path))
