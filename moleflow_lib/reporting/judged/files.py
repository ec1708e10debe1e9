"""`03_continual_tasks.images.csv` and the page beside it, from what notebook 03 has measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.errors import counted
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import DECISIONS, LearnedDetector, learned_detector
from moleflow_lib.reporting.figures.heat_maps import colour_bar, colour_words_of_tests, scale_ends
from moleflow_lib.reporting.figures.sheets import data_address
from moleflow_lib.reporting.judged.highlights import ENDING, write_highlights
from moleflow_lib.reporting.judged.pictures import Strips
from moleflow_lib.reporting.judged.verdict import OUTCOMES, JudgedImage, in_turn, judged_images
from moleflow_lib.reporting.scores.gallery import ACCEPTED, ACCEPTED_WORDS, ROWS, Gallery, limit_rows
from moleflow_lib.reporting.tables import Table, number
from moleflow_lib.reporting.text.thresholds import trained_warning
from moleflow_lib.reporting.text.words import title
from moleflow_lib.rows import Row
from moleflow_lib.storage.disk import write_bytes
from moleflow_lib.studies.baselines.comparison import Comparison

__all__ = ["write_judged_images"]

_RATE = 0.01  # false-alarm rate of the decisions
_PICTURES = 120  # on the page; with maps about 15 kB each
_COLUMNS = {
    "name": "image",
    "product": "product",
    "defect": "defect",
    "outcome": "outcome",
    "decision": "decision",
    "score": "score",
    "threshold": "threshold",
    "smallest_rate": "rate",
    "rank": "rank",
    "chosen": "sent to",
    "accepted": "accepted",
}


def write_judged_images(experiment: Experiment, comparison: Comparison, stem: Path) -> dict[str, str]:
    """Write every test image with score, rank, task, decision, and whether that is right.

    Args:
        experiment: all tasks learned.
        comparison: names the best baseline and holds its patch scores.
        stem: the files' path without `.csv` and `.html`.

    Returns:
        `table` and `page`, the files' names.

    Raises:
        ArtifactError: they cannot be written.
    """
    learned = learned_detector(experiment)
    images = judged_images(experiment.evaluators, learned, _RATE)
    best = comparison.best("image_auroc")
    theirs = comparison.patch_scores(best) if best else ()
    table, page = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("csv", "html"))
    write_bytes(table, Table([image.row for image in images], "").to_csv().encode())
    strips = Strips(experiment, images, theirs)
    write_bytes(page, _page(learned, images, comparison, strips, table).encode())
    write_highlights(
        images, strips, title(best) if best and theirs else "", stem.with_name(stem.name + ENDING)
    )
    return {"table": table.name, "page": page.name}


def _page(
    learned: LearnedDetector,
    images: Sequence[JudgedImage],
    comparison: Comparison,
    strips: Strips,
    table: Path,
) -> str:
    best = comparison.best("image_auroc")
    theirs = comparison.patch_scores(best) if best else ()
    shown = in_turn(images)[:ROWS]
    pictures = {place: strips.address(image) for place, image in enumerate(shown[:_PICTURES])}
    trained = trained_warning(learned.trained_thresholds())
    return Gallery(
        title=f"all {len(images)} test images",
        lead=_lead(images),
        notes=[trained] if trained else [],
        left_out=_left_out(len(shown), len(images), table.name),
        filters={
            **{key: _values(images, key) for key in ("product", "defect")},
            "outcome": OUTCOMES,
            "decision": DECISIONS,
            "accepted": ACCEPTED,
        },
        columns=_COLUMNS,
        picture_head=" · ".join(["image", "mask", "MoLE-Flow", *([title(best)] if best and theirs else [])]),
        caption=_caption(learned, strips, comparison, len(pictures), len(shown)),
        rows=[_row(image) for image in shown],
        pictures=pictures,
        limits=limit_rows(learned, _RATE),
        bar=data_address(colour_bar().repeat(8, axis=0), exact=True),
        ends=scale_ends(strips.scales),
        back="03_continual_tasks.html" if table.with_name("index.html").is_file() else "",
        table=table.name,
    ).html()


def _row(image: JudgedImage) -> Row:
    return {**image.row, "name": image.row["image"]}


def _values(images: Sequence[JudgedImage], key: str) -> list[str]:
    return list(dict.fromkeys(str(image.row[key]) for image in images))


def _lead(images: Sequence[JudgedImage]) -> str:
    counts = Counter(image.outcome for image in images)
    labels = Counter(str(image.row["label"]) for image in images)
    astray = sum(image.task != image.chosen for image in images)
    return (
        f"Decisions at a false-alarm rate of {number(100 * _RATE, 1)} % asked for: {counts['missed defect']} "
        f"of {labels['defective']} defective images missed, {counted(counts['false alarm'], 'false alarm')} "
        f"among {labels['normal']} normal ones; {counted(astray, 'image')} sent to another task"
        + (f", {counts['routed wrong']} of them without another error; " if astray else "; ")
        + f"{labels['unlabelled']} without a label."
    )


def _left_out(shown: int, images: int, table: str) -> str:
    if shown == images:
        return ""
    return f"This page holds {shown} images, errors first; {images - shown} are left out. {table} holds all."


def _caption(
    learned: LearnedDetector, strips: Strips, comparison: Comparison, drawn: int, shown: int
) -> list[str]:
    """How to read the table, and what its pictures leave out."""
    best = comparison.best("image_auroc")
    trained = strips.by_training
    return [
        "Errors first; products and kinds of errors take turns, each with its clearest case first.",
        "Missed defect: a defective image called normal. False alarm: a normal one called defective or "
        "unknown. Routed wrong: sent to another task, the decision right all the same.",
        f"Green: the mask's outline. {colour_words_of_tests()}",
        f"Maps of {', '.join(trained)} are measured by normal training images, since no normal test image "
        "is sent there; no baseline's map is shown."
        if trained
        else "",
        "" if best and comparison.patch_scores(best) else "No baseline was scored under this run's seed.",
        f"Rows with pictures: {drawn}, errors before others." if drawn < shown else "",
        f"Score and threshold: {learned.config.score.image_unit}.",
        "Rate: the smallest false-alarm rate at which the image would count as defective. Rank: share of the "
        "task's training images that score lower.",
        ACCEPTED_WORDS,
    ]
