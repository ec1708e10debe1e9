"""Features on disk: every image goes through the frozen backbone once, whatever follows.

Stored as float16, one file a product and split, keyed by the backbone's identity and the images'
contents, and memory-mapped when read; hashes of contents are noted beside them. Where some images of a
product were extracted before, only the others are decoded; on a GPU, which takes several images at once, a
new image's group with it. What a new file takes over from an earlier one went through the network on such a
device and in the same group, so that it is equal to the bit to one that was made from nothing. Damaged copies
of the images follow them in the same file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from moleflow_lib.datasets import READER_VERSION, Record
from moleflow_lib.errors import DataError, counted
from moleflow_lib.features.extractor import PatchExtractor
from moleflow_lib.features.half_precision import beyond_float16
from moleflow_lib.features.reused_features import earlier_groups, groups_of
from moleflow_lib.features.takes import Originals, Take, takes_of
from moleflow_lib.runtime import progress
from moleflow_lib.storage.artifacts import artifact_exists, load_artifact, stream_artifact
from moleflow_lib.storage.keys import digest, file_stem
from moleflow_lib.storage.known_hashes import noted_sha256
from moleflow_lib.storage.run_lock import turn

__all__ = ["FeatureStore", "Features"]

_DECODERS = 4


@dataclass(frozen=True, kw_only=True)
class Features:
    """Patch features of some images, in the order of their records."""

    lesson: torch.Tensor  # (N + M, H, W, D) float16, memory-mapped: the images, then their damaged copies
    owners: tuple[int, ...]  # (N + M) which image each of them is, or is a copy of
    records: tuple[Record, ...]  # (N)
    contents: tuple[str, ...]  # (N) SHA-256 of each image's file
    key: str  # digest of the images' contents and the backbone
    images_per_second: float  # when they were extracted, decoding included
    bytes: int  # on disk

    @property
    def patches(self) -> torch.Tensor:
        """Those of the images alone (N, H, W, D)."""
        return self.lesson[: len(self.records)]

    @property
    def copies(self) -> torch.Tensor:
        """Those of the damaged copies alone (M, H, W, D)."""
        return self.lesson[len(self.records) :]

    def image_means(self) -> torch.Tensor:
        """Mean patch feature of each image (N, D) float32, what the router sees."""
        return torch.cat([chunk.float().mean(dim=(1, 2)) for chunk in self.patches.split(64)])


class FeatureStore:
    """Extracts features once and keeps them.

    Args:
        folder: where the files go.
        extractor: the frozen backbone.
        resize: how images become square, see `load_image`.
        batch_size: images a forward pass.
    """

    def __init__(
        self, folder: Path, extractor: PatchExtractor, resize: str = "resize", batch_size: int = 32
    ) -> None:
        self.extractor, self.resize, self.batch_size = extractor, resize, batch_size
        self.identity = {**extractor.identity, "resize": resize, "reader": READER_VERSION}
        self.key = digest(self.identity)
        self.hashes = folder / "hashes"  # of images, whatever the backbone
        self.folder = folder / f"{extractor.tag.split('[')[0].replace(':', '_')}-{self.key[:12]}"

    def features(self, records: Sequence[Record], name: str, copies: int = 0) -> Features:
        """Features of some images, from disk if they were extracted before.

        Args:
            records: the images.
            name: what they are called in file names and progress bars, e.g. `bottle-train`.
            copies: damaged copies of them that follow, see `damaged_copies`; patches that the damage touches
                are those of the image itself.

        Raises:
            ArtifactError: a stored file is damaged or belongs to another backbone.
            DataError: an image cannot be read, or its features are not finite.
        """
        takes = self._takes(records, name, copies)
        key, path = self._place(takes, name)
        if not artifact_exists(path):
            with turn(path.with_name(f".{path.name}.lock")):  # runs that share a folder extract once
                if not artifact_exists(path):
                    self._extract(takes, name, path, key)
        tensors, manifest = load_artifact(path, expect={"key": key, "identity": self.identity})
        return Features(
            lesson=tensors["patches"],
            owners=tuple(take.owner for take in takes),
            records=tuple(records),
            contents=tuple(take.sha256 for take in takes if not take.copy),
            key=key,
            bytes=tensors["patches"].nbytes,
            images_per_second=manifest["images_per_second"],
        )

    def holds(self, records: Sequence[Record], name: str, copies: int = 0) -> bool:
        """Whether the features of these very images are on disk, so that `features` would extract none."""
        return artifact_exists(self._place(self._takes(records, name, copies, keep=False), name)[1])

    @property
    def _circumstances(self) -> dict[str, object]:
        """What last bits of features may depend on beside the backbone and the images."""
        return {"device": self.extractor.mean.device.type, "images_at_once": self._at_most}

    @property
    def _at_most(self) -> int:
        return 1 if self.extractor.one_by_one else self.batch_size

    def _takes(self, records: Sequence[Record], name: str, copies: int, *, keep: bool = True) -> list[Take]:
        if not records:
            raise DataError(f"{name}: expected at least one image, got none")
        note = self.hashes / f"{file_stem(name)}.json"
        contents = noted_sha256([record.image for record in records], note, keep=keep)
        return takes_of(records, contents, copies)

    def _place(self, takes: Sequence[Take], name: str) -> tuple[str, Path]:
        """Key and artifact of some takes' features."""
        key = digest(self.key, [take.id for take in takes])
        return key, self.folder / f"{file_stem(name)}-{key[:12]}"

    def _extract(self, takes: Sequence[Take], name: str, path: Path, key: str) -> None:
        start = time.perf_counter()
        ids = [take.id for take in takes]
        places = groups_of(ids, self._at_most)
        groups = [tuple(ids[place]) for place in places]
        made_by = {"identity": self.identity, "circumstances": self._circumstances}
        known = earlier_groups(self.folder, file_stem(name), made_by, self._at_most, groups)
        if not self.extractor.one_by_one:  # a copy holds patches of its photo, whose company may be another
            copies = {take.id for take in takes if take.copy}
            known = {group: kept for group, kept in known.items() if copies.isdisjoint(group)}
        fresh = [takes[place] for place, group in zip(places, groups, strict=True) if group not in known]
        saved = sum(group.seconds for group in known.values())

        def manifest() -> dict[str, object]:
            """What the file says of itself, once all is extracted."""
            return {
                "kind": "features",
                "key": key,
                **made_by,
                "images_per_second": len(takes) / (time.perf_counter() - start + saved),
                "images": [take.title for take in takes],
                "sha256": ids,
            }

        def rows() -> Iterator[torch.Tensor]:
            """Features of one group after another, taken over or extracted."""
            kept = sum(len(group) for group in groups if group in known)
            made = self._extracted(fresh, f"{name}, {counted(kept, 'image')} kept" if kept else name)
            originals = Originals(takes, self.extractor.overlap)
            for place, group in zip(places, groups, strict=True):
                own = takes[place]
                patches, touched = (known[group].patches, None) if group in known else next(made)
                originals.keep(own, patches)
                yield patches if touched is None else originals.restored(own, patches, touched)
            next(made, None)  # its bar ends

        shape = (len(takes), *self.extractor.grid, self.extractor.feature_dim)
        stream_artifact(path, "patches", shape, rows(), manifest)

    def _extracted(
        self, groups: Sequence[Sequence[Take]], name: str
    ) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        """Features (B, H, W, D) float16 of one group of takes after another, B its length, and their touched
        pixels (B, S, S).
        """
        seen = self._decoded([take for group in groups for take in group], name)
        a_call = self.batch_size if self.extractor.one_by_one else 1  # groups
        for start in range(0, len(groups), a_call):
            called = groups[start : start + a_call]
            images, touched = zip(*islice(seen, sum(map(len, called))), strict=True)
            features = self.extractor(np.stack(images))
            patches = features.half().cpu()
            finite = patches.isfinite().flatten(1).all(dim=1)
            if not finite.all():
                bad = int((~finite).nonzero()[0])
                image = [take.record.image for group in called for take in group][bad]
                raise DataError(f"{image}: its features {beyond_float16(features[bad])}")
            sizes = [len(group) for group in called]
            yield from zip(
                patches.split(sizes), np.split(np.stack(touched), np.cumsum(sizes)[:-1]), strict=True
            )
        next(seen, None)

    def _decoded(self, takes: Sequence[Take], name: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What `Take.read` gives, read on a few threads, a batch ahead of the network."""

        def read(take: Take) -> tuple[np.ndarray, np.ndarray]:
            return take.read(self.extractor.image_size, self.resize, self.extractor.interpolation)

        starts = range(0, len(takes), self.batch_size)
        with ThreadPoolExecutor(_DECODERS) as pool:

            def load(start: int) -> list:
                return [pool.submit(read, take) for take in takes[start : start + self.batch_size]]

            ahead = load(0)
            for start in progress(starts, f"features {name}"):
                batch, ahead = ahead, load(start + self.batch_size)
                for future in batch:
                    yield future.result()
