"""Commands that are killed, on disks and terminals that fail: nothing half done is called sound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from data_prep.check import examine
from data_prep.cli import main
from moleflow_lib.datasets import open_dataset
from moleflow_lib.datasets.layouts import UNFINISHED
from moleflow_lib.errors import DataError
from moleflow_lib.storage import disk
from tests import trees

# Runs `get` on an archive at hand and kills itself, as the system would, at the n-th change to the disk.
KILLED = """
import os, pathlib, shutil, signal, sys
step = int(sys.argv[1])

def counted(function):
    def call(*arguments, **options):
        global step
        step -= 1
        if step < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in ("rename", "replace", "unlink", "mkdir"):
    setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
os.rmdir = counted(os.rmdir)
os.replace = counted(os.replace)
shutil.rmtree = counted(shutil.rmtree)
from data_prep import cli, publishers
publisher = publishers.Publisher(title="t", page="p", archive="a.tar", url=None, sha256=None, size=1,
                                 licence="l", licence_url="u", citation="c")
cli.PUBLISHERS = {"mvtec": publisher}
sys.exit(cli.main(["get", "mvtec", "--into", sys.argv[2], "--archive", sys.argv[3], "--accept-licence"]))
"""


def killed_at(step: int, into: Path, archive: Path) -> int:
    command = [sys.executable, "-c", KILLED, str(step), str(into), str(archive)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


def whole(into: Path) -> bool:
    """Whether the folder opens; what opens must have all products."""
    try:
        products = open_dataset(into)
    except DataError:
        assert main(["check", str(into)]) in (1, 2), "check does not call it sound"
        return False
    assert [(product.name, len(product.train)) for product in products] == [
        ("bolt", 3),
        ("nut", 3),
        ("pin", 3),
    ]
    return True


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = trees.mvtec(tmp_path_factory.mktemp("source") / "mvtec", "bolt", "nut", "pin")
    path = source.with_name("a.tar")
    with tarfile.open(path, "w") as tar:
        tar.add(source, arcname="mvtec")
    return path


def test_a_killed_get_leaves_nothing_that_is_called_sound(tmp_path, packed):
    """Killed once at each change after unpacking, then asked again: always whole in the end."""
    total = _changes(tmp_path, packed)
    halves = 0
    for step in range(total - 12, total):
        into = tmp_path / f"data{step}"
        assert killed_at(step, into, packed) == -signal.SIGKILL
        halves += not whole(into)
        if (into / "bolt").exists() and not (into / UNFINISHED).exists():
            continue
        assert killed_at(10_000, into, packed) == 0
        assert whole(into) and sorted(path.name for path in into.iterdir()) == ["bolt", "nut", "pin"]
    assert halves >= 4, "the steps between the renames were among them"


def _changes(folder: Path, packed: Path) -> int:
    """How many changes to the disk an undisturbed `get` makes."""
    low = 1
    high = 400
    while low < high:
        middle = (low + high) // 2
        if killed_at(middle, folder / f"try{middle}", packed) == 0:
            high = middle
        else:
            low = middle + 1
    return low


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"{", b'{"holder": "/etc", "names": []}', b'{"names": ["a"]}']
)
def test_a_marker_of_another_shape_is_told(tmp_path, packed, content, capsys):
    trees.mvtec(tmp_path / "data")
    (tmp_path / "data" / UNFINISHED).write_bytes(content)
    command = ["get", "mpdd", "--into", str(tmp_path / "data"), "--archive", str(packed), "--accept-licence"]
    assert main(command) == 1
    assert "get it again" in capsys.readouterr().err and (tmp_path / "data/bolt").is_dir()
    with pytest.raises(DataError, match="some of its products only"):
        open_dataset(tmp_path / "data")


def test_leftovers_of_dead_writers_go_and_those_of_living_ones_stay(tmp_path, packed):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with disk.new_file(tmp_path / "drafts/any"):
        (own,) = (tmp_path / "drafts").iterdir()
    half, written = (own.name.replace(f"-{os.getpid()}-", f"-{pid}-") for pid in (dead.pid, os.getppid()))
    into = tmp_path / "data"
    into.mkdir()
    for name in (half, written, f"{disk.UNFINISHED}by-somebody"):
        (into / name).touch()
    assert killed_at(10_000, into, packed) == 0
    left = {path.name for path in into.iterdir()} - {"bolt", "nut", "pin"}
    assert left == {written, f"{disk.UNFINISHED}by-somebody"} and whole(into)


def test_a_place_that_cannot_be_written_is_told_and_the_table_still_comes(tmp_path, capsys):
    trees.mvtec(tmp_path / "data")
    (tmp_path / "file").touch()
    assert main(["check", str(tmp_path / "data"), "--html", str(tmp_path / "file/page.html")]) == 1
    told = capsys.readouterr()
    assert "page.html cannot be written" in told.err and "is sound" in told.out and "Errno" not in told.err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", ["check", "summary"])
def test_terminals_that_lack_letters(tmp_path, encoding, command):
    root = trees.mvtec(tmp_path / "data", "螺丝 Größe")
    (root / "螺丝 Größe/readme ü.txt").touch()
    page = tmp_path / "page.html"
    found = subprocess.run(
        [sys.executable, "-m", "data_prep", command, str(root), "--html", str(page)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    assert "螺丝 Größe" in page.read_text(encoding="utf-8")
    assert ("螺丝" in found.stdout.decode(encoding)) == (encoding == "utf-8")


HOSTILE = "<img src=x onerror=\"document.title='x'\">"


class Tags(HTMLParser):
    """The elements and policies of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("command", ["check", "summary"])
