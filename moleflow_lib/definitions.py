"""What every number of the reports means, in one place. Reports print it and link table heads to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

__all__ = ["DEFINITIONS", "Definition", "definition_of", "link_cells", "link_words"]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A name as it stands in tables and result files, and what it means."""

    name: str  # key in result files
    title: str  # as in prose
    text: str
    source: str
    also: tuple[str, ...] = ()  # other heads under which it stands in tables

    @property
    def anchor(self) -> str:
        """Where a report prints it."""
        return f"definition-{self.name}"


_AUROC = "Hanley & McNeil 1982"
_AP = (
    "Sum over thresholds of the rise in recall times the precision there (no trapezoid, no interpolation); ties are called "
    "together."
)
_F1 = (
    "Highest 2·TP / (2·TP + FP + FN) over all thresholds. The threshold is chosen on the test images themselves, so this is what "
    "the best threshold could reach, not what one set beforehand does."
)
_PIXELS = "All pixels of all labelled test images of the product count, normal images included, at the evaluation size."

DEFINITIONS = (
    Definition(
        name="image_auroc", title="image AUROC", source=_AUROC,
        text="Probability that a defective test image scores higher than a normal one, ties counting half: the area under the "
        "ROC curve, per product. 0.5 is chance.",
    ),
    Definition(
        name="image_ap", title="image AP", text=f"Average precision over images. {_AP}", source="Zhu 2004; as in scikit-learn",
    ),
    Definition(name="image_f1max", title="image F1-max", text=_F1, source="as in Jeong et al. 2023 (WinCLIP)"),
    Definition(
        name="pixel_auroc", title="pixel AUROC", source=_AUROC,
        text=f"Probability that a defective pixel scores higher than a normal one, ties counting half. {_PIXELS} "
        "Large areas of easy background bring it close to 1; read it together with pixel AP.",
    ),
    Definition(
        name="pixel_ap", title="pixel AP", text=f"Average precision over pixels. {_AP} {_PIXELS}",
        source="Zhu 2004; as in scikit-learn",
    ),
    Definition(name="pixel_f1max", title="pixel F1-max", text=f"{_F1} {_PIXELS}", source="as in Jeong et al. 2023 (WinCLIP)"),
    Definition(
        name="aupro", title="AUPRO", source="Bergmann et al. 2021 (MVTec AD), as in MVTec's own evaluation code",
        text="Area under the per-region overlap: the mean over all defect regions (8-connected, image by image) of the share that "
        "is found, against the false-positive rate over all normal pixels of normal and defective images; every distinct score is "
        "a threshold; integrated up to a rate of 0.3, interpolated there, and divided by 0.3. 0.15 is chance.",
    ),
    Definition(
        name="acc", title="ACC", text="Mean over tasks of the metric after the last task was learned: mean_j R[T,j], where R[i,j] "
        "is the metric on task j after learning task i.", source="Lopez-Paz & Ranzato 2017",
    ),
    Definition(
        name="fm_max", title="FM_max", source="Chaudhry et al. 2018",
        text="Forgetting: mean over earlier tasks of the best value before the last task minus the last value, "
        "max_l R[l,j] − R[T,j]. Papers mean different things by FM; this one also counts a gain that was lost again.",
    ),
    Definition(
        name="fm_first", title="FM_first", source="−BWT",
        text="Forgetting against the value when just learned: mean over earlier tasks of R[j,j] − R[T,j]. Never above FM_max.",
    ),
    Definition(
        name="bwt", title="BWT", source="Lopez-Paz & Ranzato 2017",
        text="Backward transfer: mean over earlier tasks of the last value minus the value when just learned, R[T,j] − R[j,j]. "
        "Negative = forgetting.",
    ),
    Definition(
        name="gap_to_separate", title="gap to separate models", source="definition of this project",
        text="Mean over tasks of the score of a model trained on that task alone minus R[T,j]: what learning in sequence costs "
        "against one model a product. Negative = the sequence is better.",
    ),
    Definition(
        name="oracle", title="oracle", source="definition of this project",
        text="Each image is scored with the parts of the task it belongs to; the task is given.",
    ),
    Definition(
        name="routed", title="routed", source="definition of this project",
        text="Each image is scored with the parts of the task that the router chose among those known at that moment. Only this "
        "is what a factory would see.",
    ),
    Definition(
        name="accuracy", title="routing accuracy", also=("routing", "routing_accuracy"), source="definition of this project",
        text="Share of all labelled test images that the router sends to their own task (micro mean: large tasks weigh more).",
    ),
    Definition(
        name="accuracy_macro", title="routing accuracy, macro", source="definition of this project",
        text="Mean over tasks of each task's routing accuracy; every task weighs the same.",
    ),
    Definition(
        name="accuracy_normal", title="routing accuracy, normal images", source="definition of this project",
        text="Routing accuracy over the normal test images of all tasks.",
    ),
    Definition(
        name="accuracy_anomalous", title="routing accuracy, defective images", source="definition of this project",
        text="Routing accuracy over the defective test images of all tasks: a defect may push its image to a foreign task.",
    ),
    Definition(
        name="interval", title="interval", also=("95_%_interval", "95%_interval"), source="Efron 1979",
        text="Middle 95 % of the values on test images drawn anew with replacement, normal and defective ones apart, the same "
        "draws for every method. It covers the choice of test images (and of seeds, where it says so), not other products.",
    ),
    Definition(
        name="difference", title="paired difference", source="Student 1908",
        text="Mean over seeds of a run's metric minus the preset's under the same seed; low and high end its Student-t 95 % "
        "interval over seeds, undefined for one seed. It covers what moves from seed to seed on the same test images. sign: 1 or "
        "−1 where the interval excludes zero, 0 where it does not. Of many comparisons without any effect, one in twenty excludes "
        "zero by chance.",
    ),
    Definition(
        name="effective_rank", title="effective rank", source="Roy & Vetterli 2007",
        text="exp of the entropy of a matrix's singular values divided by their sum: 1 for one direction, r for r equal ones.",
    ),
    Definition(
        name="stable_rank", title="stable rank", source="Rudelson & Vershynin 2007",
        text="Sum of the squared singular values of a matrix over the largest squared one.",
    ),
    Definition(
        name="relative_norm", title="relative norm of a low-rank update", source="definition of this project",
        text="‖α/r·B·A‖ / ‖W‖, Frobenius norms: how large the update is beside the weight it changes.",
    ),
    Definition(
        name="reach", title="reach of the score tail", source="definition of this project",
        text="Distance of the 99.9 % quantile of the patch scores of normal test images from their median, in units of the "
        "distance of the 95 % quantile. 1.88 for a normal distribution; higher = a longer tail.",
    ),
    Definition(
        name="beyond", title="defect patches beyond the tail", source="definition of this project",
        text="Share of defect patches (a quarter of the area marked, or more) that score above the 99.9 % quantile of the "
        "patches of normal test images.",
    ),
)

