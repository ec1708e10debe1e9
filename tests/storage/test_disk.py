"""What a disk refuses is told with its path and a remedy; what killed writers began is removed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from moleflow_lib.errors import ArtifactError, DiskError
from moleflow_lib.storage import artifacts, disk

KILLED = """
import os, pathlib, signal, sys
from moleflow_lib.storage import disk

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

os.replace = die
disk.write_bytes(pathlib.Path(sys.argv[1]), b"half")
"""


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "tasks"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder / "a.json")], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = folder.iterdir()
    living = left.with_name(left.name.replace(f"-{left.name.split('-')[2]}-", f"-{os.getpid()}-"))
    living.write_bytes(b"being written")
    foreign = left.with_name(".writing-0badcafe-1-x")
    foreign.write_bytes(b"of another machine")
    disk.clean_up(tmp_path)
    assert sorted(folder.iterdir()) == sorted([living, foreign])
    long_ago = time.time() - 2 * 86_400
    os.utime(foreign, (long_ago, long_ago))
    disk.clean_up(tmp_path)
    assert list(folder.iterdir()) == [living]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full; free space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "Input/output error; check the disk"),
    ],
)
def test_a_write_that_the_disk_refuses_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    monkeypatch.setattr(disk.os, "fsync", _failing(number))
    with pytest.raises(DiskError, match=told) as caught:
        artifacts.save_artifact(tmp_path / "thing", {"a": torch.zeros(2)}, {"key": "k"})
    assert str(tmp_path / "thing.safetensors") in str(caught.value) and "Errno" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.json").mkdir()
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "deep" / "x.json"):
        with pytest.raises(DiskError, match="is a file, not a folder|a file lies where a folder is needed"):
            disk.write_json(path, {})
    with pytest.raises(DiskError, match="a folder lies where the file belongs"):
        disk.write_json(tmp_path / "folder.json", {})
    with pytest.raises(DiskError, match="a folder lies where the file belongs"):
        disk.read_json(tmp_path / "folder.json")
    with pytest.raises(DiskError, match="it is not there"):
        disk.read_json(tmp_path / "nothing.json")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "[" * 100_000, "{", "\x00"])
def test_json_of_another_shape_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    artifacts.save_artifact(tmp_path / "thing", {"a": torch.zeros(2)}, {"key": "k"})
    (tmp_path / "thing.json").write_text(text)
    with pytest.raises(ArtifactError, match="delete it and run again"):
        artifacts.load_artifact(tmp_path / "thing")


def test_no_entry_of_a_manifest_can_be_lost_or_changed(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    artifacts.save_artifact(path, {"a": torch.zeros(2)}, {"key": "k", "history": {"steps": [1, 2.5]}})
    whole = json.loads(path.with_suffix(".json").read_text())
    for name in whole:
        for changed in ({n: v for n, v in whole.items() if n != name}, {**whole, name: None}):
            path.with_suffix(".json").write_text(json.dumps(changed))
            with pytest.raises(ArtifactError, match="delete it and run again"):
                artifacts.load_artifact(path)
    path.with_suffix(".json").write_text(json.dumps(dict(reversed(whole.items()))))
    assert artifacts.load_artifact(path)[1]["key"] == "k", "the order of entries says nothing"


def test_room_is_there_until_it_is_needed(tmp_path: Path) -> None:
    with disk.room_kept(tmp_path, 1000) as room:
        assert room.path.stat().st_size == 1000
        with room.lent():
            assert not room.path.exists()
        assert room.path.stat().st_size == 1000
    assert list(tmp_path.iterdir()) == []
