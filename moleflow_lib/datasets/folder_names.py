"""What the name of a folder inside a product means: normal, not labelled, a defect, or nobody can tell."""

from __future__ import annotations

from pathlib import Path

from moleflow_lib.datasets.faults import FaultLog
from moleflow_lib.datasets.image_files import IMAGE_SUFFIXES
from moleflow_lib.datasets.names import is_unicode, same_name, shown
from moleflow_lib.datasets.records import GOOD, UNLABELLED

__all__ = [
    "defect_of",
    "looks_like_file",
    "near_name",
    "part_meant",
    "refuse_foreign_name",
    "refuse_near_names",
]

_PARTS = {"train": "train", "test": "test", "groundtruth": "ground_truth"}
_MEANS_GOOD = frozenset({"good", "goods", "normal", "ok", "okay"})
_MEANS_UNLABELLED = frozenset({"unlabelled", "unlabeled"})
_COUNTS_THINGS = ("images", "image", "photos", "pictures")
_AMBIGUOUS = frozenset(  # may be a defect ("the label is missing") or mean that nobody has told
    "nolabel nolabels withoutlabel withoutlabels notlabelled notlabeled unknown unsorted unannotated "
    "unclassified unmarked".split()
)


def defect_of(name: str) -> str | None:
    """What the images of `test/<name>` show; None where the name would be read wrongly.

    Returns:
        `good`, `unlabelled` (also for unlabeled, Unlabelled, unlabelled_images, …), or a defect's name.

    >>> defect_of("Unlabeled-Images"), defect_of("crack"), defect_of("no_label"), defect_of("OK")
    ('unlabelled', 'crack', None, None)
    """
    if name == GOOD:
        return GOOD
    bare = "".join(sign for sign in same_name(name).casefold() if sign not in "-_ .")
    for ending in _COUNTS_THINGS:
        bare = bare.removesuffix(ending)
    if bare in _MEANS_UNLABELLED:
        return UNLABELLED
    if bare in _MEANS_GOOD or bare in _AMBIGUOUS or "unlab" in bare:
        return None
    return same_name(name)


def refuse_foreign_name(path: Path, log: FaultLog) -> None:
    """Names that are no text cannot be written into results: tell it before anything runs."""
    if not is_unicode(path.name):
        what = f"has a name that is no UTF-8 text ({shown(path.name)})"
        log.error("name-encoding", path, what, "rename it; convmv or an unzip with the right encoding helps")


def refuse_near_names(folder: Path, log: FaultLog) -> None:
    """Folders that are `train`, `test` or `ground_truth` to a reader and not to a program."""
    for path in sorted(folder.iterdir()):
        meant = part_meant(path.name)
        if meant and path.name != meant and path.is_dir():
            log.error("name", path, *near_name(meant))


def near_name(meant: str) -> tuple[str, str]:
    """What is said of a folder that was meant to be another part, and what to do."""
    return f"would be left out: did you mean {meant}?", f"rename it to {meant}"


def part_meant(name: str) -> str:
    """The part of a product that a folder's name stands for to a reader; "" for none.

    >>> part_meant("Train"), part_meant("groundtruth"), part_meant("Ground-Truth"), part_meant("training")
    ('train', 'ground_truth', 'ground_truth', '')
    """
    return _PARTS.get("".join(sign for sign in name.casefold() if sign not in "-_ "), "")


def looks_like_file(folder: Path) -> bool:
    """Whether a folder has the name of an image."""
    return folder.suffix.lower() in IMAGE_SUFFIXES