def test_hostile_names_stay_text_in_every_page(tmp_path, command):
    root = tmp_path / HOSTILE
    trees.mvtec(root, HOSTILE)
    (root / HOSTILE / "test/crack").rename(root / HOSTILE / "test" / HOSTILE)
    (root / HOSTILE / "ground_truth/crack").rename(root / HOSTILE / "ground_truth" / HOSTILE)
    if command == "check":
        (root / HOSTILE / "[c](javascript:alert(1)).txt").touch()
    page = tmp_path / "page.html"
    assert main([command, str(root), "--html", str(page)]) == 0
    tags = Tags()
    tags.feed(page.read_text(encoding="utf-8"))
    assert not {tag for tag, _ in tags.found} & {"script", "a"}
    assert not [name for _, given in tags.found for name in given if name.startswith("on")]
    assert all(given["src"].startswith("data:image/png") for tag, given in tags.found if tag == "img")
    (policy,) = [
        given["content"] for _, given in tags.found if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy


def test_training_images_that_teach_nothing_are_noted(tmp_path):
    trees.mvtec(tmp_path, "dark", "same", "sound")
    for path in (tmp_path / "dark/train/good").iterdir():
        Image.new("RGB", trees.SIZE).save(path)
    for path in (tmp_path / "same/train/good").iterdir():
        trees.picture(path, 1234)
    found = examine(tmp_path)
    assert not found.errors
    assert [(fault.kind, fault.product) for fault in found.notes] == [("flat", "dark"), ("copies", "same")]
    assert "3 of 3" in found.notes[0].what and "2 of 3" in found.notes[1].what


def test_a_colour_profile_is_noted_once_a_product(tmp_path):
    trees.mvtec(tmp_path, "bolt")
    profiles = {"000": ImageCms.createProfile("LAB"), "001": ImageCms.createProfile("sRGB")}
    for stem, profile in profiles.items():
        path = tmp_path / f"bolt/train/good/{stem}.png"
        with Image.open(path) as image:
            image.save(path, icc_profile=ImageCms.ImageCmsProfile(profile).tobytes())
    (note,) = examine(tmp_path).faults
    assert note.kind == "profile" and "1 with" in note.what


def test_what_is_not_used_stands_in_the_verdict(tmp_path, capsys):
    trees.mvtec(tmp_path, "bolt")
    (tmp_path / "bolt/test/good/IMG_9.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert main(["check", str(tmp_path)]) == 0
    assert "1 image not used: 1 in a format that is not read (.heic)" in capsys.readouterr().out
