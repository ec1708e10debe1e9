"""What opening a dataset looks at: every header, and the pixels of what looks suspicious.

Decoded at once, so that no run learns of it late: files that end before their format does, images
and masks with transparency, masks that are lossy or have a palette of their own, and a few masks of
each product, which tell whether black and white were mistaken for each other. Photos without a label are all
decoded: they come in while a product is in use, so a bad one is left out and listed, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from moleflow_lib.datasets.cut_off_files import looks_cut
from moleflow_lib.datasets.faults import ERROR, Fault, FaultLog
from moleflow_lib.datasets.headers import Header
from moleflow_lib.datasets.image_files import ImageFault
from moleflow_lib.datasets.images import read_header, read_image, read_mask, require_same_size
from moleflow_lib.datasets.records import Product, Record
from moleflow_lib.datasets.unused_files import DAMAGED, Unused

__all__ = ["first_look", "inverted"]

_WORKERS = 4
_SAMPLED = 4  # masks of a product that are looked at
_MOST = 0.5  # share of an image that no mask marks on most images, unless it is inverted


def first_look(product: Product, log: FaultLog) -> tuple[Product, list[Fault]]:
    """The product without photos to be scored that cannot be read, and faults that would stop a run or make
    it lie.
    """
    new = [record for record in product.test if record.label is None]
    with ThreadPoolExecutor(_WORKERS) as pool:
        bad = {record: fault for record, fault in zip(new, pool.map(_damage, new), strict=True) if fault}
    for record, fault in bad.items():
        log.note(fault.kind, record.image, f"{fault.what}, and is left out", fault.todo)
    lost = (Unused(path=record.image, why=DAMAGED) for record in bad)
    product = replace(
        product,
        test=tuple(record for record in product.test if record not in bad),
        unused=(*product.unused, *lost),
    )
    return product, _faults(product, log)


def _damage(record: Record) -> ImageFault | None:
    try:
        read_image(record.image)
    except ImageFault as fault:
        return None if fault.kind == "not-a-file" else fault  # no photo; whoever put it there must know
    return None


def _faults(product: Product, log: FaultLog) -> list[Fault]:
    records = (*product.train, *product.test)
    with ThreadPoolExecutor(_WORKERS) as pool:
        for faults in pool.map(lambda record: _record_faults(record, log.fresh()), records):
            log.faults += faults
        if not any(fault.severity == ERROR for fault in log.faults):
            _look_at_masks([record.mask for record in records if record.mask], log, pool)
    return log.faults


def inverted(shares: Sequence[float]) -> tuple[str, str] | None:
    """What is told of masks that mark most of their image, on most images of a product.

    Args:
        shares: of each mask, how much of its image it marks, 0 … 1.

    >>> inverted([0.9, 0.97, 0.1])[0]
    'has 2 of 3 masks that mark more than half of their image: black and white look exchanged'
    """
    most = sum(share > _MOST for share in shares)
    if 2 * most <= len(shares):
        return None
    what = f"has {most} of {len(shares)} masks that mark more than half of their image"
    return (
        f"{what}: black and white look exchanged",
        "invert them: black where all is well, white at the defect",
    )


def _record_faults(record: Record, log: FaultLog) -> list[Fault]:
    path = record.image
    try:
        header = read_header(path)
        if header.alpha or looks_cut(path, header.data_end):
            read_image(path)
        if record.mask is not None:
            path = record.mask
            _look_at_mask(path, header)
    except ImageFault as fault:
        log.error(fault.kind, path, fault.what, fault.todo)
    return log.faults


def _look_at_mask(path: Path, image: Header) -> None:
    header = read_header(path, mask=True)
    require_same_size(path, header.size, image.size, image.stored)
    if header.alpha or header.lossy or header.odd_palette or looks_cut(path, header.data_end):
        read_mask(path)


def _look_at_masks(masks: Sequence[Path], log: FaultLog, pool: ThreadPoolExecutor) -> None:
    """Refuse inverted masks: a few tell whether all must be read."""

    def share(path: Path) -> float:
        """How much of its image a mask marks; one that cannot be read is a fault and marks nothing."""
        try:
            return float(read_mask(path).mean())
        except ImageFault as fault:
            log.error(fault.kind, path, fault.what, fault.todo)
            return 0.0

    few = masks[:: max(1, len(masks) // _SAMPLED)][:_SAMPLED]
    if inverted(list(pool.map(share, few))) and (told := inverted(list(pool.map(share, masks)))):
        log.error("mask-inverted", None, *told)
