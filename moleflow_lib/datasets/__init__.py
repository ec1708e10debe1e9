"""Product images on disk, as records that pair every image with its own mask by name.

`open_dataset` reads MVTec AD, MPDD, VisA (raw or converted) and one's own products; `layouts`
says which folders it knows. It runs at the start of every notebook, so it reads names and image
headers, never all pixels; `python -m data_prep check` reads those too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.datasets.faults import Fault, FaultLog, raise_errors
from moleflow_lib.datasets.geometry import RESIZE_POLICIES, DefectCut, cut_defects, load_image, load_mask
from moleflow_lib.datasets.images import IMAGE_SUFFIXES, ImageFault, image_size, require_same_size
from moleflow_lib.datasets.layouts import survey
from moleflow_lib.datasets.records import GOOD, UNLABELLED, Product, Record, Task, make_tasks, task_order

__all__ = [
    "GOOD",
    "IMAGE_SUFFIXES",
    "RESIZE_POLICIES",
    "UNLABELLED",
    "DefectCut",
    "Product",
    "Record",
    "Task",
    "cut_defects",
    "load_image",
    "load_mask",
    "make_tasks",
    "open_dataset",
    "task_order",
]


def open_dataset(root: str | Path, classes: Sequence[str] = ()) -> tuple[Product, ...]:
    """Read the products of a dataset folder.

    Args:
        root: folder in any layout that `layouts` describes.
        classes: product names in the order wanted, `a+b` standing for `a, b`; empty means all,
            in alphabetical order.

    Returns:
        One `Product` a class, records sorted by path (raw VisA: in the order of its split file).

    Raises:
        DataError: the folder is missing or a product is unusable; all problems in one message.
    """
    found = survey(root, [name for entry in classes for name in entry.split("+")])
    headers = [fault for one in found.products for fault in _header_faults(one, found.tree.log(one.name))]
    raise_errors(Path(root), [*found.faults, *headers])
    return found.products


def _header_faults(product: Product, log: FaultLog) -> list[Fault]:
    """Headers that cannot be read, and masks of another size than their image."""
    for record in (*product.train, *product.test):
        path = record.image
        try:
            size = image_size(path)
            if record.mask is not None:
                path = record.mask
                require_same_size(path, image_size(path, mask=True), size)
        except ImageFault as fault:
            log.error(fault.kind, path, fault.what, fault.todo)
    return log.faults
