"""Raw VisA to MVTec AD's layout, by link or by copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tqdm.std import tqdm

from moleflow_lib.datasets.faults import raise_errors
from moleflow_lib.datasets.layouts import survey
from moleflow_lib.datasets.records import Record
from moleflow_lib.errors import DataError

__all__ = ["convert_visa"]


def convert_visa(root: Path, into: Path, mode: str = "link") -> int:
    """Lay out raw VisA as `<product>/{train/good,test/good,test/bad,ground_truth/bad}`.

    Masks keep their class indices: every value above zero is defect.

    Args:
        root: raw VisA with `split_csv/1cls.csv`.
        into: folder to make.
        mode: `link` makes symbolic links to the raw files, `copy` copies them.

    Returns:
        How many images were laid out.

    Raises:
        DataError: `root` is no sound raw VisA, `into` is taken, or links are not allowed here.
    """
    found = survey(root)
    if found.tree.layout != "visa-raw":
        raise DataError(
            f"{root} needs no conversion: it already has MVTec's layout; use {found.tree.base} as it is"
        )
    raise_errors(root, found.faults)
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise DataError(f"{into} is taken; expected a new or empty folder, give another --into")
    records = [record for product in found.products for record in (*product.train, *product.test)]
    unfinished = into.with_name(f".{into.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for record in tqdm(records, desc=mode, unit="image"):
            _lay_out(record, unfinished, mode)
        if into.exists():
            into.rmdir()
        unfinished.rename(into)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return len(records)


def _lay_out(record: Record, into: Path, mode: str) -> None:
    product = into / record.product
    _place(record.image, product / record.split / record.defect / record.image.name, mode)
    if record.mask is not None:
        _place(record.mask, product / "ground_truth" / record.defect / record.mask.name, mode)


def _place(source: Path, target: Path, mode: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise DataError(f"two raw files would both become {target.name}; the second is {source}")
    if mode == "copy":
        shutil.copyfile(source, target)
        return
    try:
        target.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))
    except OSError as error:
        raise DataError(f"links cannot be made at {target.parent} ({error}); use --mode copy") from error
