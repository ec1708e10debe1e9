"""Three test images for the first page of a run: the clearest detection, the worst miss, the worst alarm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from moleflow_lib.reporting.figures.heat_maps import colour_bar, contour_words, scale_ends
from moleflow_lib.reporting.figures.sheets import data_address
from moleflow_lib.reporting.figures.style import composed
from moleflow_lib.reporting.judged.pictures import Strips
from moleflow_lib.reporting.judged.verdict import JudgedImage, clearest
from moleflow_lib.reporting.tables import number
from moleflow_lib.storage.disk import write_json

__all__ = ["ENDING", "highlights", "write_highlights"]

ENDING = ".strip.json"
_SIDE = 224  # pixels of a picture; the first page shows them at 160, sharp on a fine screen
_KINDS: tuple[tuple[str, str, Callable[[JudgedImage], bool]], ...] = (
    ("Clearest detection", "No defect was called defective.", lambda image: image.detected),
    ("Worst miss", "No defect was missed.", lambda image: image.outcome == "missed defect"),
    (
        "Worst false alarm",
        "No normal image was called defective or unknown.",
        lambda image: image.outcome == "false alarm",
    ),
)


def highlights(images: Sequence[JudgedImage]) -> list[tuple[str, str, JudgedImage | None]]:
    """What each picture shows, what is said where there is none, and the image.

    Args:
        images: all test images, of all tasks.
    """
    found = ((what, none, [image for image in images if of_kind(image)]) for what, none, of_kind in _KINDS)
    return [(what, none, min(own, key=clearest, default=None)) for what, none, own in found]


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
    cases = []
    for what, none, image in highlights(images):
        picture = "" if image is None else data_address(_picture(strips, image))
        cases.append({"what": what, "words": none if image is None else _words(image), "picture": picture})
    scales = strips.scales
    below = f"below, the maps of MoLE-Flow and of {baseline}" if baseline else "below, the map of MoLE-Flow"
    write_json(
        path,
        {
            "cases": cases,
            "caption": f"Above, the photo and the outline of its mask, where it has one; {below}. Colour: "
            f"how many pixels of normal test images score as high (logarithmic). {contour_words()}",
            "bar": data_address(colour_bar().repeat(8, axis=0), exact=True) if scales else "",
            "ends": list(scale_ends(scales)) if scales else ["", ""],
        },
    )


def _picture(strips: Strips, image: JudgedImage) -> np.ndarray:
    """Photo and mask above, maps below, as one picture."""
    photo, mask, *maps = strips.pictures(image)
    rows = [[photo, mask], [*maps, None][:2]]
    return composed(rows, 2, _SIDE)


def _words(image: JudgedImage) -> str:
    row = image.row
    return (
        f"{row['product']}, {row['defect']}, {row['image']}: score {number(row['score'])}, threshold "
        f"{number(row['threshold'])}, called {row['decision']}"
        + (" (farther from every task than its own images)." if row["decision"] == "unknown" else ".")
    )
