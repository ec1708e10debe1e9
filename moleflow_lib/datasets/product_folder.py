"""One product folder in MVTec AD's layout, every image paired with its mask by name.

::

    train/good/*.png                      normal images to learn from
    test/good/*.png                       normal test images
    test/<defect>/*.png                   defective test images
    test/unlabelled/*.png or test/*.png   images to score, truth unknown (also: unlabeled, any case)
    ground_truth/<defect>/<stem>_mask.png or <stem>.png

No `test` folder is allowed. No `ground_truth` folder means labels for whole images only; if there
is one, every defective image must have its mask in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from moleflow_lib.datasets.faults import Fault, FaultLog
from moleflow_lib.datasets.folder_names import (
    defect_of,
    looks_like_file,
    part_meant,
    refuse_foreign_name,
    refuse_near_names,
)
from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES
from moleflow_lib.datasets.names import same_name
from moleflow_lib.datasets.records import GOOD, UNLABELLED, Product, Record
from moleflow_lib.errors import counted

__all__ = ["scan_product"]

_BRING = (
    "add <image name>_mask.png, or remove the image; with no ground_truth at all the product is image-level"
)
_ORPHAN = "bring its image back, rename it after its image, or remove it"
_RENAME = f"rename it to test/{GOOD}, test/{UNLABELLED}, or the name of a defect"


def scan_product(name: str, folder: Path) -> tuple[Product, list[Fault]]:
    """Read the names in one product folder; faults are collected, not raised."""
    log = FaultLog(name, folder)
    train = [_record(name, "train", GOOD, image) for image in _train_images(folder / "train", log)]
    test = _test_records(name, folder, log)
    _level_notes(test, folder, log)
    refuse_near_names(folder, log)
    log.leave_out(path for path in folder.iterdir() if not (part_meant(path.name) and path.is_dir()))
    return Product(name=name, train=tuple(train), test=tuple(test), unused=tuple(log.unused)), log.faults


def _record(product: str, split: str, defect: str, image: Path, mask: Path | None = None) -> Record:
    return Record(product=product, split=split, defect=defect, image=image, mask=mask)


def _train_images(train: Path, log: FaultLog) -> list[Path]:
    images = _images(train / GOOD, log)
    loose = _images(train, None)
    for folder in _folders(train):
        if folder.name == GOOD:
            continue
        if others := _images(folder, None):
            what = (
                f"holds {counted(len(others), 'image')}; training takes normal images only, from train/{GOOD}"
            )
            todo = f"move defective ones to test/<defect>, normal ones to train/{GOOD}"
            log.error("defect-in-train", folder, what, todo)
        else:
            log.leave_out([folder])
    if not images:
        hint = (
            f"move the {counted(len(loose), 'image')} of train/ into it"
            if loose
            else "put normal images there"
        )
        log.error("no-train", train / GOOD, "has no training image", hint)
    log.leave_out(path for path in train.iterdir() if not path.is_dir())
    return images


def _test_records(name: str, folder: Path, log: FaultLog) -> list[Record]:
    test = folder / "test"
    truth = folder / "ground_truth"
    folders = _folders(test)
    if not folders:
        _orphans(truth, (), log)
        return [_record(name, "test", UNLABELLED, image) for image in _images(test, log)]
    log.leave_out(path for path in _entries(test) if not path.is_dir())
    records = []
    for one in folders:
        defect = _defect(one, log)
        images = _images(one, log)
        paired = truth.is_dir() and defect not in (None, GOOD, UNLABELLED)
        masks = _pair(images, _answering(truth, one.name), log) if paired else {}
        records += [_record(name, "test", defect or one.name, image, masks.get(image)) for image in images]
    _refuse_two_spellings(folders, log)
    _orphans(truth, [same_name(path.name) for path in folders], log)
    return records


def _defect(folder: Path, log: FaultLog) -> str | None:
    """What the images of a test folder show; None, with a fault, where nobody can tell."""
    refuse_foreign_name(folder, log)
    defect = defect_of(folder.name)
    if defect is None:
        log.error("name", folder, "would be read as a defect of that name", _RENAME)
    elif looks_like_file(folder):
        log.error("not-a-file", folder, "is a folder with the name of an image", _RENAME)
    return defect


def _refuse_two_spellings(folders: Sequence[Path], log: FaultLog) -> None:
    """Two folders that mean the same: images of one name would be mistaken for each other."""
    first: dict[str, Path] = {}
    for folder in folders:
        defect = defect_of(folder.name)
        if defect is None:
            continue
        before = first.setdefault(defect, folder)
        if before is not folder:
            log.error("name", folder, f"means the same as test/{before.name}", "bring both into one folder")


def _answering(truth: Path, name: str) -> Path:
    """The folder of masks that has a defect's name, however its accents are composed."""
    alike = [path for path in _folders(truth) if same_name(path.name) == same_name(name)]
    return alike[0] if alike else truth / name


