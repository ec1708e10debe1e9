"""What an image is: every way of storing one gives what a viewer shows, or a fault with a name."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, PngImagePlugin

from data_prep.check import examine
from data_prep.contact_sheet import outlined
from moleflow_lib.datasets import Record, load_image, load_mask, open_dataset
from moleflow_lib.datasets.image_files import PIXEL_OPTION, ImageFault
from moleflow_lib.datasets.images import image_size, read_image, read_mask
from moleflow_lib.errors import ConfigError, DataError
from tests import trees

TURNS = range(1, 9)
PLAIN = ("png", "jpg", "webp", "tif")
STORED_AS = {  # EXIF orientation: how a camera that is held that way stores an upright scene
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def kind_of(path: Path, reader=read_image) -> str:
    with pytest.raises(ImageFault) as told:
        reader(path)
    assert path.name in str(told.value) and ";" in str(told.value)
    return told.value.kind


def error_kinds(root: Path) -> set[str]:
    """What check refuses, and opening as well."""
    with pytest.raises(DataError):
        open_dataset(root)
    return {fault.kind for fault in examine(root).errors}


def scene() -> Image.Image:
    """An L of red on black, upright and not square: no turn leaves it as it is."""
    pixels = np.zeros((40, 24, 3), dtype=np.uint8)
    pixels[4:32, 4:10] = (250, 0, 0)
    pixels[26:32, 4:20] = (250, 0, 0)
    return Image.fromarray(pixels)


def photograph(image: Image.Image, path: Path, turn: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    STORED_AS[turn](image).save(path, exif=exif, **({"quality": 98} if path.suffix != ".png" else {}))
    return path


@pytest.mark.parametrize("suffix", PLAIN)
@pytest.mark.parametrize("turn", TURNS)
def test_photos_and_masks_are_read_upright(tmp_path, turn, suffix):
    path = photograph(scene(), tmp_path / f"a.{suffix}", turn)
    assert image_size(path) == image_size(path, mask=True) == (24, 40)
    difference = np.asarray(read_image(path)).astype(int) - np.asarray(scene())
    assert np.abs(difference).mean() < 12
    marked = np.asarray(scene())[..., 0] > 127
    found = read_mask(photograph(scene().convert("L").point(lambda v: 255 * (v > 9)), path, turn))
    assert found.shape == (40, 24) and (found == marked).mean() > 0.97


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_photo_lies_under_its_upright_mask(tmp_path, turn):
    image = photograph(scene(), tmp_path / "part/test/crack/0.jpg", turn)
    trees.picture(tmp_path / "part/train/good/0.png", 1)
    mask = tmp_path / "part/ground_truth/crack/0_mask.png"
    mask.parent.mkdir(parents=True)
    scene().convert("L").point(lambda v: 255 * (v > 9)).save(mask)
    (part,) = open_dataset(tmp_path)
    red = load_image(image, 64, "pad")[..., 0] > 127
    assert (red == load_mask(mask, 64, "pad")).mean() > 0.97
    record = Record(product="p", split="test", defect="crack", image=image, mask=mask)
    sheet = np.asarray(outlined(record, 80)).astype(int)
    assert (sheet[..., 0] > 127).any() and part.test[0].mask == mask


def test_a_mask_drawn_on_the_stored_photo_is_a_named_conflict(tmp_path):
    photograph(scene(), tmp_path / "part/test/crack/0.jpg", 6)
    trees.picture(tmp_path / "part/train/good/0.png", 1)
    trees.mask(tmp_path / "part/ground_truth/crack/0_mask.png", size=(40, 24))
    assert error_kinds(tmp_path) == {"mask-size"}
    with pytest.raises(DataError, match="EXIF orientation; turn the mask"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("chunk", ["exif", "Raw profile type exif"])
def test_odd_exif_costs_nothing(tmp_path, chunk):
    info = PngImagePlugin.PngInfo()
    info.add_text(chunk, "\nexif\n     20\nnot hexadecimal at all\n")
    trees.mvtec(tmp_path, "bolt")
    scene().save(tmp_path / "bolt/train/good/made.png", pnginfo=info)
    assert examine(tmp_path).faults == ()
    assert (np.asarray(read_image(tmp_path / "bolt/train/good/made.png")) == np.asarray(scene())).all()


@pytest.mark.parametrize("suffix", [".webp", ".jfif", ".jpe", ".TIFF"])
def test_further_suffixes_are_read(tmp_path, suffix):
    trees.product(tmp_path / "bolt")
    scene().save(tmp_path / f"bolt/test/good/new{suffix}", format=None if suffix != ".jfif" else "JPEG")
    (bolt,) = open_dataset(tmp_path)
    assert f"new{suffix}" in {record.image.name for record in bolt.test} and not bolt.unused


@pytest.mark.parametrize("suffix", ["tif", "png", "webp"])
def test_pages_and_animations_are_refused(tmp_path, suffix):
    trees.mvtec(tmp_path, "bolt")
    path = tmp_path / f"bolt/test/good/many.{suffix}"
    other = scene().transpose(Image.Transpose.ROTATE_180)
    scene().save(path, save_all=True, append_images=[other])
    assert kind_of(path) == kind_of(path, read_mask) == kind_of(path, image_size) == "frames"
    assert error_kinds(tmp_path) == {"frames"}


def test_camera_files_with_a_preview_show_their_photo(tmp_path):
    preview = Image.new("RGB", (6, 10))
    scene().save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[preview], quality=98)
    assert image_size(tmp_path / "photo.jpg") == (24, 40) == read_image(tmp_path / "photo.jpg").size


@pytest.mark.parametrize("name", ["scan.png", "scan.jpg", "scan.tif"])
def test_postscript_never_reaches_a_decoder_that_runs_it(tmp_path, name, monkeypatch):
    """Ghostscript is started by Pillow's EPS plugin; here a stand-in would leave a trace."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tools / "gs").chmod(0o755)
    script = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    trees.mvtec(tmp_path / "data", "bolt")
    (tmp_path / "data/bolt/train/good" / name).write_text(script)
    code = (
        "import sys; from data_prep.check import examine;"
        "print(sorted({fault.kind for fault in examine(sys.argv[1]).errors}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "['format']" and not (tmp_path / "ran").exists()
    with pytest.raises(DataError, match="is PostScript, whatever its name says"):
        open_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(60), "is HEIC"),
        (b"GIF89a" + bytes(60), "is GIF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
    ],
)
def test_other_formats_are_named(tmp_path, start, told):
    (tmp_path / "a.png").write_bytes(start)
    with pytest.raises(DataError, match=told):
        read_image(tmp_path / "a.png")


