"""Three test images for the first page of a run: the clearest detection, the worst miss, the worst alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from moleflow_lib.reporting.figures.heat_maps import colour_bar, colour_words_of_tests, scale_ends
from moleflow_lib.reporting.figures.sheets import data_address
from moleflow_lib.reporting.judged.pictures import Strips
from moleflow_lib.reporting.judged.verdict import JudgedImage, clearest
from moleflow_lib.reporting.tables import number
from moleflow_lib.storage.disk import write_json

__all__ = ["ENDING", "highlights", "write_highlights"]

ENDING = ".strip.json"
_MOST = 0.5  # share of an image that its mask may mark to show where a defect is
_LABELS = ("photo", "mask", "MoLE-Flow")
_KINDS: tuple[tuple[str, str, Callable[[JudgedImage], bool]], ...] = (
    ("Clearest detection", "No defect was called defective.", lambda image: image.detected),
    ("Worst miss", "No defect was missed.", lambda image: image.outcome == "missed defect"),
    (
        "Worst false alarm",
        "No normal image was called defective or unknown.",
        lambda image: image.outcome == "false alarm",
    ),
)


def highlights(
    images: Sequence[JudgedImage], marked: Callable[[JudgedImage], float]
) -> list[tuple[str, str, JudgedImage | None]]:
    """What each case shows, what is said where there is none, and the image.

    Args:
        images: all test images, of all tasks.
        marked: the share of an image that its mask marks, 0 without a mask. A detection whose mask marks
            more than half, or that has none, is shown only where there is no other.
    """
    found = ((what, none, [image for image in images if of_kind(image)]) for what, none, of_kind in _KINDS)
    return [(what, none, _first(own, marked)) for what, none, own in found]


def write_highlights(images: Sequence[JudgedImage], strips: Strips, baseline: str, path: Path) -> None:
    """Write the pictures with their words as JSON, for the index of the run.

    Args:
        images: all test images.
        strips: draws them.
        baseline: the title of the baseline whose map is shown; empty: none.
        path: the file.

    Raises:
        ArtifactError: it cannot be written.
    """
    cases = [
        {
            "what": what,
            "words": none if image is None else _words(image),
            "pictures": [] if image is None else _pictures(strips, image, baseline),
        }
        for what, none, image in highlights(images, strips.marked)
    ]
    scales = strips.scales
    write_json(
        path,
        {
            "cases": cases,
            "caption": f"Green: the outline of the mask. {colour_words_of_tests()} The clearest detection is "
            "chosen among images whose mask marks at most half of them, where there are any.",
            "bar": data_address(colour_bar().repeat(8, axis=0), exact=True) if scales else "",
            "ends": list(scale_ends(scales)) if scales else ["", ""],
        },
    )


def _first(own: Sequence[JudgedImage], marked: Callable[[JudgedImage], float]) -> JudgedImage | None:
    """The clearest case; of detections, one whose mask shows where the defect is."""
    ordered = sorted(own, key=clearest)
    telling = (image for image in ordered if not image.detected or 0 < marked(image) <= _MOST)
    return next(telling, next(iter(ordered), None))


def _pictures(strips: Strips, image: JudgedImage, baseline: str) -> list[dict[str, str]]:
    """Photo, mask and maps, each under its own name; without an address where there is none."""
    labels = [*_LABELS, *([baseline] if baseline else [])]
    found = zip(labels, strips.pictures(image), strict=True)
    return [{"label": label, "address": "" if own is None else data_address(own)} for label, own in found]


def _words(image: JudgedImage) -> str:
    row = image.row
    return (
        f"{row['product']}, {row['defect']}, {row['image']}: score {number(row['score'])}, threshold "
        f"{number(row['threshold'])}, called {row['decision']}"
        + (" (farther from every task than its own images)." if row["decision"] == "unknown" else ".")
    )
