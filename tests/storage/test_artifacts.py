"""Files are written whole or not at all, and read only if intact."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from moleflow_lib.errors import ArtifactError
from moleflow_lib.storage import artifacts, disk


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "thing"
    artifacts.save_artifact(path, {"a": torch.arange(6.0).view(2, 3), "empty": torch.zeros(0)}, {"key": "k"})
    return path


def test_round_trip(stored: Path) -> None:
    tensors, manifest = artifacts.load_artifact(stored, expect={"key": "k"})
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3)) and manifest["key"] == "k"


def test_an_interrupted_write_leaves_the_old_file(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (stored.with_suffix(".json")).read_bytes()

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(disk.os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        disk.write_json(stored.with_suffix(".json"), {"other": 1})
    assert stored.with_suffix(".json").read_bytes() == before
    assert sorted(p.name for p in stored.parent.iterdir()) == ["thing.json", "thing.safetensors"]


def test_without_its_manifest_an_artifact_does_not_exist(stored: Path) -> None:
    stored.with_suffix(".json").unlink()
    assert not artifacts.artifact_exists(stored)


@pytest.mark.parametrize("damage", ["flip", "cut", "manifest", "schema"])
def test_damage_is_found(stored: Path, damage: str) -> None:
    tensors, manifest = stored.with_suffix(".safetensors"), stored.with_suffix(".json")
    data = bytearray(tensors.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
        tensors.write_bytes(data)
    elif damage == "cut":
        tensors.write_bytes(data[:-3])
    elif damage == "manifest":
        manifest.write_text("{")
    else:
        manifest.write_text(manifest.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(ArtifactError, match="delete it"):
        artifacts.load_artifact(stored)


def test_an_artifact_of_something_else_is_refused(stored: Path) -> None:
    with pytest.raises(ArtifactError, match="expected 'other', found 'k'"):
        artifacts.load_artifact(stored, expect={"key": "other"})


def test_hash_sees_value_name_shape_and_type() -> None:
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3).half()},
        {"a": torch.ones(2, 3)},
    ]
    hashes = {artifacts.tensors_sha256(tensors) for tensors in [base, *others]}
    assert len(hashes) == 5 and artifacts.tensors_sha256({"a": torch.zeros(2, 3)}) in hashes


def test_not_a_number_never_reaches_a_result_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        artifacts.write_json(tmp_path / "r.json", {"x": float("nan")})


def test_kept_results_are_made_once_and_anew_when_what_they_rest_on_changes(tmp_path: Path) -> None:
    made = []

    def keep(*made_from: object) -> float:
        def make() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
            made.append(made_from)
            return {"a": torch.tensor(float(len(made)))}, {"kind": "number"}

        tensors, manifest = artifacts.kept_artifact(tmp_path, "thing", made_from, make)
        assert manifest["kind"] == "number"
        return float(tensors["a"])

    assert [keep(1, "x"), keep(1, "x"), keep(2, "x"), keep(1, "x")] == [1.0, 1.0, 2.0, 1.0] and made == [
        (1, "x"),
        (2, "x"),
    ]


def test_a_streamed_artifact_is_the_one_that_is_saved_whole(tmp_path: Path) -> None:
    whole = torch.randn(7, 2, 3).half()
    artifacts.save_artifact(tmp_path / "saved", {"patches": whole}, {"key": "k"})
    alive = []

    def chunks() -> Iterator[torch.Tensor]:
        for chunk in whole.split(3):
            assert [ref for ref in alive if ref() is not None] == []  # a written chunk is let go
            made = chunk.clone()
            alive.append(weakref.ref(made))
            yield made
            del made

    artifacts.stream_artifact(tmp_path / "streamed", "patches", (7, 2, 3), chunks(), lambda: {"key": "k"})
    for suffix in (".safetensors", ".json"):
        saved, streamed = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("saved", "streamed"))
        assert saved == streamed


@pytest.mark.parametrize("rows", [2, 4])
def test_a_stream_of_another_length_or_with_an_error_leaves_nothing(tmp_path: Path, rows: int) -> None:
    def failing() -> Iterator[torch.Tensor]:
        yield torch.zeros(1, 2)
        raise KeyboardInterrupt

    with pytest.raises(ArtifactError, match="expected 12 bytes of a"):
        artifacts.stream_artifact(tmp_path / "x", "a", (3, 2), [torch.zeros(rows, 2)], dict)
    with pytest.raises(KeyboardInterrupt):
        artifacts.stream_artifact(tmp_path / "x", "a", (3, 2), failing(), dict)
    assert list(tmp_path.iterdir()) == []
