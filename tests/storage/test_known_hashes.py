"""A noted hash is that of the file as it is, and a file as it was noted is not read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from moleflow_lib.errors import DiskError
from moleflow_lib.storage import known_hashes
from moleflow_lib.storage.keys import file_sha256
from moleflow_lib.storage.known_hashes import noted_sha256


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in made:
        path.write_bytes(path.name.encode())
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, in order."""
    seen: list[Path] = []
    monkeypatch.setattr(known_hashes, "file_sha256", lambda path: seen.append(path) or file_sha256(path))
    return seen


@pytest.fixture
def later(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds have passed since the files were made."""
    made = max(path.stat().st_ctime_ns for path in files)

    def ahead(seconds: float) -> None:
        clock = SimpleNamespace(time_ns=lambda: made + int(seconds * 1e9))
        monkeypatch.setattr(known_hashes, "time", clock)

    return ahead


def _right(files: list[Path], note: Path) -> bool:
    return noted_sha256(files, note) == [file_sha256(path) for path in files]


def test_a_file_that_did_not_change_is_not_read_again(
    files: list[Path], read: list[Path], later: Callable, tmp_path: Path
) -> None:
    later(3)
    assert _right(files, tmp_path / "note.json") and read == files
    when = (tmp_path / "note.json").stat().st_mtime_ns
    assert _right(files, tmp_path / "note.json") and read == files
    assert _right(files[1:], tmp_path / "note.json") and read == files
    assert (tmp_path / "note.json").stat().st_mtime_ns > when, "of the files asked for last"


def test_a_change_is_noticed_though_size_and_time_of_content_are_put_back(
    files: list[Path], read: list[Path], later: Callable, tmp_path: Path
) -> None:
    later(3)
    noted_sha256(files, tmp_path / "note.json")
    before = files[0].stat()
    time.sleep(0.05)  # the disk's clock ticks
    files[0].write_bytes(b"A.png")
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    after = files[0].stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert _right(files, tmp_path / "note.json") and read == [*files, files[0]]
    os.replace(files[1], files[0])
    assert _right(files[:1], tmp_path / "note.json") and read[3:] == files[:1], "another file of that name"


def test_a_file_that_has_just_changed_is_not_noted(
    files: list[Path], read: list[Path], later: Callable, tmp_path: Path
) -> None:
    for ahead, times in ((0.5, 1), (1.9, 2), (2.1, 3), (9.0, 3)):
        later(ahead)
        assert _right(files, tmp_path / "note.json") and read == files * times, ahead


@pytest.mark.parametrize("damage", [b"", b"junk", b"[]", b"{}", b'{"files": 3, "files_sha256": ""}'])
def test_a_damaged_note_is_written_anew(
    files: list[Path], read: list[Path], later: Callable, tmp_path: Path, damage: bytes
) -> None:
    later(3)
    noted_sha256(files, tmp_path / "note.json")
    whole = (tmp_path / "note.json").read_bytes()
    other = whole.replace(file_sha256(files[0]).encode(), b"0" * 64)
    for broken in (damage, other):
        (tmp_path / "note.json").write_bytes(broken)
        assert _right(files, tmp_path / "note.json")
        assert (tmp_path / "note.json").read_bytes() == whole
    assert read == files * 3 and len(json.loads(whole)["files"]) == 2


def test_a_disk_that_cannot_be_written_keeps_no_note_and_says_nothing(
    files: list[Path], later: Callable, tmp_path: Path
) -> None:
    later(3)
    assert _right(files, files[0] / "note.json"), "a file lies where a folder is needed"
    with pytest.raises(DiskError, match="gone.png"):
        noted_sha256([tmp_path / "gone.png"], tmp_path / "note.json")
