"""Every problem of a dataset folder: names, pixels, copies across the split, counts.

`open_dataset` refuses what names and headers show; this also decodes every file, and finds what
would load and lie: black masks, copies between train and test, values that would be clipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm.std import tqdm

from data_prep.publishers import published_counts
from moleflow_lib.datasets.faults import ERROR, NOTE, Fault, FaultLog
from moleflow_lib.datasets.geometry import RESIZE_POLICIES, cut_defects
from moleflow_lib.datasets.images import ImageFault, read_image, read_mask, require_same_size
from moleflow_lib.datasets.layouts import Tree, survey
from moleflow_lib.datasets.records import Product, Record
from moleflow_lib.errors import DataError

__all__ = ["Examination", "examine"]

_WORKERS = 4
_PLAIN_MODES = ("RGB", "L", "1")
_ORIENTATION = 0x0112  # EXIF tag
_TO_SQUARE = "choose another resize policy or a larger size if these defects matter"


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What a check found."""

    root: Path
    layout: str
    products: tuple[Product, ...]
    faults: tuple[Fault, ...]  # errors first, then by product and file

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that make the data fail or lie."""
        return tuple(fault for fault in self.faults if fault.severity == ERROR)

    @property
    def notes(self) -> tuple[Fault, ...]:
        """What is worth knowing and needs no hand."""
        return tuple(fault for fault in self.faults if fault.severity == NOTE)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One record, decoded."""

    record: Record
    faults: tuple[Fault, ...]
    content: str  # SHA-256 of size and RGB values, or "" if unreadable


def examine(root: str | Path, size: int = 224) -> Examination:
    """Find every problem of a dataset folder.

    Args:
        root: dataset folder in any layout the library reads.
        size: network input size in pixels, at which cropped and vanishing defects are counted.

    Returns:
        All faults; a folder that cannot be read as a dataset at all is one fault.
    """
    root = Path(root)
    try:
        found = survey(root)
    except DataError as error:
        fault = Fault(kind="no-dataset", product="", file="", what=str(error), todo="then check again")
        return Examination(root=root, layout="unknown", products=(), faults=(fault,))
    seen = _decode_all(found.products, found.tree)
    faults = [*found.faults, *(fault for one in seen for fault in one.faults), *_copies(seen, found.tree)]
    published = published_counts(product.name for product in found.products)
    spoiled = {(fault.product, fault.file) for fault in faults if fault.severity == ERROR}
    for product in found.products:
        log = found.tree.log(product.name)
        _count_note(product, published.get(product.name), log)
        sound = [one for one in product.test if one.mask and (product.name, _name(one.mask, log)) not in spoiled]
        _geometry_notes(sound, size, log)
        faults += log.faults
    faults.sort(key=lambda fault: (fault.severity != ERROR, fault.product, fault.file, fault.kind))
    return Examination(root=root, layout=found.tree.layout, products=found.products, faults=tuple(faults))


def _name(path: Path, log: FaultLog) -> str:
    return path.relative_to(log.folder).as_posix()


def _decode_all(products: Sequence[Product], tree: Tree) -> list[_Seen]:
    records = [record for product in products for record in (*product.train, *product.test)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        looks = pool.map(lambda record: _look(record, tree.log(record.product)), records)
        return list(tqdm(looks, total=len(records), desc="checking", unit="image"))


def _look(record: Record, log: FaultLog) -> _Seen:
    """Decode one image and its mask; only faults and a hash are kept."""
    size, content = None, ""
    try:
        image = read_image(record.image)
        size = image.size
        content = hashlib.sha256(repr(size).encode() + image.tobytes()).hexdigest()
        _storage_notes(record.image, log)
    except ImageFault as fault:
        log.error(fault.kind, record.image, fault.what, fault.todo)
    if record.mask is not None:
        _look_at_mask(record.mask, size, log)
    return _Seen(record=record, faults=tuple(log.faults), content=content)


def _look_at_mask(path: Path, size: tuple[int, int] | None, log: FaultLog) -> None:
    try:
        mask = read_mask(path)
        if size is not None:
            require_same_size(path, mask.shape[::-1], size)
    except ImageFault as fault:
        log.error(fault.kind, path, fault.what, fault.todo)
        return
    if not mask.any():
        what = "is black by value: it marks no pixel (class indices would count, whatever they look like)"
        log.error("mask-black", path, what, "mark the defect, or move its image to test/good")


def _storage_notes(path: Path, log: FaultLog) -> None:
    """Ways of storing an image that are read rightly, and often not meant."""
    with Image.open(path) as image:
        if image.mode in ("P", "PA"):
            log.note("palette", path, "is a palette image", "nothing, it is read as its colours")
        elif image.has_transparency_data:
            log.note("alpha", path, "has an alpha channel, opaque everywhere", "nothing, the channel is dropped")
        elif image.mode not in _PLAIN_MODES:
            log.note("mode", path, f"has the colour mode {image.mode}", "nothing, it is read as RGB")
        if image.getexif().get(_ORIENTATION, 1) != 1:
            what = "asks viewers to turn it (EXIF orientation)"
            log.note("orientation", path, what, "nothing, it is read as stored, like its mask")


def _copies(seen: Sequence[_Seen], tree: Tree) -> list[Fault]:
    """Pictures that stand in train and test, or in test under two truths, by their pixels."""
    first: dict[str, list[Record]] = {}
    faults: list[Fault] = []
    for one in seen:
        if one.content:
            first.setdefault(one.content, []).append(one.record)
    for records in first.values():
        original = min(records, key=lambda record: record.split != "train")
        for record in records:
            contradicts = None not in (record.label, original.label) and record.label != original.label
            if record.split == "test" and (original.split == "train" or contradicts):
                log = tree.log(record.product)
                where = _name(original.image, tree.log(original.product))
                what = f"shows the same pixels as {original.product}/{where}"
                log.error("duplicate", record.image, what, "keep one of the two")
                faults += log.faults
    return faults


def _count_note(product: Product, published: tuple[int, int, int] | None, log: FaultLog) -> None:
    good, bad = (sum(record.label == label for record in product.test) for label in (0, 1))
    counted = (len(product.train), good, bad)
    if published is not None and published != counted:
        what = "has {} train, {} good and {} defective test images; published are {}, {} and {}".format(
            *counted, *published
        )
        log.note("count", None, what, "nothing if it is a part or another product; else extract the archive again")


def _geometry_notes(records: Sequence[Record], size: int, log: FaultLog) -> None:
    """What each resize policy does to the defects; files that cannot be read have their own line."""
    for policy in RESIZE_POLICIES:
        cuts = cut_defects(records, size, policy)
        cropped = [cut for cut in cuts if cut.lost > 0]
        gone = [cut for cut in cuts if cut.gone]
        if cropped:
            lost = sum(cut.lost == 1 for cut in cropped)
            what = f"with resize={policy}, {len(cropped)} of {len(records)} defects lose pixels, {lost} of them all"
            log.note("crop", None, what, "choose resize or pad if these defects matter")
        if small := [cut for cut in gone if cut.lost < 1]:
            names = ", ".join(f"{cut.record.defect}/{cut.record.image.name}" for cut in small[:3])
            what = f"with resize={policy} at {size} px, {len(small)} defect(s) shrink to nothing ({names})"
            log.note("vanish", None, what, _TO_SQUARE)
