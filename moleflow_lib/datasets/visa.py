"""Raw VisA: images and masks paired by the publisher's split file, not by folders.

`split_csv/1cls.csv` has the columns object, split, label, image, mask; paths are relative to the
dataset folder. Anomalous images become the defect "bad", as in the converted layout.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from moleflow_lib.datasets.faults import Fault, FaultLog
from moleflow_lib.datasets.folder_names import refuse_foreign_name
from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES
from moleflow_lib.datasets.names import same_name
from moleflow_lib.datasets.records import GOOD, Product, Record
from moleflow_lib.errors import DataError, counted

__all__ = ["BAD", "SPLIT_FILE", "product_folders", "scan_split"]

SPLIT_FILE = "split_csv/1cls.csv"
BAD = "bad"
_COLUMNS = ("object", "split", "label", "image", "mask")
_FIX_ROW = f"restore {SPLIT_FILE} from the publisher's archive"


def product_folders(root: Path) -> dict[str, Path]:
    """Products the split file names, in alphabetical order.

    Raises:
        DataError: the split file cannot be read or lacks a column.
    """
    return {same_name(name): _as_spelt(root, name) for name in sorted({row["object"] for row in _rows(root)})}


def scan_split(root: Path, names: Sequence[str]) -> tuple[list[Product], list[Fault]]:
    """Read the products named, in that order; faults are collected, not raised.

    Raises:
        DataError: the split file cannot be read or lacks a column.
    """
    rows = _rows(root)
    products = []
    faults = []
    for name in names:
        log = FaultLog(name, root)
        own = [row for row in rows if same_name(row["object"]) == name]
        products.append(_scan_product(root, name, own, log))
        faults += log.faults
    return products, faults


def _rows(root: Path) -> list[dict[str, str]]:
    path = root / SPLIT_FILE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            header = reader.fieldnames or ()
            rows = [{column: (row.get(column) or "").strip() for column in _COLUMNS} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}); {_FIX_ROW}") from error
    missing = [column for column in _COLUMNS if column not in header]
    if missing or not rows:
        lack = f"lacks {counted(len(missing), 'column')}, {', '.join(missing)}" if missing else "has no row"
        raise DataError(f"{path} {lack}; expected {','.join(_COLUMNS)} and one row an image; {_FIX_ROW}")
    return rows


def _scan_product(root: Path, name: str, rows: Sequence[dict[str, str]], log: FaultLog) -> Product:
    truth = any(row["mask"] for row in rows)
    records = [record for row in rows if (record := _record(root, row, truth, log)) is not None]
    train = [record for record in records if record.split == "train"]
    test = [record for record in records if record.split == "test"]
    _repeated(records, log)
    if not train:
        log.error("no-train", None, f"has no training image in {SPLIT_FILE}", _FIX_ROW)
    if any(record.label for record in test) and not truth:
        what = "is image-level (no mask in the split file): its pixel metrics are undefined, not zero"
        log.note("image-level", None, what, "nothing; means say over how many products they run")
    _orphans(_as_spelt(root, name), records, log)
    return Product(name=name, train=tuple(train), test=tuple(test), unused=tuple(log.unused))


def _record(root: Path, row: dict[str, str], truth: bool, log: FaultLog) -> Record | None:
    """The record of one row; None, with a fault, if the row makes no sense."""
    image = _existing(root, row["image"], "image-missing", log)
    if row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
        what = f"has split {row['split']!r} and label {row['label']!r} in {SPLIT_FILE}"
        log.error("split-row", image, what, _FIX_ROW)
        return None
    bad = row["label"] == "anomaly"
    if bad and row["split"] == "train":
        log.error("defect-in-train", image, "is anomalous and in the training split", _FIX_ROW)
        return None
    mask = _mask(root, row, image, log) if bad and truth and image is not None else None
    if image is None:
        return None
    defect = BAD if bad else GOOD
    return Record(product=log.product, split=row["split"], defect=defect, image=image, mask=mask)


def _mask(root: Path, row: dict[str, str], image: Path, log: FaultLog) -> Path | None:
    if not row["mask"]:
        log.error("mask-missing", image, f"has no mask in {SPLIT_FILE}", _FIX_ROW)
        return None
    mask = _existing(root, row["mask"], "mask-missing", log)
    if mask is not None and mask.stem not in (image.stem, image.stem + "_mask"):
        log.error("mask-ambiguous", image, f"is paired with the mask {mask.name}, of another name", _FIX_ROW)
    return mask


def _existing(root: Path, name: str, kind: str, log: FaultLog) -> Path | None:
    """The file a row names, if it lies below the dataset and is there; if not, a fault."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        what = f"has the path {name!r} in {SPLIT_FILE}, which is not below the dataset"
        log.error("split-row", None, what, _FIX_ROW)
        return None
    file = _as_spelt(root, name)
    if not os.path.lexists(file):
        log.error(kind, file, f"stands in {SPLIT_FILE} and is not there", "extract the archive again")
        return None
    refuse_foreign_name(file, log)
    return file


def _as_spelt(root: Path, name: str) -> Path:
    """A path below the dataset as the disk spells it: accents may be composed there or not."""
    spellings = [root / unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    return next((path for path in (root / name, *spellings) if os.path.lexists(path)), root / name)


def _repeated(records: Sequence[Record], log: FaultLog) -> None:
    seen: set[Path] = set()
    for record in records:
        if record.image in seen:
            log.error("split-twice", record.image, f"stands in {SPLIT_FILE} more than once", _FIX_ROW)
        seen.add(record.image)


def _orphans(folder: Path, records: Sequence[Record], log: FaultLog) -> None:
    used = {record.image for record in records} | {record.mask for record in records}
    for path in sorted((folder / "Data").rglob("*")):
        if path.is_dir() or path in used:
            continue
        is_image = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        if is_image and "Masks" in path.parts:
            log.error("mask-orphan", path, f"is the mask of no image in {SPLIT_FILE}", _FIX_ROW)
        else:
            log.leave_out([path])