def no_file(path: Path, how: str) -> None:
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("how", ["pipe", "device", "folder"])
@pytest.mark.parametrize("place", ["train/good", "test/crack", "test/unlabelled", "ground_truth/crack"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path, how, place):
    folder = trees.product(tmp_path / "data/bolt")
    (folder / place).mkdir(exist_ok=True)
    path = folder / place / ("000_mask.png" if place.startswith("ground") else "new.png")
    path.unlink(missing_ok=True)
    no_file(path, how)
    if place == "test/crack":
        trees.mask(folder / "ground_truth/crack/new_mask.png")
    code = (
        "import sys; from moleflow_lib.datasets import open_dataset; from data_prep.check import examine;"
        "print({fault.kind for fault in examine(sys.argv[1]).errors}); open_dataset(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "not-a-file" in found.stdout and "DataError" in found.stderr and path.name in found.stderr


def grey_png(path: Path, width: int, height: int) -> Path:
    """A plain PNG, written row by row, so that it costs no memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = b"\0" + bytes([120]) * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def test_a_scan_beyond_the_limit_names_the_limit_and_the_option(tmp_path, monkeypatch):
    trees.mvtec(tmp_path, "web")
    scan = grey_png(tmp_path / "web/test/good/scan.png", 14_100, 14_100)
    assert error_kinds(tmp_path) == {"too-large"}
    with pytest.raises(DataError, match=f"limit of 178,956,970; scale it down.*{PIXEL_OPTION}") as told:
        image_size(scan)
    assert "fetch it again" not in str(told.value)
    monkeypatch.setenv(PIXEL_OPTION, "200000000")
    assert image_size(scan) == (14_100, 14_100) and open_dataset(tmp_path)
    monkeypatch.setenv(PIXEL_OPTION, "many")
    with pytest.raises(ConfigError, match="whole number of pixels"):
        image_size(scan)


def test_a_scan_below_the_limit_is_read_without_a_warning(tmp_path):
    assert image_size(grey_png(tmp_path / "scan.png", 10_000, 9_000)) == (10_000, 9_000)


def test_the_limit_is_ours_for_small_ones_too(tmp_path, monkeypatch):
    path = trees.picture(tmp_path / "a.png", 0, (30, 30))
    monkeypatch.setenv(PIXEL_OPTION, "899")
    assert kind_of(path) == "too-large"
    monkeypatch.setenv(PIXEL_OPTION, "900")
    assert read_image(path).size == (30, 30)


def test_ink_colours_with_a_profile_are_refused(tmp_path):
    scene().convert("CMYK").save(tmp_path / "plain.jpg", quality=98)
    scene().convert("CMYK").save(tmp_path / "profile.jpg", icc_profile=b"any profile")
    Image.new("LAB", (9, 9)).save(tmp_path / "lab.tif")
    assert (
        np.abs(np.asarray(read_image(tmp_path / "plain.jpg")).astype(int) - np.asarray(scene())).mean() < 12
    )
    assert kind_of(tmp_path / "profile.jpg") == kind_of(tmp_path / "lab.tif") == "mode"


@pytest.mark.parametrize("suffix", PLAIN[:3])
def test_half_a_file_is_told_when_the_dataset_is_opened(tmp_path, suffix):
    trees.mvtec(tmp_path, "bolt")
    path = trees.picture(tmp_path / f"bolt/train/good/new.{suffix}", 5, (64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"new\.\w+ is (cut off|not a readable)"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("suffix", ["tif", "bmp"])
def test_half_a_plain_file_is_told_when_the_dataset_is_opened(tmp_path, suffix):
    trees.mvtec(tmp_path, "bolt")
    path = trees.picture(tmp_path / f"bolt/train/good/new.{suffix}", 5, (64, 64))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"new\.\w+ "):
        open_dataset(tmp_path)


def test_transparent_images_are_told_when_the_dataset_is_opened(tmp_path):
    trees.mvtec(tmp_path, "bolt")
    Image.new("RGBA", trees.SIZE, (250, 10, 5, 9)).save(tmp_path / "bolt/train/good/new.png")
    with pytest.raises(DataError, match="new.png has transparent pixels"):
        open_dataset(tmp_path)


# Masks.


def marked(size: tuple[int, int] = (48, 48)) -> np.ndarray:
    values = np.zeros(size[::-1], dtype=bool)
    values[10:26, 12:30] = True
    return values


def with_masks(root: Path, save, count: int = 4) -> Path:
    """A product of sound images whose masks are stored by `save(truth, path without suffix)`."""
    for index in range(count):
        trees.picture(root / f"part/train/good/{index}.png", index, (48, 48))
        trees.picture(root / f"part/test/crack/{index}.png", 50 + index, (48, 48))
        folder = root / "part/ground_truth/crack"
        folder.mkdir(parents=True, exist_ok=True)
        save(marked(), folder / f"{index}_mask")
    return root


def test_lossy_masks_are_cut_at_half_and_check_says_so(tmp_path):
    for suffix in ("jpg", "webp"):
        with_masks(
            tmp_path / suffix,
            lambda truth, path, suffix=suffix: (
                Image.fromarray(truth).convert("L").save(f"{path}.{suffix}", quality=75)
            ),
        )
        (part,) = open_dataset(tmp_path / suffix)
        for record in part.test:
            found = read_mask(record.mask)
            assert abs(found.sum() / marked().sum() - 1) < 0.05, "0 as threshold makes it a fifth larger"
        notes = [fault for fault in examine(tmp_path / suffix).faults if fault.kind == "mask-lossy"]
        assert len(notes) == 1 and "half" in notes[0].what and "4 of 4" in notes[0].what


def test_lossless_webp_masks_keep_class_indices(tmp_path):
    Image.fromarray(marked().astype(np.uint8)).convert("RGB").save(tmp_path / "a.webp", lossless=True)
    assert (read_mask(tmp_path / "a.webp") == marked()).all()


def test_class_indices_in_a_lossy_mask_are_refused(tmp_path):
    def save(truth: np.ndarray, path: Path) -> None:
        Image.fromarray(truth.astype(np.uint8) * 3).save(f"{path}.jpg", quality=95)

    assert error_kinds(with_masks(tmp_path, save)) == {"mask-faint"}


def test_masks_of_many_greys_are_told(tmp_path):
    def save(truth: np.ndarray, path: Path) -> None:
        soft = Image.fromarray(truth.astype(np.uint8) * 255)
        soft = soft.filter(ImageFilter.GaussianBlur(2))
        soft.save(f"{path}.png")

    found = examine(with_masks(tmp_path, save))
    (note,) = [fault for fault in found.notes if fault.kind == "mask-grey"]
    assert not found.errors and "above zero" in note.what


def test_inverted_masks_are_refused(tmp_path):
    def save(truth: np.ndarray, path: Path) -> None:
        Image.fromarray(~truth).save(f"{path}.png")

    assert error_kinds(with_masks(tmp_path, save, count=9)) == {"mask-inverted"}


def test_one_large_defect_is_no_inversion(tmp_path):
    def save(truth: np.ndarray, path: Path) -> None:
        Image.fromarray(~truth if path.name.startswith("0") else truth).save(f"{path}.png")

    with_masks(tmp_path, save)
    assert open_dataset(tmp_path) and not examine(tmp_path).errors


@pytest.mark.parametrize("colours", [[255, 255, 255, 0, 0, 0], [0, 0, 0, 0, 0, 0], [9, 9, 99, 200, 0, 0]])
def test_a_palette_that_contradicts_its_numbers_is_refused(tmp_path, colours):
    def save(truth: np.ndarray, path: Path) -> None:
        image = Image.fromarray(truth.astype(np.uint8))
        image.putpalette(colours)
        image.save(f"{path}.png")

    assert error_kinds(with_masks(tmp_path, save)) == {"mask-palette"}


def test_a_palette_of_class_colours_is_read(tmp_path):
    image = Image.fromarray(marked().astype(np.uint8) * 2)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    image.save(tmp_path / "a.png")
    assert (read_mask(tmp_path / "a.png") == marked()).all()


def test_masks_that_are_white_everywhere_and_clear_where_normal_are_refused(tmp_path):
    def save(truth: np.ndarray, path: Path) -> None:
        white = Image.new("L", (48, 48), 255)
        Image.merge("LA", [white, Image.fromarray(truth).convert("L")]).save(f"{path}.png")

    assert error_kinds(with_masks(tmp_path, save)) == {"transparent"}


def test_ordinary_files_are_read_bit_for_bit_as_before(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    for mode in ("RGB", "L"):
        for suffix in ("png", "jpg", "bmp", "tif"):
            path = tmp_path / f"{mode}.{suffix}"
            Image.fromarray(noise).convert(mode).save(path)
            with Image.open(path) as image:
                assert (np.asarray(read_image(path)) == np.asarray(image.convert("RGB"))).all()
                if suffix != "jpg":
                    plain = np.asarray(image).reshape(31, 17, -1)
                    assert (read_mask(path) == (plain > 0).any(axis=-1)).all()
