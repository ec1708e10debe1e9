"""The drawn demo dataset: layout, determinism, exact masks, and a drawing that survives interruption."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep import draw
from data_prep.draw import MANIFEST, draw_demo
from data_prep.drawing.picture import picture, spoilt_picture
from data_prep.drawing.products import PRODUCTS
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import ConfigError, DataError

TINY = {"train": 2, "test_good": 1, "test_defect": 5, "size": 64}
DEFECTS = [(name, defect) for name, product in PRODUCTS.items() for defect in product.defects]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny demo dataset; tests only read it."""
    return draw_demo(tmp_path_factory.mktemp("drawn") / "demo", **TINY)


def contents(root: Path) -> dict[str, bytes]:
    """All files below a folder, by relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def pixels(path: Path) -> np.ndarray:
    """The pixels of one file."""
    with Image.open(path) as image:
        return np.asarray(image)


def test_layout(demo: Path) -> None:
    expected = {MANIFEST}
    for name, product in PRODUCTS.items():
        expected |= {f"{name}/train/good/000.png", f"{name}/train/good/001.png", f"{name}/test/good/000.png"}
        for place, defect in enumerate(product.defects):
            for k in range(2 if place == 0 else 1):
                expected |= {
                    f"{name}/test/{defect}/{k:03d}.png",
                    f"{name}/ground_truth/{defect}/{k:03d}_mask.png",
                }
    assert set(contents(demo)) == expected
    assert [path.name for path in demo.parent.iterdir()] == ["demo"]


def test_every_product_has_three_or_four_defect_types() -> None:
    assert sorted(PRODUCTS) == ["board", "grid", "leather", "nut"]
    assert all(3 <= len(product.defects) <= 4 for product in PRODUCTS.values())


def test_the_library_opens_it(demo: Path) -> None:
    products = open_dataset(demo)
    assert [product.name for product in products] == sorted(PRODUCTS)
    for product in products:
        assert product.has_masks
        assert (len(product.train), len(product.test)) == (2, 6)
        assert all((record.mask is not None) == (record.label == 1) for record in product.test)


def test_pictures_are_rgb_and_masks_are_black_and_white(demo: Path) -> None:
    for path in demo.rglob("*.png"):
        with Image.open(path) as image:
            is_mask = "ground_truth" in path.parts
            assert (image.format, image.mode, image.size) == ("PNG", "L" if is_mask else "RGB", (64, 64))
            if is_mask:
                assert set(np.unique(np.asarray(image))) == {0, 255}


def test_no_two_pictures_are_alike(demo: Path) -> None:
    images = [
        data for name, data in contents(demo).items() if name.endswith(".png") and "ground_truth" not in name
    ]
    assert len(set(images)) == len(images)


def test_same_seed_same_bytes_other_seed_other_bytes(demo: Path, tmp_path: Path) -> None:
    first = contents(demo)
    assert contents(draw_demo(tmp_path / "again", **TINY)) == first
    other = contents(draw_demo(tmp_path / "other", seed=1, **TINY))
    assert set(other) == set(first)
    assert not [name for name in first if "ground_truth" not in name and other[name] == first[name]]


def test_a_picture_depends_on_its_seed_and_name_alone(demo: Path) -> None:
    for name in ("nut/train/good/001.png", "board/test/good/000.png"):
        alone = picture(name, name.split("/")[0], seed=0, size=64)
        np.testing.assert_array_equal(alone, pixels(demo / name))


def test_masks_mark_exactly_the_changed_pixels(demo: Path) -> None:
    records = [record for product in open_dataset(demo) for record in product.test if record.label]
    assert len(records) == 4 * 5
    for record in records:
        name = record.image.relative_to(demo).as_posix()
        normal = picture(name, record.product, seed=0, size=64)
        changed = (pixels(record.image) != normal).any(axis=-1)
        np.testing.assert_array_equal(changed, pixels(record.mask) == 255, err_msg=name)
        assert 0.0005 <= changed.mean() <= 0.15, name


@pytest.mark.parametrize(("product", "defect"), DEFECTS)
def test_a_severe_defect_changes_more_than_a_slight_one(product: str, defect: str) -> None:
    def change(severity: float) -> int:
        total = 0
        for key in "abc":
            image, _ = spoilt_picture(key, product, defect, severity, seed=3, size=64)
            total += np.abs(image.astype(int) - picture(key, product, seed=3, size=64)).sum()
        return total

    assert change(0.95) > 1.5 * change(0.05)


def test_manifest_tells_what_it_is(demo: Path) -> None:
    manifest = json.loads((demo / MANIFEST).read_text())
    assert (manifest["name"], manifest["licence"], manifest["seed"]) == ("demo", "CC0-1.0", 0)
    assert manifest["generator_version"] == draw.GENERATOR_VERSION
    for product, folders in manifest["products"].items():
        for folder, count in folders.items():
            assert len(list((demo / product / folder).iterdir())) == count


def test_second_call_draws_nothing(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(demo)
    monkeypatch.setattr(draw, "_draw_item", lambda *_: pytest.fail("drew again"))
    assert draw_demo(demo, **TINY) == demo
    assert contents(demo) == before


def test_other_arguments_are_refused(demo: Path) -> None:
    before = contents(demo)
    with pytest.raises(DataError, match=r"seed: there 0, asked for 7"):
        draw_demo(demo, seed=7, **TINY)
    assert contents(demo) == before


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"name": "demo"}'])
def test_foreign_folder_is_refused(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (tmp_path / "mine" / MANIFEST).write_text(manifest)
    before = contents(tmp_path)
    with pytest.raises(DataError, match="choose another folder"):
        draw_demo(tmp_path / "mine", **TINY)
    assert contents(tmp_path) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("not a folder")
    with pytest.raises(DataError, match="choose another folder"):
        draw_demo(tmp_path / "demo", **TINY)


def test_foreign_draft_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".demo.drawing").mkdir()
    (tmp_path / ".demo.drawing" / "sketch.svg").write_text("<svg/>")
    with pytest.raises(DataError, match="move it away"):
        draw_demo(tmp_path / "demo", **TINY)
    assert (tmp_path / ".demo.drawing" / "sketch.svg").exists()


def interrupt_after(pictures: int, into: Path, monkeypatch: pytest.MonkeyPatch, **numbers: int) -> None:
    """Start a drawing and break it off in the middle of a file."""
    draw_item, save = draw._draw_item, draw._save
    done: list[str] = []

    def torn(array: np.ndarray, path: Path) -> None:
        if len(done) > pictures:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".part").write_bytes(b"\x89PNG torn")
            raise KeyboardInterrupt
        save(array, path)

    def counted(item: object, *rest: object) -> None:
        done.append("picture")
        draw_item(item, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(draw, "_save", torn)
        patch.setattr(draw, "_draw_item", counted)
        draw_demo(into, **numbers)


def test_an_interrupted_drawing_is_completed(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "demo"
    interrupt_after(11, into, monkeypatch, **TINY)
    assert not into.exists()
    draw_item, drawn = draw._draw_item, []
    monkeypatch.setattr(draw, "_draw_item", lambda item, *rest: (drawn.append(item), draw_item(item, *rest)))
    draw_demo(into, **TINY)
    assert len(drawn) == 4 * 8 - 11
    assert contents(into) == contents(demo)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_draft_of_other_arguments_is_started_afresh(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "demo"
    interrupt_after(4, into, monkeypatch, **{**TINY, "seed": 5})
    assert contents(draw_demo(into, **TINY)) == contents(demo)


def test_an_empty_folder_is_filled(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert contents(draw_demo(tmp_path / "demo", **TINY)) == contents(demo)


def test_numbers_out_of_range_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        draw_demo(tmp_path / "demo", seed=-1, train=0, test_good=0, test_defect=3, size=32)
    for name in ("seed", "train", "test_good", "test_defect", "size"):
        assert f"{name} must be" in str(caught.value)
    assert not list(tmp_path.iterdir())