_BY_HEAD: Mapping[str, Definition] = {head: entry for entry in DEFINITIONS for head in (entry.name, *entry.also)}
_CELL = re.compile(r"<(th|td)((?: [^>]*)?)>([^<]+)</\1>")
_WORD = re.compile(r"\b(?:(?:image|pixel)_(?:auroc|ap|f1max)|aupro|fm_max|fm_first|bwt|gap_to_separate)\b", re.IGNORECASE)


def definition_of(head: str) -> Definition | None:
    """The definition behind a table's head; what stands in brackets after the name is passed over.

    >>> definition_of("pixel_ap (oracle)").title, definition_of("image F1-max").name, definition_of("seconds")
    ('pixel AP', 'image_f1max', None)
    """
    name = head.split(" (")[0].strip().lower().replace("-", "").replace(" ", "_").removesuffix("_lost")
    return _BY_HEAD.get(name)


def link_cells(html: str) -> str:
    """HTML tables with a link to the definition behind every cell that is the name of something defined."""
    def linked(cell: re.Match[str]) -> str:
        tag, attributes, text = cell.groups()
        found = definition_of(text)
        return f"<{tag}{attributes}>{text}{_link(found)}</{tag}>" if found else cell.group()

    return _CELL.sub(linked, html)


def link_words(html: str) -> str:
    """Escaped prose with a link behind every metric that is named as in result files.

    >>> link_words("R of image_auroc").count('href="#definition-image_auroc"')
    1
    """
    return _WORD.sub(lambda word: word.group() + _link(_BY_HEAD[word.group().lower()]), html)


def _link(found: Definition) -> str:
    return (
        f'<a class="definition" href="#{found.anchor}" title="{escape(found.text, quote=True)}" '
        f'aria-label="definition of {escape(found.title, quote=True)}">?</a>'
    )
