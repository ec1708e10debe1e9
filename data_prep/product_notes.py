"""What a check finds in a product as a whole: its masks, its training images, its counts, its defects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data_prep.look import Look
from moleflow_lib.datasets.faults import Fault, FaultLog
from moleflow_lib.datasets.first_look import inverted
from moleflow_lib.datasets.geometry import RESIZE_POLICIES, cut_defects
from moleflow_lib.datasets.records import Product, Record
from moleflow_lib.errors import counted

__all__ = ["product_faults"]

_TO_SQUARE = "choose another resize policy or a larger size if these defects matter"
_ONE_SOURCE = "nothing if the camera saw this; features without any variance give undefined values"


def product_faults(
    product: Product, looks: Sequence[Look], published: tuple[int, int, int] | None, size: int, log: FaultLog
) -> list[Fault]:
    """Faults and notes of one product.

    Args:
        product: as surveyed.
        looks: its records, decoded.
        published: its counts as published, if they are.
        size: network input size in pixels.
        log: an empty log of the product.
    """
    masked = [look for look in looks if look.marked is not None]
    _mask_faults(masked, log)
    _training_notes([look for look in looks if look.record.split == "train" and look.content], log)
    _profile_note([look for look in looks if look.content], log)
    _count_note(product, published, log)
    _geometry_notes([look.record for look in masked], size, log)
    return log.faults


def _mask_faults(masked: Sequence[Look], log: FaultLog) -> None:
    if told := inverted([look.marked for look in masked if look.marked is not None]):
        log.error("mask-inverted", None, *told)
    lossy = sum(look.lossy_mask for look in masked)
    if lossy:
        what = f"has {lossy} of {len(masked)} masks in a lossy format: defect is what is brighter than half"
        log.note("mask-lossy", None, what, "nothing; PNG would keep the marks as they were drawn")
    grey = [look.greys for look in masked if look.greys]
    if grey:
        what = (
            f"has {len(grey)} of {len(masked)} masks with up to {max(grey)} grey values; all "
            "above zero are defect"
        )
        log.note("mask-grey", None, what, "save them as black and white if their edges are soft or noisy")


def _training_notes(train: Sequence[Look], log: FaultLog) -> None:
    """Training images that teach nothing: one colour throughout, or the same picture again."""
    flat = sum(look.flat for look in train)
    if flat:
        log.note(
            "flat", None, f"has {flat} of {len(train)} training images of one colour throughout", _ONE_SOURCE
        )
    counts = Counter(look.content for look in train if not look.flat)
    copies = sum(count - 1 for count in counts.values())
    if copies:
        what = f"has {copies} of {len(train)} training images that repeat another, pixel by pixel"
        log.note("copies", None, what, _ONE_SOURCE)


def _profile_note(looks: Sequence[Look], log: FaultLog) -> None:
    named = Counter(look.profile for look in looks if look.profile)
    if named:
        seen = ", ".join(f"{count} with {name}" for name, count in sorted(named.items()))
        what = f"has images with a colour profile other than sRGB ({seen} of {len(looks)})"
        log.note(
            "profile",
            None,
            what,
            "nothing if all are alike: values are read as stored; else save all as sRGB",
        )


def _count_note(product: Product, published: tuple[int, int, int] | None, log: FaultLog) -> None:
    good, bad = (sum(record.label == label for record in product.test) for label in (0, 1))
    counted = (len(product.train), good, bad)
    if published is not None and published != counted:
        what = "has {} train, {} good and {} defective test images; published are {}, {} and {}".format(
            *counted, *published
        )
        todo = "nothing if it is a part or another product; else extract the archive again"
        log.note("count", None, what, todo)


def _geometry_notes(records: Sequence[Record], size: int, log: FaultLog) -> None:
    """What each resize policy does to the defects; files that cannot be read have their own line."""
    for policy in RESIZE_POLICIES:
        cuts = cut_defects(records, size, policy)
        cropped = [cut for cut in cuts if cut.lost > 0]
        gone = [cut for cut in cuts if cut.gone]
        if cropped:
            lost = sum(cut.lost == 1 for cut in cropped)
            what = (
                f"with resize={policy}, {len(cropped)} of {len(records)} defects lose pixels, "
                f"{lost} of them all"
            )
            log.note("crop", None, what, "choose resize or pad if these defects matter")
        if small := [cut for cut in gone if cut.lost < 1]:
            names = ", ".join(f"{cut.record.defect}/{cut.record.image.name}" for cut in small[:3])
            vanished = f"{counted(len(small), 'defect')} ({names})"
            what = f"with resize={policy} at {size} px, nothing is left of {vanished}"
            log.note("vanish", None, what, _TO_SQUARE)
