"""Damaged copies: drawn from the photo alone, and only what their damage leaves in peace is used."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import Product, Record, load_image, open_dataset
from moleflow_lib.experiment import Experiment
from moleflow_lib.features import takes
from moleflow_lib.features.damaged_copies import copy_id, copy_owners, damaged_copy
from moleflow_lib.features.extractor import PatchExtractor, build_extractor
from moleflow_lib.features.filterbank import FilterBank
from moleflow_lib.features.store import Features, FeatureStore
from moleflow_lib.features.takes import Originals, Take
from moleflow_lib.inference.cross_fit import _part
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.storage.keys import file_sha256
from moleflow_lib.studies.baselines.flows import joined
from tests.features.test_store import _Company as Company

SIZE = 56


@pytest.fixture
def product(tiny_data: Path) -> Product:
    return open_dataset(tiny_data, ["nut"])[0]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    config = ExperimentConfig().with_(backbone="filterbank", image_size=SIZE, device="cpu")
    extractor = build_extractor(config.features, SIZE, device="cpu")
    return FeatureStore(tmp_path / "features", extractor, batch_size=4)


def _hashes(count: int) -> list[str]:
    return [hashlib.sha256(bytes([number])).hexdigest() for number in range(count)]


def test_all_photos_have_equally_many_and_one_photo_more_leaves_the_others_theirs() -> None:
    contents = _hashes(40)
    for copies in (0, 10, 40, 128):
        owners = copy_owners(contents, copies)
        counts = Counter(owner for owner, _ in owners)
        assert len(set(owners)) == len(owners) == copies
        assert max((counts[photo] for photo in range(40)), default=0) - min(counts[p] for p in range(40)) <= 1
    ids = {copy_id(contents[owner], number) for owner, number in copy_owners(contents, 128)}
    grown = [*contents, "0" * 64]
    again = {copy_id(grown[owner], number) for owner, number in copy_owners(grown, 128)}
    assert len(ids - again) <= 4


def test_damage_is_seen_where_it_is_said_to_be_and_nowhere_else() -> None:
    photo = np.random.default_rng(0).integers(40, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    shares = []
    for number in range(1, 30):
        copy, touched = damaged_copy(photo, "ab", number)
        assert copy.shape == photo.shape and copy.dtype == np.uint8 and touched.shape == (SIZE, SIZE)
        change = np.abs(copy.astype(float) - photo).mean(axis=2)
        assert change[~touched].mean() < 1 < 8 < change[touched].mean()
        shares.append(touched.mean())
        again, _ = damaged_copy(photo, "ab", number)
        assert np.array_equal(copy, again)
    assert 0.01 < np.mean(shares) < 0.25 and len({round(share, 6) for share in shares}) > 25
    assert not np.array_equal(damaged_copy(photo, "ab", 1)[0], damaged_copy(photo, "ac", 1)[0])


def test_a_copys_touched_patches_are_the_photos_and_its_others_are_its_own(
    store: FeatureStore, product: Product
) -> None:
    plain = store.features(product.train, "nut-train")
    found = store.features(product.train, "nut-train", copies=5)
    count = len(product.train)
    assert torch.equal(found.patches, plain.patches) and found.key != plain.key
    assert found.lesson.shape == (count + 5, *plain.patches.shape[1:]) and found.copies.shape[0] == 5
    assert found.owners[:count] == tuple(range(count))
    made_of = copy_owners([file_sha256(record.image) for record in product.train], 5)
    assert found.owners[count:] == tuple(owner for owner, _ in made_of)
    height, width = plain.patches.shape[1:3]
    for (owner, number), own in zip(made_of, found.copies, strict=True):
        record = product.train[owner]
        copy, pixels = damaged_copy(load_image(record.image, SIZE), file_sha256(record.image), number)
        touched = pixels.reshape(height, SIZE // height, width, SIZE // width).any(axis=(1, 3))
        alone = store.extractor(copy[None])[0].half()
        assert touched.any() and not touched.all()
        assert torch.equal(own[touched], plain.patches[owner][touched])
        assert torch.allclose(own[~touched].float(), alone[~touched].float(), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_photo_more_reads_few_photos_again_and_gives_the_same_bits(
    one_by_one: bool, store: FeatureStore, product: Product, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(type(store.extractor), "one_by_one", one_by_one)
    store.features(product.train[1:], "nut-train", copies=6)
    read: list[Path] = []

    def counted(path: Path, *given: object) -> np.ndarray:
        read.append(path)
        return load_image(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(takes, "load_image", counted)
    grown = store.features(product.train, "nut-train", copies=6)
    if one_by_one:
        assert len(read) <= 3, "the new photo, and at most two copies that it has or moved"
    fresh = FeatureStore(tmp_path / "fresh", store.extractor, batch_size=4)
    assert torch.equal(fresh.features(product.train, "nut-train", copies=6).lesson, grown.lesson)


def test_on_a_gpu_copies_follow_their_photos_into_another_company(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatchExtractor, "one_by_one", False)
    for records in (product.train[1:], product.train):  # the second finds the first's file
        kept, anew = (
            FeatureStore(tmp_path / name, Company(FilterBank(SIZE), "company", SIZE), batch_size=4)
            for name in ("kept", f"anew{len(records)}")
        )
        found = kept.features(records, "nut-train", copies=6)
        assert torch.equal(found.lesson, anew.features(records, "nut-train", copies=6).lesson)


def test_where_patches_overlap_what_looks_into_damage_is_touched() -> None:
    record = Record(product="nut", split="train", defect="good", image=Path("a.png"))
    photo = Take(record=record, owner=0, sha256="0a")
    copy = replace(photo, copy=1)
    pixels = np.zeros((1, 8, 8), dtype=bool)
    pixels[0, 2, 2] = True
    for overlap, touched in ((1, 1), (2, 9)):
        originals = Originals([photo, copy], overlap)
        originals.keep([photo], torch.ones(1, 4, 4, 1))
        assert originals.restored([copy], torch.zeros(1, 4, 4, 1), pixels).sum() == touched


def test_what_is_learned_without_some_images_knows_nothing_of_their_copies(
    store: FeatureStore, product: Product
) -> None:
    train = store.features(product.train, "nut-train", copies=9)
    kept = torch.arange(len(train.records)) % 2 == 0
    part = _part(train, kept, "key")
    images = kept.nonzero().flatten().tolist()
    rows = [row for row, owner in enumerate(train.owners) if owner in images]
    assert torch.equal(part.lesson, train.lesson[rows]) and len(part.copies)
    assert torch.equal(part.patches, train.patches[kept])
    assert [images[owner] for owner in part.owners] == [train.owners[row] for row in rows]


def test_several_tasks_as_one_have_all_images_before_all_copies(
    store: FeatureStore, product: Product
) -> None:
    halves = [product.train[::2], product.train[1::2]]
    parts: list[Features] = [
        store.features(records, f"part-{index}", copies=3) for index, records in enumerate(halves)
    ]
    whole = joined(parts)
    first, second = (len(records) for records in halves)
    assert torch.equal(whole.patches, torch.cat([part.patches for part in parts]))
    assert torch.equal(whole.copies, torch.cat([part.copies for part in parts]))
    behind = [first + owner for owner in parts[1].owners[second:]]
    assert whole.owners == (*range(first + second), *parts[0].owners[first:], *behind)


def test_whitening_and_stored_patches_know_the_copies_and_the_prototype_does_not(
    tiny_config: Callable[..., ExperimentConfig],
) -> None:
    options = {"whitening": "full", "score_parts": ("flow", "memory"), "memory_size": 40, "steps": 2}
    config = tiny_config(classes=("leather", "nut"), damaged_copies=12, **options)
    experiment = Experiment(config)
    experiment.learn()
    plain = Experiment(config.with_(damaged_copies=0))
    plain.learn()
    for task, other in zip(experiment.detector.tasks, plain.detector.tasks, strict=True):
        train = experiment.features(experiment.tasks[0 if task.name == "leather" else 1], "train")
        moments = RunningMoments.of_patches(train.lesson)
        assert torch.allclose(task.flow.whitening.mean.double(), moments.mean, atol=1e-4)
        assert not torch.equal(task.flow.whitening.mean, other.flow.whitening.mean)
        own, theirs = task.prototype.state(), other.prototype.state()
        assert all(torch.equal(own[name], theirs[name]) for name in theirs)
        assert task.bank is not None and int(task.bank.owner.max()) < len(train.records)
        rows = {tuple(row) for row in train.copies.flatten(0, 2).tolist()}
        assert any(tuple(row) in rows for row in task.bank.patches.tolist()), "some are of copies"
    again = Experiment(config)
    assert all(history.resumed for history in again.learn())
