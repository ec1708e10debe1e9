"""Datasets in every layout, task orders, and the geometry of images and masks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from moleflow_lib.datasets import (
    Product,
    Record,
    cut_defects,
    load_image,
    load_mask,
    make_tasks,
    open_dataset,
    task_order,
)
from moleflow_lib.datasets.images import read_mask
from moleflow_lib.errors import ConfigError, DataError
from tests import trees

REAL = Path(os.environ.get("MOLEFLOW_REAL_DATA") or "set MOLEFLOW_REAL_DATA to a folder of real products")


def pairs(products: tuple[Product, ...]) -> set[tuple[str, str, str, str, str]]:
    return {
        (r.product, r.split, r.defect, r.image.name, r.mask.name if r.mask else "")
        for product in products
        for r in (*product.train, *product.test)
    }


def test_mvtec_layout_pairs_by_name(tmp_path):
    products = open_dataset(trees.mvtec(tmp_path))
    assert [product.name for product in products] == ["bolt", "nut"]
    bolt = products[0]
    assert len(bolt.train) == 3 and len(bolt.test) == 6 and bolt.has_masks
    for record in bolt.test:
        expected = f"{record.image.stem}_mask.png" if record.label else None
        assert (record.mask.name if record.mask else None) == expected
        assert record.label == (record.defect != "good")


def test_pairing_survives_a_missing_image_in_the_middle(tmp_path):
    """Sorted order would give 001 the mask of 000."""
    folder = trees.product(tmp_path / "bolt")
    (folder / "test/crack/000.png").unlink()
    (folder / "ground_truth/crack/000_mask.png").unlink()
    (cracked,) = [r for r in open_dataset(tmp_path)[0].test if r.defect == "crack"]
    assert (cracked.image.name, cracked.mask.name) == ("001.png", "001_mask.png")


@pytest.mark.parametrize("under", ["", "1cls"])
def test_converted_visa_in_both_places(tmp_path, under):
    trees.visa_converted(tmp_path / under)
    products = open_dataset(tmp_path)
    assert [product.name for product in products] == ["candle", "pcb1"]
    bad = [record for record in products[0].test if record.label]
    assert [(r.defect, r.image.name, r.mask.name) for r in bad] == [
        ("bad", f"00{i}.JPG", f"00{i}.png") for i in (0, 1)
    ]
    assert load_mask(bad[0].mask, 20).any(), "class indices count as defect"


def test_raw_visa_follows_its_split_file(tmp_path):
    products = open_dataset(trees.visa_raw(tmp_path))
    assert [(p.name, len(p.train), len(p.test), p.has_masks) for p in products] == [
        ("candle", 3, 4, True),
        ("pcb1", 3, 4, True),
    ]
    assert all(r.mask.stem == r.image.stem for r in products[1].test if r.label)


def test_one_product_folder_is_a_dataset_of_one(tmp_path):
    (only,) = open_dataset(trees.product(tmp_path / "gear"))
    assert only.name == "gear" and len(only.test) == 6


def test_image_level_product_has_labels_and_no_masks(tmp_path):
    trees.product(tmp_path / "cell", masks=False)
    (cell,) = open_dataset(tmp_path)
    assert not cell.has_masks and {r.label for r in cell.test} == {0, 1}


@pytest.mark.parametrize("place", ["test/{}.png", "test/unlabelled/{}.png"])
def test_unlabelled_images_claim_nothing(tmp_path, place):
    for index in range(2):
        trees.picture(tmp_path / "part/train/good" / f"{index}.png", index)
        trees.picture(tmp_path / "part" / place.format(index), 10 + index)
    (part,) = open_dataset(tmp_path)
    assert [(r.defect, r.label, r.mask) for r in part.test] == [("unlabelled", None, None)] * 2
    assert not part.has_masks


def test_train_alone_is_enough(tmp_path):
    trees.picture(tmp_path / "part/train/good/a.png", 1)
    (part,) = open_dataset(tmp_path)
    assert len(part.train) == 1 and part.test == ()


def test_classes_choose_and_order(tmp_path):
    trees.mvtec(tmp_path, "bolt", "nut", "washer")
    assert [p.name for p in open_dataset(tmp_path, ["washer", "bolt"])] == ["washer", "bolt"]
    assert [p.name for p in open_dataset(tmp_path, ["washer+nut", "bolt"])] == ["washer", "nut", "bolt"]
    with pytest.raises(DataError) as told:
        open_dataset(tmp_path, ["screw", "bolt", "bolt", "pin"])
    assert all(
        word in str(told.value)
        for word in ("screw", "pin", "bolt: is asked for 2 times", "bolt, nut, washer")
    )


def test_all_problems_come_in_one_message(tmp_path):
    trees.mvtec(tmp_path)
    (tmp_path / "bolt/ground_truth/crack/000_mask.png").unlink()
    trees.mask(tmp_path / "nut/ground_truth/dent/001_mask.png", size=(5, 5))
    (tmp_path / "nut/train/good/000.png").write_bytes(b"no image")
    with pytest.raises(DataError) as told:
        open_dataset(tmp_path)
    text = str(told.value)
    assert text.startswith("3 problems")
    for part in (
        "bolt: test/crack/000.png has no mask",
        "5x5, its image is 10x8",
        "nut: train/good/000.png is not a",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: None, "found none"),
        (lambda root: root.mkdir(), "no folder at all"),
        (lambda root: trees.mvtec(root / "MPDD"), "one folder deeper"),
        (lambda root: trees.picture(root / "candle/Data/Images/Normal/0.JPG", 0), "no split file"),
        (lambda root: trees.picture(root / "photos/a.png", 0), "found photos"),
    ],
)
def test_no_dataset_says_what_was_found(tmp_path, make, told):
    make(tmp_path / "data")
    with pytest.raises(DataError, match=told):
        open_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["candle", "train", "normal", "../secret.png", ""], "not below the dataset"),
        (["candle", "train", "normal", "/etc/secret.png", ""], "not below the dataset"),
        (["candle", "train", "normal", "candle/Data/Images/Normal/9999.JPG", ""], "is not there"),
        (["candle", "train", "anomaly", "candle/Data/Images/Anomaly/000.JPG", ""], "in the training split"),
        (["candle", "val", "normal", "candle/Data/Images/Normal/0000.JPG", ""], "has split 'val'"),
        (["candle", "test", "normal", "candle/Data/Images/Normal/0000.JPG", ""], "more than once"),
        (["candle", "test", "anomaly", "candle/Data/Images/Anomaly/001.JPG", ""], "has no mask"),
        (
            [
                "candle",
                "test",
                "anomaly",
                "candle/Data/Images/Anomaly/001.JPG",
                "candle/Data/Masks/Anomaly/000.png",
            ],
            "of another name",
        ),
    ],
)
def test_a_wrong_row_of_the_split_file_is_told(tmp_path, row, told):
    trees.visa_raw(tmp_path)
    trees.write_split(tmp_path, [*trees.read_split(tmp_path), row])
    with pytest.raises(DataError, match=told):
        open_dataset(tmp_path)


@pytest.mark.parametrize("text", ["", "object,split\ncandle,train\n", "object,split,label,image,mask\n"])
def test_a_broken_split_file_is_told(tmp_path, text):
    trees.visa_raw(tmp_path)
    (tmp_path / "split_csv/1cls.csv").write_text(text)
    with pytest.raises(DataError, match=r"1cls\.csv"):
        open_dataset(tmp_path)


def test_task_orders_from_lists_and_files(tmp_path):
    order = tmp_path / "order.txt"
    order.write_text("# two tasks\nbolt, nut\n\nwasher + pin  # late\n")
    assert task_order(order) == task_order([["bolt", "nut"], "washer+pin"]) == ("bolt+nut", "washer+pin")
    for bad in ([], [""], ["a+"], [[]]):
        with pytest.raises(DataError):
            task_order(bad)
    with pytest.raises(DataError, match="one task a line"):
        task_order(tmp_path / "absent.txt")


def test_tasks_of_several_products(tmp_path):
    products = open_dataset(trees.mvtec(tmp_path, "bolt", "nut", "pin"))
    assert [task.name for task in make_tasks(products)] == ["bolt", "nut", "pin"]
    first, second = make_tasks(products, ["pin+bolt", "nut"])
    assert [p.name for p in first.products] == ["pin", "bolt"] and (first.index, second.index) == (0, 1)
    assert len(first.train) == 6 and len(first.test) == 12
    with pytest.raises(DataError, match="screw") as told:
        make_tasks(products, ["screw", "nut", ["bolt", "nut"]])
    assert "nut: named 2 times" in str(told.value)


def _striped(path: Path, width: int, height: int) -> Path:
    """Red grows to the right, green grows downwards."""
    values = np.zeros((height, width, 3), dtype=np.uint8)
    values[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    values[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    Image.fromarray(values).save(path)
    return path


def test_geometry_of_the_three_policies(tmp_path):
    wide = _striped(tmp_path / "wide.png", 64, 32)
    resized, cropped, padded = (
        load_image(wide, 32, policy).astype(int) for policy in ("resize", "crop", "pad")
    )
    assert resized.shape == cropped.shape == padded.shape == (32, 32, 3)
    assert resized[0, 0, 0] < 8 and resized[0, -1, 0] > 247
    assert 60 < cropped[0, 0, 0] < 68 and 187 < cropped[0, -1, 0] < 195, "the middle half of the width"
    assert cropped[0, 0, 1] < 2 and cropped[-1, 0, 1] > 253, "the whole height"
    assert (padded[:8] == padded[8]).all() and (padded[24:] == padded[23]).all(), (
        "edge colour above and below"
    )
    assert padded[8, 0, 0] < 10 and padded[8, -1, 0] > 245, "the whole width"


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(12, 90),
    height=st.integers(12, 90),
    size=st.integers(16, 64),
    policy=st.sampled_from(["resize", "crop", "pad"]),
    spot=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
)
def test_mask_lies_on_its_defect(tmp_path_factory, width, height, size, policy, spot):
    """White where the mask is, black elsewhere: both must land on the same pixels."""
    folder = tmp_path_factory.mktemp("pair")
    values = np.zeros((height, width), dtype=np.uint8)
    top, left = int(spot[0] * height), int(spot[1] * width)
    values[top : top + max(3, height // 4), left : left + max(3, width // 4)] = 255
    Image.fromarray(values).save(folder / "both.png")
    image = load_image(folder / "both.png", size, policy, "nearest")[..., 0] > 127
    found = load_mask(folder / "both.png", size, policy)
    inside = np.s_[:, :] if policy != "pad" else _content(width, height, size)
    assert found.shape == (size, size) and found.dtype == bool
    assert (image[inside] == found[inside]).all()


def _content(width: int, height: int, size: int) -> tuple[slice, slice]:
    scale = size / max(width, height)
    inner = [max(1, round(side * scale)) for side in (height, width)]
    return tuple(slice((size - side) // 2, (size - side) // 2 + side) for side in inner)


def test_padding_of_a_mask_is_normal(tmp_path):
    Image.fromarray(np.full((10, 30), 255, dtype=np.uint8)).save(tmp_path / "full.png")
    padded = load_mask(tmp_path / "full.png", 30, "pad")
    assert padded[10:20].all() and not padded[:10].any() and not padded[20:].any()


def _defect(folder: Path, rows: slice, columns: slice, shape=(20, 60)) -> Record:
    values = np.zeros(shape, dtype=np.uint8)
    values[rows, columns] = 7
    path = folder / f"{rows.start}_{columns.start}.png"
    Image.fromarray(values).save(path)
    return Record(product="p", split="test", defect="spot", image=path, mask=path)


def test_cropped_defects_are_counted(tmp_path):
    kept = _defect(tmp_path, slice(5, 9), slice(28, 32))
    half = _defect(tmp_path, slice(0, 4), slice(18, 22))
    away = _defect(tmp_path, slice(1, 5), slice(0, 6))
    cuts = {cut.record.image: cut for cut in cut_defects([kept, half, away], 20, "crop")}
    assert set(cuts) == {half.image, away.image}
    assert cuts[half.image].lost == pytest.approx(0.5) and not cuts[half.image].gone
    assert cuts[away.image].lost == 1 and cuts[away.image].gone
    assert cut_defects([kept, half, away], 20, "pad") == cut_defects([kept, half, away], 60, "resize") == ()


def test_defects_that_shrink_to_nothing_are_counted(tmp_path):
    speck = _defect(tmp_path, slice(3, 4), slice(3, 4), shape=(400, 400))
    (cut,) = cut_defects([speck], 20, "resize")
    assert cut.lost == 0 and cut.gone


def test_masks_are_read_by_value_whatever_their_mode(tmp_path):
    truth = np.zeros((6, 5), dtype=np.uint8)
    truth[2:4, 1:3] = 1
    grey = Image.fromarray(truth)
    palette = grey.copy()
    palette.putpalette([0, 0, 0, 9, 0, 0])  # index 1 is nearly black; the index counts
    opaque = Image.new("L", grey.size, 255)
    modes = {
        "grey": grey,
        "palette": palette,
        "one": Image.fromarray(truth * 255).convert("1"),
        "rgb": Image.merge("RGB", [grey.point(lambda v: 0), grey, grey]),
        "la": Image.merge("LA", [grey, opaque]),
        "rgba": Image.merge("RGBA", [grey, grey, grey, opaque]),
        "deep": Image.fromarray(truth.astype(np.uint16)),
    }
    for name, image in modes.items():
        image.save(tmp_path / f"{name}.png")
        assert (read_mask(tmp_path / f"{name}.png") == (truth > 0)).all(), name


def test_grey_and_palette_images_keep_their_colours(tmp_path):
    Image.new("L", (4, 4), 90).save(tmp_path / "grey.png")
    assert (load_image(tmp_path / "grey.png", 4) == 90).all()
    Image.new("RGB", (4, 4), (10, 200, 30)).quantize().save(tmp_path / "palette.png")
    assert (load_image(tmp_path / "palette.png", 4) == [10, 200, 30]).all()


def test_images_that_would_be_read_wrongly_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (4, 4), (255, 0, 0, 10)).save(tmp_path / "clear.png")
    whole = trees.picture(tmp_path / "whole.png", 0, (64, 64)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").touch()
    for name, told in {
        "deep": "8 bits",
        "clear": "transparent",
        "cut": "cut off",
        "empty": "empty file",
    }.items():
        with pytest.raises(DataError, match=told):
            load_image(tmp_path / f"{name}.png", 8)


def test_unknown_policies_are_refused(tmp_path):
    path = trees.picture(tmp_path / "a.png", 0)
    with pytest.raises(ConfigError, match="resize, crop, pad"):
        load_image(path, 8, "stretch")
    with pytest.raises(ConfigError, match="resize, crop, pad"):
        load_mask(path, 8, "stretch")
    with pytest.raises(ConfigError, match="bilinear"):
        load_image(path, 8, "resize", "cubic")


@pytest.mark.skipif(
    not REAL.is_dir(), reason=f"no real images at {REAL}; MOLEFLOW_REAL_DATA names another folder"
)
def test_every_real_image_loads_with_its_own_mask():
    for product in open_dataset(REAL):
        for record in (*product.train, *product.test):
            assert load_image(record.image, 32).shape == (32, 32, 3)
            if record.label and product.has_masks:
                assert record.mask.stem in (record.image.stem, f"{record.image.stem}_mask")
                assert record.mask.parent.name == record.image.parent.name == record.defect
                with Image.open(record.image) as image:
                    mask = read_mask(record.mask)
                    assert mask.shape == image.size[::-1] and mask.any()
            else:
                assert record.mask is None
