"""One product folder in MVTec AD's layout, every image paired with its mask by name.

::

    train/good/*.png                      normal images to learn from
    test/good/*.png                       normal test images
    test/<defect>/*.png                   defective test images
    test/unlabelled/*.png or test/*.png   images to score, truth unknown
    ground_truth/<defect>/<stem>_mask.png or <stem>.png

No `test` folder is allowed. No `ground_truth` folder means labels for whole images only; if there
is one, every defective image must have its mask in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from moleflow_lib.datasets.faults import Fault, FaultLog
from moleflow_lib.datasets.images import IMAGE_SUFFIXES
from moleflow_lib.datasets.records import GOOD, UNLABELLED, Product, Record

__all__ = ["scan_product"]

_BRING = "add <image name>_mask.png, or remove the image; with no ground_truth at all the product is image-level"
_ORPHAN = "bring its image back, rename it after its image, or remove it"
_MEANS_GOOD = frozenset({"good", "goods", "normal", "ok", "okay"})


def scan_product(name: str, folder: Path) -> tuple[Product, list[Fault]]:
    """Read the names in one product folder; faults are collected, not raised."""
    log = FaultLog(name, folder)
    train = [_record(name, "train", GOOD, image) for image in _train_images(folder / "train", log)]
    test = _test_records(name, folder, log)
    _level_notes(test, folder, log)
    _strays([path for path in folder.iterdir() if path.name not in ("train", "test", "ground_truth")], log)
    return Product(name=name, train=tuple(train), test=tuple(test)), log.faults


def _record(product: str, split: str, defect: str, image: Path, mask: Path | None = None) -> Record:
    return Record(product=product, split=split, defect=defect, image=image, mask=mask)


def _train_images(train: Path, log: FaultLog) -> list[Path]:
    images = _images(train / GOOD, log)
    loose = _images(train, None)
    for folder in _folders(train):
        if folder.name == GOOD:
            continue
        if others := _images(folder, None):
            what = f"holds {len(others)} image(s); training takes normal images only, from train/{GOOD}"
            todo = f"move defective ones to test/<defect>, normal ones to train/{GOOD}"
            log.error("defect-in-train", folder, what, todo)
        else:
            _strays([folder], log)
    if not images:
        hint = f"move the {len(loose)} image(s) of train/ into it" if loose else "put normal images there"
        log.error("no-train", train / GOOD, "has no training image", hint)
    _strays([path for path in train.iterdir() if not path.is_dir()], log)
    return images


def _test_records(name: str, folder: Path, log: FaultLog) -> list[Record]:
    test, truth = folder / "test", folder / "ground_truth"
    defects = _folders(test)
    if not defects:
        _orphans(truth, (), log)
        return [_record(name, "test", UNLABELLED, image) for image in _images(test, log)]
    _strays([path for path in _entries(test) if not path.is_dir()], log)
    records = []
    for defect in defects:
        misnamed = defect.name != GOOD and defect.name.casefold() in _MEANS_GOOD
        if misnamed:
            log.error("name", defect, "would be read as a defect of that name", f"rename it to test/{GOOD}")
        images = _images(defect, log)
        paired = truth.is_dir() and defect.name not in (GOOD, UNLABELLED) and not misnamed
        masks = _pair(images, truth / defect.name, log) if paired else {}
        records += [_record(name, "test", defect.name, image, masks.get(image)) for image in images]
    _orphans(truth, [path.name for path in defects if path.name not in (GOOD, UNLABELLED)], log)
    return records


def _pair(images: Sequence[Path], folder: Path, log: FaultLog) -> dict[Path, Path]:
    """The mask of each image: the one file named `<stem>_mask` or `<stem>`."""
    by_stem = defaultdict(list)
    masks = _images(folder, log)
    for mask in masks:
        by_stem[mask.stem].append(mask)
    found = {image: [*by_stem[image.stem], *by_stem[image.stem + "_mask"]] for image in images}
    claims = Counter(mask for candidates in found.values() for mask in candidates)
    if images and not masks:
        log.error("mask-missing", folder, f"has no mask for the {len(images)} image(s) of test/{folder.name}", _BRING)
        return {}
    for image, candidates in found.items():
        if not candidates:
            log.error("mask-missing", image, f"has no mask in ground_truth/{folder.name}", _BRING)
        elif len(candidates) > 1 or claims[candidates[0]] > 1:
            what = f"shares its mask with another image, or has several: {', '.join(mask.name for mask in candidates)}"
            log.error("mask-ambiguous", image, what, "keep one image and one mask a name")
    for mask in masks:
        if mask not in claims:
            log.error("mask-orphan", mask, f"is the mask of no image in test/{folder.name}", _ORPHAN)
    return {image: candidates[0] for image, candidates in found.items() if len(candidates) == 1}


def _orphans(truth: Path, defects: Iterable[str], log: FaultLog) -> None:
    """Masks in folders that no defect folder answers to."""
    for folder in _folders(truth):
        if folder.name in (GOOD, UNLABELLED):
            _strays(folder.iterdir(), log)
        elif folder.name not in defects:
            for mask in _images(folder, log):
                log.error("mask-orphan", mask, f"is the mask of no image: there is no test/{folder.name}", _ORPHAN)
    _strays([path for path in _entries(truth) if not path.is_dir()], log)


def _level_notes(test: Sequence[Record], folder: Path, log: FaultLog) -> None:
    labels = {record.label for record in test}
    if not test:
        log.note("no-test", None, "has no test image", "nothing; there is nothing to score")
    elif labels == {None}:
        log.note("unlabelled", None, f"has {len(test)} unlabelled test image(s)", "nothing; scored, never evaluated")
    elif len(labels - {None}) == 1:
        only = "normal" if 0 in labels else "defective"
        log.note("one-sided", None, f"has only {only} test images", "nothing; its image metrics are undefined")
    if 1 in labels and not (folder / "ground_truth").is_dir():
        what = "is image-level (no ground_truth folder): its pixel metrics are undefined, not zero"
        log.note("image-level", None, what, "nothing; means say over how many products they run")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _images(folder: Path, log: FaultLog | None) -> list[Path]:
    """Image files of one folder, links to nothing included; what else lies there is noted in `log`."""
    entries = _entries(folder)
    images = [
        path
        for path in entries
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    ]
    if log is not None:
        _strays([path for path in entries if path not in set(images)], log)
    return images


def _strays(paths: Iterable[Path], log: FaultLog) -> None:
    for path in sorted(paths):
        what = "is a folder that belongs nowhere" if path.is_dir() else "is no image of the product"
        log.note("stray", path, what, "nothing, it is ignored")
