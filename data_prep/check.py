"""Every problem of a dataset folder: names, pixels, copies across the split, counts.

`open_dataset` refuses what names and headers show; this also decodes every file, and finds what
would load and lie: black masks, copies between train and test, values that would be clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tqdm.std import tqdm

from data_prep.look import Look, look_at
from data_prep.product_notes import product_faults
from data_prep.publishers import published_counts
from moleflow_lib.datasets.faults import ERROR, NOTE, Fault, file_name
from moleflow_lib.datasets.layouts import Tree, survey
from moleflow_lib.datasets.records import Product, Record
from moleflow_lib.datasets.shared_images import SHARED_TODO
from moleflow_lib.datasets.unused_files import Unused
from moleflow_lib.errors import DataError

__all__ = ["Examination", "examine"]

_WORKERS = 4


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What a check found."""

    root: Path
    layout: str
    products: tuple[Product, ...]
    faults: tuple[Fault, ...]  # errors first, then by product and file
    unused: tuple[Unused, ...] = ()  # files that no record uses

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that make the data fail or lie."""
        return tuple(fault for fault in self.faults if fault.severity == ERROR)

    @property
    def notes(self) -> tuple[Fault, ...]:
        """What is worth knowing and needs no hand."""
        return tuple(fault for fault in self.faults if fault.severity == NOTE)


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
    looks = _look_at_all(found.products, found.tree)
    faults = [*found.faults, *(fault for look in looks for fault in look.faults)]
    faults += [*_copies(looks, found.tree), *_shared(looks, found.tree)]
    published = published_counts(product.name for product in found.products)
    for product in found.products:
        own = [look for look in looks if look.record.product == product.name]
        log = found.tree.log(product.name)
        faults += product_faults(product, own, published.get(product.name), size, log)
    faults.sort(key=lambda fault: (fault.severity != ERROR, fault.product, fault.file, fault.kind))
    return Examination(
        root=root,
        layout=found.tree.layout,
        products=found.products,
        faults=tuple(faults),
        unused=found.unused,
    )


def _look_at_all(products: Sequence[Product], tree: Tree) -> list[Look]:
    records = [record for product in products for record in (*product.train, *product.test)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        looks = pool.map(lambda record: look_at(record, tree.log(record.product)), records)
        return list(tqdm(looks, total=len(records), desc="checking", unit="image"))


def _copies(looks: Sequence[Look], tree: Tree) -> list[Fault]:
    """Pictures that stand in train and test, or in test under two truths, by their pixels."""
    alike: dict[str, list[Record]] = {}
    faults: list[Fault] = []
    for look in looks:
        if look.content:
            alike.setdefault(look.content, []).append(look.record)
    for records in alike.values():
        original = min(records, key=lambda record: record.split != "train")
        for record in records:
            if _is_forbidden_copy(record, original):
                log = tree.log(record.product)
                where = file_name(original.image, tree.log(original.product).folder)
                what = f"shows the same pixels as {original.product}/{where}"
                log.error("duplicate", record.image, what, "keep one of the two")
                faults += log.faults
    return faults


def _shared(looks: Sequence[Look], tree: Tree) -> list[Fault]:
    """Products that share training images with an earlier one, by their pixels."""
    contents: dict[str, list[str]] = {}
    for look in looks:
        if look.record.split == "train" and look.content and not look.flat:
            contents.setdefault(look.record.product, []).append(look.content)
    faults: list[Fault] = []
    for one, other in combinations(contents, 2):
        known = set(contents[one])
        if count := sum(content in known for content in contents[other]):
            log = tree.log(other)
            what = f"has {count} of {len(contents[other])} training images that {one} has too, pixel by pixel"
            log.note("shared", None, what, SHARED_TODO)
            faults += log.faults
    return faults


def _is_forbidden_copy(record: Record, original: Record) -> bool:
    contradicts = None not in (record.label, original.label) and record.label != original.label
    return record.split == "test" and (original.split == "train" or contradicts)
