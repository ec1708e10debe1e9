"""Product images on disk, as records that pair every image with its own mask by name.

`open_dataset` reads MVTec AD, MPDD, VisA (raw or converted) and one's own products; `layouts`
says which folders it knows. It runs at the start of every notebook, so it reads names, headers, and
the pixels only of what looks suspicious (`first_look`); `python -m data_prep check` reads them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.datasets.faults import raise_errors
from moleflow_lib.datasets.first_look import first_look
from moleflow_lib.datasets.geometry import cut_defects, load_image, load_mask
from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES
from moleflow_lib.datasets.images import READER_VERSION
from moleflow_lib.datasets.layouts import survey, unused_files
from moleflow_lib.datasets.names import file_stem
from moleflow_lib.datasets.records import UNLABELLED, Product, Record, Task, make_tasks, task_order
from moleflow_lib.datasets.shared_images import shared_line
from moleflow_lib.datasets.unused_files import Unused, unused_line

__all__ = [
    "IMAGE_SUFFIXES",
    "READER_VERSION",
    "UNLABELLED",
    "Product",
    "Record",
    "Task",
    "Unused",
    "cut_defects",
    "file_stem",
    "load_image",
    "load_mask",
    "make_tasks",
    "open_dataset",
    "shared_line",
    "task_order",
    "unused_files",
    "unused_line",
]


def open_dataset(root: str | Path, classes: Sequence[str] = ()) -> tuple[Product, ...]:
    """Read the products of a dataset folder.

    Args:
        root: folder in any layout that `layouts` describes.
        classes: product names in the order wanted, `a+b` standing for `a, b`; empty means all,
            in alphabetical order. Names that look alike are equal, however accents are composed.

    Returns:
        One `Product` a class, records sorted by path (raw VisA: in the order of its split file). Photos
        without a label that cannot be read are among `unused`.

    Raises:
        DataError: the folder is missing or a product is unusable; all problems in one message.
    """
    found = survey(root, [name for entry in classes for name in entry.split("+")])
    looks = [first_look(product, found.tree.log(product.name)) for product in found.products]
    raise_errors(Path(root), [*found.faults, *(fault for _, faults in looks for fault in faults)])
    return tuple(product for product, _ in looks)
