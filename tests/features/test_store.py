"""Features are extracted once, keyed by backbone and image content, and never mixed up."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.datasets import Product, Record, load_image, open_dataset
from moleflow_lib.errors import ArtifactError, DataError
from moleflow_lib.features.extractor import PatchExtractor, build_extractor
from moleflow_lib.features.filterbank import FilterBank
from moleflow_lib.features.reused_features import groups_of
from moleflow_lib.features.store import FeatureStore
from moleflow_lib.storage import known_hashes
from moleflow_lib.storage.keys import file_sha256

CONFIG = ExperimentConfig().with_(backbone="filterbank", image_size=56, device="cpu")


@pytest.fixture
def product(tiny_data: Path) -> Product:
    return open_dataset(tiny_data, ["nut"])[0]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(
        tmp_path / "features",
        build_extractor(CONFIG.features, CONFIG.data.image_size, device="cpu"),
        batch_size=4,
    )


def test_features_are_those_of_each_image_in_order(store: FeatureStore, product: Product) -> None:
    features = store.features(product.train, "nut-train")
    for record, patches in zip(product.train, features.patches, strict=True):
        alone = store.extractor(load_image(record.image, 56)[None].copy())[0]
        assert torch.allclose(patches.float(), alone, atol=2e-3, rtol=2e-3)
    assert features.patches.dtype == torch.float16 and features.images_per_second > 0
    assert torch.allclose(features.image_means(), features.patches.float().mean(dim=(1, 2)))


def test_the_second_time_nothing_is_extracted(
    store: FeatureStore, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.features(product.train, "nut-train")

    def fail(*_: object) -> None:
        raise AssertionError("extracted again")

    monkeypatch.setattr(PatchExtractor, "forward", fail)
    assert torch.equal(store.features(product.train, "nut-train").patches, first.patches)


def test_the_second_time_no_image_is_read_whatever_the_backbone(
    store: FeatureStore, product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = time.time_ns() + 10**10
    monkeypatch.setattr(known_hashes, "time", SimpleNamespace(time_ns=lambda: late))
    store.features(product.train, "nut-train")
    monkeypatch.setattr(known_hashes, "file_sha256", lambda path: pytest.fail(f"read {path}"))
    assert store.holds(product.train, "nut-train")
    other = FeatureStore(tmp_path / "features", store.extractor, resize="crop")
    assert not other.holds(product.train, "nut-train")


def test_two_at_once_extract_once_and_agree(
    store: FeatureStore, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract, calls = FeatureStore._extract, []

    def slow(self: FeatureStore, *given: object) -> None:
        calls.append(given)
        time.sleep(0.5)
        extract(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(FeatureStore, "_extract", slow)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: store.features(product.train, "nut-train"), range(2)))
    assert len(calls) == 1 and torch.equal(both[0].patches, both[1].patches)
    assert not [path for path in store.folder.iterdir() if path.name.startswith(".")], "no lock is left"


def test_another_image_content_is_another_key(store: FeatureStore, product: Product, tmp_path: Path) -> None:
    first = store.features(product.train, "nut-train")
    moved = tmp_path / "moved.png"
    shutil.copy(product.train[0].image, moved)
    same = (replace(product.train[0], image=moved), *product.train[1:])
    assert store.features(same, "nut-train").key == first.key
    assert store.features(product.train[::-1], "nut-train").key != first.key


def test_a_cache_of_another_backbone_is_refused(
    store: FeatureStore, product: Product, tmp_path: Path
) -> None:
    store.features(product.train, "nut-train")
    config = CONFIG.with_(backbone="random:vit_tiny_patch16_224", image_size=64)
    other = FeatureStore(tmp_path / "features", build_extractor(config.features, config.data.image_size))
    other.features(product.train, "nut-train")
    for suffix in (".json", ".safetensors"):  # somebody copies the files over
        source, target = (next(s.folder.glob(f"*{suffix}")) for s in (store, other))
        shutil.copy(source, target)
    with pytest.raises(ArtifactError, match="filterbank"):
        other.features(product.train, "nut-train")


def test_a_damaged_cache_is_found(store: FeatureStore, product: Product) -> None:
    store.features(product.train, "nut-train")
    path = next(store.folder.glob("*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="damaged"):
        store.features(product.train, "nut-train")


def test_an_unreadable_image_is_named_and_nothing_is_stored(
    store: FeatureStore, product: Product, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(product.train[0].image.read_bytes()[:200])
    with pytest.raises(DataError, match=r"broken\.png"):
        store.features((*product.train, replace(product.train[0], image=broken)), "nut-train")
    assert not list(store.folder.glob("*"))


def test_features_that_are_not_finite_are_refused(
    store: FeatureStore, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        PatchExtractor, "forward", lambda _, images: torch.full((len(images), 2, 2, 4), np.inf)
    )
    with pytest.raises(DataError, match="not finite"):
        store.features(product.train, "nut-train")


def test_no_images_is_an_error(store: FeatureStore) -> None:
    with pytest.raises(DataError, match="at least one image"):
        store.features((), "nothing")


def test_what_is_stored_is_known_by_content_and_asking_extracts_nothing(
    store: FeatureStore, product: Product
) -> None:
    assert not store.holds(product.train, "nut-train") and not store.folder.exists()
    store.features(product.train, "nut-train")
    assert store.holds(product.train, "nut-train")
    assert not store.holds(product.train[1:], "nut-train") and not store.holds(product.test, "nut-train")


class _Company(PatchExtractor):
    """A network whose features depend on everything that is batched with an image, as last bits may."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return super().features(images) + float(images.double().mean()) / 64


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    decoded: list[Path] = []

    def read(path: Path, *more: object) -> np.ndarray:
        decoded.append(path)
        return load_image(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("moleflow_lib.features.takes.load_image", read)
    return decoded


@pytest.mark.parametrize("place", [6, 0, 5])  # the new image: behind, before and among six
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_one_image_more_is_one_image_decoded_and_equal_to_all_anew(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, place: int
) -> None:
    if device == "gpu":
        monkeypatch.setattr(PatchExtractor, "one_by_one", False)
    network = FilterBank(56)
    kept, anew = (
        FeatureStore(tmp_path / name, _Company(network, "company", 56), batch_size=4) for name in ("a", "b")
    )
    known, more = product.train, product.test[0]
    kept.features(known, "nut-train")
    decoded = _counted(monkeypatch)
    grown = (*known[:place], more, *known[place:])
    found = kept.features(grown, "nut-train")
    expected = 1 if device == "cpu" else _in_new_groups(known, grown)
    assert len(decoded) == expected and more.image in decoded
    assert torch.equal(found.patches, anew.features(grown, "nut-train").patches)
    assert found.images_per_second > 0
    del decoded[:]
    fewer = kept.features(known[1:], "nut-train")
    assert len(decoded) == (0 if device == "cpu" else _in_new_groups(known, known[1:]))
    assert torch.equal(fewer.patches, anew.features(known[1:], "nut-train").patches)
    assert fewer.images_per_second > 0


def _in_new_groups(known: Sequence[Record], grown: Sequence[Record]) -> int:
    """Images of the groups of four that `grown` has and `known` has not."""
    before, after = (
        [tuple(contents[place]) for place in groups_of(contents, 4)]
        for contents in ([file_sha256(record.image) for record in records] for records in (known, grown))
    )
    return sum(len(group) for group in after if group not in before)


def test_one_image_more_changes_the_groups_around_it_alone() -> None:
    contents = [hashlib.sha256(bytes([number, 7])).hexdigest() for number in range(200)]
    before = groups_of(contents, 8)
    assert [place for cut in before for place in range(200)[cut]] == list(range(200))
    assert max(cut.stop - cut.start for cut in before) == 8 and len(before) < 50
    known = {tuple(contents[cut]) for cut in before}
    changed = []
    for place in range(200):
        grown = [*contents[:place], hashlib.sha256(b"new").hexdigest(), *contents[place:]]
        groups = [tuple(grown[cut]) for cut in groups_of(grown, 8)]
        changed.append(sum(len(group) for group in groups if group not in known))
    assert np.mean(changed) < 16, "two groups of the 200 images"


def test_what_is_damaged_or_made_otherwise_is_not_taken_over(
    store: FeatureStore, product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.features(product.train, "nut-train")
    decoded = _counted(monkeypatch)
    with monkeypatch.context() as other:
        other.setattr(PatchExtractor, "one_by_one", False)
        store.features(product.train[:5], "nut-train")
    assert len(decoded) == 5, "made as on a GPU"
    for path in store.folder.glob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    del decoded[:]
    store.features(product.train[:4], "nut-train")
    assert len(decoded) == 4, "damaged"


@pytest.mark.parametrize(
    "options",
    [
        {"backbone": "random:test_vit", "blocks": (1, 3)},
        {"backbone": "random:resnet18", "blocks": (2, 3), "feature_dim": 48},
    ],
)
def test_an_image_has_its_own_features_in_any_company_and_on_any_number_of_threads(
    options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.with_(image_size=64, **options)
    extractor = build_extractor(config.features, 64, device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([extractor(image[None]) for image in images])
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(extractor(images), alone), threads
            assert torch.equal(extractor(images[::-1]), alone.flip(0)), threads
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(PatchExtractor, "one_by_one", False)
    assert torch.allclose(extractor(images), alone, rtol=1e-5, atol=1e-5), "as a GPU takes them"
