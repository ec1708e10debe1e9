"""`check`: every fault planted one at a time and all at once, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.check import examine
from data_prep.cli import main
from moleflow_lib.datasets import load_image, load_mask, open_dataset
from moleflow_lib.errors import DataError
from tests import trees


def cut_in_half(path: Path) -> None:
    whole = trees.picture(path, 5, (64, 64)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def deep(path: Path) -> None:
    Image.fromarray(np.full((8, 10), 40_000, dtype=np.uint16)).save(path)


def with_alpha(path: Path, alpha: int) -> None:
    with Image.open(trees.picture(path, 70 + alpha)) as image:
        image.putalpha(alpha)
        image.save(path)


def palette(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("P").save(path)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def resaved(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.save(target, compress_level=1)


def wide_defect(folder: Path) -> None:
    trees.picture(folder / "test/crack/000.png", 9, (40, 20))
    values = np.zeros((20, 40), dtype=np.uint8)
    values[5:15, 0:8] = 1
    Image.fromarray(values).save(folder / "ground_truth/crack/000_mask.png")


def no_images_in(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


# Name of the case: kind of fault, file it is told of, what plants it in a sound product folder.
ERRORS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "not an image": (
        "unreadable",
        "test/good/000.png",
        lambda p: (p / "test/good/000.png").write_bytes(b"text"),
    ),
    "cut image": ("truncated", "train/good/001.png", lambda p: cut_in_half(p / "train/good/001.png")),
    "empty file": ("empty-file", "train/good/001.png", lambda p: (p / "train/good/001.png").write_bytes(b"")),
    "16 bit": ("depth", "test/dent/000.png", lambda p: deep(p / "test/dent/000.png")),
    "transparent": ("transparent", "test/good/001.png", lambda p: with_alpha(p / "test/good/001.png", 40)),
    "link to nothing": (
        "broken-link",
        "train/good/9.png",
        lambda p: (p / "train/good/9.png").symlink_to("gone.png"),
    ),
    "no mask": (
        "mask-missing",
        "test/crack/001.png",
        lambda p: (p / "ground_truth/crack/001_mask.png").unlink(),
    ),
    "no masks of a defect": (
        "mask-missing",
        "ground_truth/dent",
        lambda p: shutil.rmtree(p / "ground_truth/dent"),
    ),
    "orphaned mask": (
        "mask-orphan",
        "ground_truth/crack/7_mask.png",
        lambda p: trees.mask(p / "ground_truth/crack/7_mask.png"),
    ),
    "masks of no defect": (
        "mask-orphan",
        "ground_truth/hole/0.png",
        lambda p: trees.mask(p / "ground_truth/hole/0.png"),
    ),
    "two masks": (
        "mask-ambiguous",
        "test/dent/001.png",
        lambda p: trees.mask(p / "ground_truth/dent/001.png"),
    ),
    "unreadable mask": (
        "unreadable",
        "ground_truth/dent/001_mask.png",
        lambda p: (p / "ground_truth/dent/001_mask.png").write_bytes(b"text"),
    ),
    "mask of another size": (
        "mask-size",
        "ground_truth/dent/000_mask.png",
        lambda p: trees.mask(p / "ground_truth/dent/000_mask.png", size=(8, 10)),
    ),
    "black mask": (
        "mask-black",
        "ground_truth/crack/000_mask.png",
        lambda p: trees.mask(p / "ground_truth/crack/000_mask.png", value=0),
    ),
    "train image in test": (
        "duplicate",
        "test/good/copy.png",
        lambda p: copy(p / "train/good/000.png", p / "test/good/copy.png"),
    ),
    "train image saved anew in test": (
        "duplicate",
        "test/good/copy.png",
        lambda p: resaved(p / "train/good/000.png", p / "test/good/copy.png"),
    ),
    "one picture, two truths": (
        "duplicate",
        "test/good/copy.png",
        lambda p: copy(p / "test/crack/000.png", p / "test/good/copy.png"),
    ),
    "defect in train": (
        "defect-in-train",
        "train/crack",
        lambda p: trees.picture(p / "train/crack/0.png", 8),
    ),
    "nothing to train on": ("no-train", "train/good", lambda p: no_images_in(p / "train/good")),
    "misspelt masks": ("name", "groundtruth", lambda p: trees.mask(p / "groundtruth/crack/0.png")),
    "good by another name": ("name", "test/OK", lambda p: trees.picture(p / "test/OK/0.png", 8)),
}
NOTES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "stray file": ("stray", "readme.txt", lambda p: (p / "readme.txt").write_text("hello")),
    "stray beside images": ("stray", "train/good/Thumbs.db", lambda p: (p / "train/good/Thumbs.db").touch()),
    "shadow file": (
        "stray",
        "test/crack/._000.png",
        lambda p: (p / "test/crack/._000.png").write_text("mac"),
    ),
    "folder in a folder": ("stray", "test/good/more", lambda p: trees.picture(p / "test/good/more/1.png", 8)),
    "loose test image": ("stray", "test/loose.png", lambda p: trees.picture(p / "test/loose.png", 8)),
    "image-level": ("image-level", "", lambda p: shutil.rmtree(p / "ground_truth")),
    "palette": ("palette", "train/good/002.png", lambda p: palette(p / "train/good/002.png")),
    "opaque alpha": ("alpha", "train/good/002.png", lambda p: with_alpha(p / "train/good/002.png", 255)),
    "turned": ("orientation", "train/good/002.png", lambda p: turned(p / "train/good/002.png")),
    "defect off the crop": ("crop", "", wide_defect),
    "no test": ("no-test", "", lambda p: (shutil.rmtree(p / "test"), shutil.rmtree(p / "ground_truth"))),
    "normal test images only": (
        "one-sided",
        "",
        lambda p: [shutil.rmtree(p / f) for f in ("test/crack", "test/dent", "ground_truth")],
    ),
}


def checked(root: Path, tmp_path: Path) -> tuple[int, list[dict[str, str]]]:
    code = main(
        ["check", str(root), "--json", str(tmp_path / "found.json"), "--html", str(tmp_path / "found.html")]
    )
    return code, json.loads((tmp_path / "found.json").read_text())["faults"]


def test_sound_folders_are_sound(tmp_path, capsys):
    trees.mvtec(tmp_path / "a")
    trees.visa_raw(tmp_path / "b")
    trees.visa_converted(tmp_path / "c/1cls")
    for name in "abc":
        code, faults = checked(tmp_path / name, tmp_path)
        assert code == 0 and not [f for f in faults if f["kind"] not in ("count", "stray")], faults
        assert "is sound" in capsys.readouterr().out


@pytest.mark.parametrize("case", [*ERRORS, *NOTES])
def test_each_fault_gives_its_own_line(tmp_path, capsys, case):
    kind, file, plant = (ERRORS | NOTES)[case]
    trees.mvtec(tmp_path / "data", "bolt", "nut")
    plant(tmp_path / "data/bolt")
    code, faults = checked(tmp_path / "data", tmp_path)
    severity = "error" if case in ERRORS else "note"
    assert [(f["kind"], f["product"], f["file"], f["severity"]) for f in faults] == [
        (kind, "bolt", file, severity)
    ]
    assert code == (1 if case in ERRORS else 0)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{severity} ")]
    assert "bolt" in line and file in line and faults[0]["todo"].split()[0] in line
    assert file in (tmp_path / "found.html").read_text()


def test_all_faults_at_once(tmp_path, capsys):
    """Every case in a product of its own, so that none hides another."""
    cases = ERRORS | NOTES
    names = {case: f"product{index:02}" for index, case in enumerate(cases)}
    trees.mvtec(tmp_path / "data", *names.values())
    for case, (_, _, plant) in cases.items():
        plant(tmp_path / "data" / names[case])
    code, faults = checked(tmp_path / "data", tmp_path)
    found = {(f["kind"], f["product"], f["file"], f["severity"]) for f in faults}
    expected = {
        (kind, names[c], file, "error" if c in ERRORS else "note") for c, (kind, file, _) in cases.items()
    }
    assert code == 1 and found == expected
    assert f"{len(ERRORS)} problems and {len(NOTES)} notes" in capsys.readouterr().out


def test_what_lies_in_the_root_is_named(tmp_path):
    trees.mvtec(tmp_path / "data")
    (tmp_path / "data/license.txt").touch()
    (tmp_path / "data/drafts").mkdir()
    code, faults = checked(tmp_path / "data", tmp_path)
    assert code == 0 and [(f["kind"], f["file"]) for f in faults] == [
        ("stray", "drafts/"),
        ("stray", "license.txt"),
    ]


@pytest.mark.parametrize(("beside", "code"), [("test", 1), ("Train/good", 1), ("notes", 0)])
def test_a_product_whose_train_is_misspelt_is_an_error(tmp_path, beside, code):
    trees.mvtec(tmp_path / "data", "bolt")
    trees.picture(tmp_path / "data/trn/Train/loose.png", 9)
    (tmp_path / "data/trn" / beside).mkdir()
    found, (fault,) = checked(tmp_path / "data", tmp_path)
    assert found == code and fault["file"] == ("trn/Train" if code else "trn/")
    assert ("did you mean train?" in fault["what"]) == (code == 1)
    assert open_dataset(tmp_path / "data", ["bolt"]), "what is not asked for stops nothing"


def test_a_file_that_is_no_image_is_named_once_in_plain_words(tmp_path):
    trees.mvtec(tmp_path / "data", "bolt")
    (tmp_path / "data/bolt/test/good/000.png").write_bytes(b"text")
    _, (fault,) = checked(tmp_path / "data", tmp_path)
    assert fault["what"] == "is not an image that can be read"


def test_counts_against_the_published(tmp_path):
    trees.mvtec(tmp_path / "data", "bottle")
    code, faults = checked(tmp_path / "data", tmp_path)
    assert code == 0 and [f["kind"] for f in faults] == ["count"]
    assert "3 train, 2 good and 4 defective" in faults[0]["what"] and "209, 20 and 63" in faults[0]["what"]
    trees.product(tmp_path / "data/my_part", seed=5)
    assert checked(tmp_path / "data", tmp_path) == (0, []), "not a published set, though one name is"


def test_copies_are_found_across_products(tmp_path):
    trees.mvtec(tmp_path / "data", "bolt", "nut")
    copy(tmp_path / "data/bolt/train/good/000.png", tmp_path / "data/nut/test/good/x.png")
    code, faults = checked(tmp_path / "data", tmp_path)
    assert code == 1 and [(f["kind"], f["product"]) for f in faults] == [("duplicate", "nut")]
    assert "bolt/train/good/000.png" in faults[0]["what"]


def test_a_product_under_two_names_is_noted(tmp_path):
    trees.mvtec(tmp_path / "data", "bolt", "nut")
    shutil.copytree(tmp_path / "data/bolt", tmp_path / "data/screw")
    code, faults = checked(tmp_path / "data", tmp_path)
    assert code == 0 and [(f["kind"], f["product"], f["severity"]) for f in faults] == [
        ("shared", "screw", "note")
    ]
    assert "3 of 3 training images that bolt has too" in faults[0]["what"]


def test_vanishing_defects_are_told(tmp_path):
    trees.mvtec(tmp_path / "data", "bolt")
    trees.picture(tmp_path / "data/bolt/test/dent/000.png", 9, (300, 300))
    values = np.zeros((300, 300), dtype=np.uint8)
    values[0, 0] = 1
    Image.fromarray(values).save(tmp_path / "data/bolt/ground_truth/dent/000_mask.png")
    assert main(["check", str(tmp_path / "data"), "--image-size", "32"]) == 0
    assert {fault.kind for fault in examine(tmp_path / "data", 32).faults} == {"vanish"}
    assert examine(tmp_path / "data", 300).faults == ()


def test_many_notes_alike_become_one_line_on_the_terminal(tmp_path, capsys):
    trees.mvtec(tmp_path / "data", "bolt")
    for index in range(30):
        (tmp_path / f"data/bolt/train/good/{index}.json").touch()
    code, faults = checked(tmp_path / "data", tmp_path)
    said = capsys.readouterr().out
    assert (
        code == 0
        and len(faults) == 30
        and "train/good/0.json and 29 more" in said
        and "good/1.json" not in said
    )
    assert (tmp_path / "found.html").read_text().count(".json</td>") == 30


def test_raw_visa_is_checked_too(tmp_path):
    root = trees.visa_raw(tmp_path / "data", "gum")
    trees.mask(root / "gum/Data/Masks/Anomaly/000.png", value=0)
    trees.mask(root / "gum/Data/Masks/Anomaly/077.png")
    trees.picture(root / "gum/Data/Images/Normal/0077.JPG", 3)
    code, faults = checked(root, tmp_path)
    assert code == 1
    assert [(f["kind"], f["file"]) for f in faults] == [
        ("mask-black", "gum/Data/Masks/Anomaly/000.png"),
        ("mask-orphan", "gum/Data/Masks/Anomaly/077.png"),
        ("stray", "gum/Data/Images/Normal/0077.JPG"),
    ]


def test_misuse_has_its_own_exit_code(tmp_path, capsys):
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert "no folder at" in capsys.readouterr().err
    for arguments in (
        [],
        ["check"],
        ["get", "coco", "--into", "x"],
        ["check", str(tmp_path), "--image-size", "0"],
    ):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / "empty")]) == 1


@pytest.mark.parametrize("command", ["get", "convert", "check", "draw", "summary"])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0 and ("example: python -m data_prep" in text or "exit codes" in text)


def test_pages_need_no_network_and_escape(tmp_path):
    trees.mvtec(tmp_path / "data", "bolt")
    (tmp_path / "data/bolt/<script>alert(1)<b>.txt").touch()
    checked(tmp_path / "data", tmp_path)
    page = (tmp_path / "found.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "://" not in page


# Random product folders: file name to what it holds. The oracle below knows the content, not the pixels.
PLACES = ["train/good", "train/crack", "test", "test/good", "test/crack", "ground_truth/crack"]
IMAGE_KINDS = ["noise", "noise", "noise", "grey", "same", "palette", "deep", "clear", "text", "cut"]
MASK_KINDS = ["mask", "mask", "mask", "index", "black", "small", "text"]


@st.composite
def folders(draw: st.DrawFn) -> dict[str, str]:
    """A mostly sound product with a few random files put in or taken out."""
    tree = {f"train/good/{stem}.png": "noise" for stem in "ab"} | {"test/good/a.png": "noise"}
    for stem in draw(st.sets(st.sampled_from("abc"))):
        tree[f"test/crack/{stem}.png"] = "noise"
        tree[f"ground_truth/crack/{stem}{draw(st.sampled_from(['_mask', '']))}.png"] = "mask"
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(PLACES))
        stem = draw(st.sampled_from(["a", "b", "a_mask", "c_mask"]))
        kinds = MASK_KINDS if place.startswith("ground_truth") else IMAGE_KINDS
        tree[f"{place}/{stem}.{draw(st.sampled_from(['png', 'PNG', 'txt']))}"] = draw(st.sampled_from(kinds))
    for path in draw(st.lists(st.sampled_from(sorted(tree)), max_size=2)):
        tree.pop(path, None)
    return tree


def build(root: Path, tree: dict[str, str]) -> Path:
    (root / "part/train").mkdir(parents=True)
    for seed, (name, kind) in enumerate(tree.items(), start=1):
        path = root / "part" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name("made.png")
        if kind in ("mask", "index", "black", "small"):
            value = {"mask": 255, "index": 1, "black": 0, "small": 255}[kind]
            trees.mask(made, value, (4, 4) if kind == "small" else trees.SIZE)
        elif kind == "text":
            made.write_text("text")
        else:
            trees.picture(made, 0 if kind == "same" else seed)
            {"deep": deep, "cut": cut_in_half, "palette": palette}.get(kind, lambda p: None)(made)
            if kind == "clear":
                with_alpha(made, 9)
            if kind == "grey":
                Image.new("L", trees.SIZE, seed).save(made)
        made.rename(path)
    return root


def fails_or_lies(tree: dict[str, str]) -> bool:
    """What a careful reader of the folder's listing would refuse, told without opening a file."""
    files = {name: kind for name, kind in tree.items() if not name.endswith(".txt")}
    inside = {place: [n for n in files if n.rsplit("/", 1)[0] == place] for place in PLACES}
    folders_of_test = {
        name.split("/")[1] for name in tree if name.count("/") == 2 and name.startswith("test/")
    }
    loose = [] if folders_of_test else inside["test"]
    train, test = inside["train/good"], loose + inside["test/good"] + inside["test/crack"]
    truth = any(name.startswith("ground_truth/") for name in tree)
    if not train or inside["train/crack"]:
        return True
    if any(files[name] in ("deep", "clear", "text", "cut") for name in train + test):
        return True
    if any(files[name] == "same" for name in train) and any(files[name] == "same" for name in test):
        return True
    if (
        len({name in inside["test/crack"] for name in test if files[name] == "same" and name not in loose})
        > 1
    ):
        return True
    masks = inside["ground_truth/crack"]
    if not truth:
        return False
    stems = {name: Path(name).stem for name in inside["test/crack"] + masks}
    owners = {
        m: [i for i in inside["test/crack"] if stems[m] in (stems[i], stems[i] + "_mask")] for m in masks
    }
    if any(len(images) != 1 for images in owners.values()) or len(masks) != len(inside["test/crack"]):
        return True
    if sorted(image for images in owners.values() for image in images) != sorted(inside["test/crack"]):
        return True
    return any(files[mask] in ("black", "small", "text") for mask in masks)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=folders())
def test_what_passes_loads_and_what_is_refused_fails_or_lies(tmp_path_factory, tree):
    root = build(tmp_path_factory.mktemp("tree"), tree)
    found = examine(root)
    assert bool(found.errors) == fails_or_lies(tree), [str(fault) for fault in found.errors]
    if found.errors:
        return
    (part,) = open_dataset(root)
    for record in (*part.train, *part.test):
        assert load_image(record.image, 16).shape == (16, 16, 3)
        if record.label and part.has_masks:
            assert load_mask(record.mask, 16).any()
    listed = {r.image.relative_to(root / "part").as_posix() for r in (*part.train, *part.test)}
    strays = {fault.file for fault in found.notes if fault.kind == "stray"}
    unused = {name for name in tree if not name.startswith("ground_truth/")} - listed
    assert all(name in strays or name.rsplit("/", 1)[0] in strays for name in unused) and listed.isdisjoint(
        strays
    )


@settings(max_examples=60, deadline=None)
@given(tree=folders())
def test_what_opening_refuses_check_refuses_too(tmp_path_factory, tree):
    root = build(tmp_path_factory.mktemp("tree"), tree)
    try:
        open_dataset(root)
    except DataError:
        assert examine(root).errors
