"""Archives that mean harm are refused, and leave nothing behind."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from data_prep.unpack import Limits, unpack
from moleflow_lib.errors import DataError
from tests import trees
from tests.data_prep.conftest import tar_bytes


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"data" if kind == tarfile.REGTYPE else b""


# Name of the case: what the refusal says, and the members that earn it.
HOSTILE_TARS = {
    "absolute": ("absolute path", [entry("/tmp/moleflow_evil.txt")]),
    "parent": ("leads out", [entry("a/../../evil.txt")]),
    "windows drive": ("absolute path", [entry("C:/evil.txt")]),
    "windows parent": ("leads out", [entry("..\\evil.txt")]),
    "symbolic link": ("is a link to '/etc/passwd'", [entry("a", tarfile.SYMTYPE, "/etc/passwd")]),
    "file through a link": ("is a link to", [entry("a", tarfile.SYMTYPE, ".."), entry("a/evil.txt")]),
    "hard link": ("is a link to '/etc/passwd'", [entry("b"), entry("a", tarfile.LNKTYPE, "/etc/passwd")]),
    "hard link inside": ("is a link to 'b'", [entry("b"), entry("a", tarfile.LNKTYPE, "b")]),
    "fifo": ("neither a file nor a folder", [entry("a", tarfile.FIFOTYPE)]),
    "device": ("neither a file nor a folder", [entry("a", tarfile.CHRTYPE)]),
    "name twice": ("comes twice", [entry("a/x.png"), entry("a/x.png")]),
    "file as folder": ("no whole", [entry("a"), entry("a/x.png")]),
}


@pytest.mark.parametrize("case", HOSTILE_TARS)
def test_hostile_tars_are_refused(tmp_path, case):
    told, members = HOSTILE_TARS[case]
    archive = tar_of(tmp_path / "evil.tar", entry("bolt/train/good/000.png"), *members)
    with pytest.raises(DataError, match=told):
        unpack(archive, tmp_path / "in" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.tar", "in"], (
        "nothing is left, nothing escaped"
    )
    assert not Path("/tmp/moleflow_evil.txt").exists()


HOSTILE_ZIPS = ["/tmp/moleflow_evil.txt", "a/../../evil.txt", "C:/evil.txt", "..\\evil.txt"]


@pytest.mark.parametrize("name", HOSTILE_ZIPS)
def test_hostile_zips_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("bolt/train/good/000.png", b"data")
        file.writestr(name, b"data")
    with pytest.raises(DataError):
        unpack(tmp_path / "evil.zip", tmp_path / "in" / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip", "in"]


def test_links_in_zips_are_refused(tmp_path):
    info = zipfile.ZipInfo("a")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")


def test_encrypted_zips_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as file:
        file.writestr("a", b"data")
    content = bytearray((tmp_path / "locked.zip").read_bytes())
    central = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[central + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(tmp_path / "locked.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip", "header"])
def test_bombs_do_not_go_off(tmp_path, kind):
    """80 MB of zeros in some 80 kB: in a tar, in a zip, and in the header of a tar."""
    path, zeros = tmp_path / "bomb", bytes(80 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a", zeros)
    elif kind == "tar":
        tar_of(path, (tarfile.TarInfo("a"), zeros), mode="w:gz")
    else:
        info = tarfile.TarInfo("a")
        info.type, info.size = tarfile.XHDTYPE, len(zeros)
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(info.tobuf(tarfile.USTAR_FORMAT) + zeros)
    with pytest.raises(DataError, match="decompression bomb"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_members_are_refused(tmp_path):
    archive = tar_of(tmp_path / "many.tar", *(entry(f"{index}.png") for index in range(20)))
    with pytest.raises(DataError, match="more than 10 members"):
        unpack(archive, tmp_path / "out", Limits(members=10))


def test_limits_of_size(tmp_path):
    limits = Limits(total=1000, ratio=10, always=100)
    assert [limits.allowed(size) for size in (1, 50, 10_000)] == [100, 500, 1000]


@pytest.mark.parametrize("damage", ["empty", "text", "cut tar.gz", "cut zip"])
def test_damaged_archives_are_refused(tmp_path, damage):
    path = tmp_path / "damaged"
    whole = tar_bytes(trees.mvtec(tmp_path / "source"))
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        file.writestr("a", bytes(1000))
    contents = {
        "empty": b"",
        "text": b"<html>moved</html>" * 100,
        "cut tar.gz": whole[: len(whole) // 2],
        "cut zip": memory.getvalue()[:500],
    }
    path.write_bytes(contents[damage])
    with pytest.raises(DataError, match="no whole tar or zip"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_honest_archives_come_out_whole(tmp_path, mode):
    source = trees.mvtec(tmp_path / "source")
    path = tmp_path / "archive"
    if mode == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for image in source.rglob("*"):
                file.write(image, image.relative_to(source))
    else:
        with tarfile.open(path, mode) as tar:
            tar.add(source, arcname=".")
    unpack(path, tmp_path / "out")
    files = {p.relative_to(source): p.read_bytes() for p in source.rglob("*") if p.is_file()}
    assert files == {p.relative_to(tmp_path / "out"): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