def _pair(images: Sequence[Path], folder: Path, log: FaultLog) -> dict[Path, Path]:
    """The mask of each image: the one file named `<stem>_mask` or `<stem>`."""
    by_stem = defaultdict(list)
    masks = _images(folder, log)
    for mask in masks:
        by_stem[same_name(mask.stem)].append(mask)
    stems = {image: same_name(image.stem) for image in images}
    found = {image: [*by_stem[stem], *by_stem[f"{stem}_mask"]] for image, stem in stems.items()}
    claims = Counter(mask for candidates in found.values() for mask in candidates)
    if images and not masks:
        log.error(
            "mask-missing",
            folder,
            f"has no mask for the {counted(len(images), 'image')} of test/{folder.name}",
            _BRING,
        )
        return {}
    for image, candidates in found.items():
        if not candidates:
            log.error("mask-missing", image, f"has no mask in ground_truth/{folder.name}", _BRING)
        elif len(candidates) > 1 or claims[candidates[0]] > 1:
            what = (
                "shares its mask with another image, or has several: "
                f"{', '.join(mask.name for mask in candidates)}"
            )
            log.error("mask-ambiguous", image, what, "keep one image and one mask a name")
    for mask in masks:
        if mask not in claims:
            log.error("mask-orphan", mask, f"is the mask of no image in test/{folder.name}", _ORPHAN)
    return {image: candidates[0] for image, candidates in found.items() if len(candidates) == 1}


def _orphans(truth: Path, defects: Iterable[str], log: FaultLog) -> None:
    """Masks in folders that no defect folder answers to."""
    for folder in _folders(truth):
        if defect_of(folder.name) in (GOOD, UNLABELLED):
            log.leave_out(folder.iterdir())
        elif same_name(folder.name) not in defects:
            for mask in _images(folder, log):
                what = f"is the mask of no image: there is no test/{folder.name}"
                log.error("mask-orphan", mask, what, _ORPHAN)
    log.leave_out(path for path in _entries(truth) if not path.is_dir())


def _level_notes(test: Sequence[Record], folder: Path, log: FaultLog) -> None:
    labels = {record.label for record in test}
    if not test:
        log.note("no-test", None, "has no test image", "nothing; there is nothing to score")
    elif labels == {None}:
        log.note(
            "unlabelled",
            None,
            f"has {counted(len(test), 'unlabelled test image')}",
            "nothing; scored, never evaluated",
        )
    elif len(labels - {None}) == 1:
        only = "normal" if 0 in labels else "defective"
        log.note(
            "one-sided", None, f"has only {only} test images", "nothing; its image metrics are undefined"
        )
    if 1 in labels and not (folder / "ground_truth").is_dir():
        what = "is image-level (no ground_truth folder): its pixel metrics are undefined, not zero"
        log.note("image-level", None, what, "nothing; means say over how many products they run")


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _images(folder: Path, log: FaultLog | None) -> list[Path]:
    """What has the name of an image in one folder, links to nothing included; `log` takes the rest."""
    entries = _entries(folder)
    named = [
        path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    images = [path for path in named if not path.is_dir()]
    if log is not None:
        log.leave_out(path for path in entries if path not in set(named))
        for path in named:
            refuse_foreign_name(path, log)
            if path.is_dir():
                what = "is a folder with the name of an image"
                log.error("not-a-file", path, what, "rename it, or put the image there")
    return images
