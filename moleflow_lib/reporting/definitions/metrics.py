"""Detection metrics, their means over tasks, forgetting, intervals."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["METRICS"]

_AUROC = "Hanley & McNeil 1982"
_AP = (
    "Sum over thresholds of the rise in recall times the precision there (no trapezoid, no interpolation); "
    "ties are called together."
)
_F1 = (
    "Highest 2·TP / (2·TP + FP + FN) over all thresholds. The threshold is chosen on the test images "
    "themselves, so this is what the best threshold could reach, not what one set beforehand does."
)
_PIXELS = (
    "All pixels of all labelled test images of the product count, normal images included, at the "
    "evaluation size."
)

METRICS = (
    Definition(
        name="image_auroc",
        title="image AUROC",
        source=_AUROC,
        text="Probability that a defective test image scores higher than a normal one, ties counting half: "
        "the area under the ROC curve, per product. 0.5 is chance.",
    ),
    Definition(
        name="image_ap",
        title="image AP",
        text=f"Average precision over images. {_AP}",
        source="Zhu 2004; as in scikit-learn",
    ),
    Definition(
        name="image_f1max", title="image F1-max", text=_F1, source="as in Jeong et al. 2023 (WinCLIP)"
    ),
    Definition(
        name="pixel_auroc",
        title="pixel AUROC",
        source=_AUROC,
        text="Probability that a defective pixel scores higher than a normal one, ties counting half. "
        f"{_PIXELS} Large areas of easy background bring it close to 1; read it together with pixel AP.",
    ),
    Definition(
        name="pixel_ap",
        title="pixel AP",
        text=f"Average precision over pixels. {_AP} {_PIXELS}",
        source="Zhu 2004; as in scikit-learn",
    ),
    Definition(
        name="pixel_f1max",
        title="pixel F1-max",
        text=f"{_F1} {_PIXELS}",
        source="as in Jeong et al. 2023 (WinCLIP)",
    ),
    Definition(
        name="aupro",
        title="AUPRO",
        source="Bergmann et al. 2021 (MVTec AD), as in MVTec's own evaluation code",
        text="Area under the per-region overlap: the mean over all defect regions (8-connected, image by "
        "image) of the share that is found, against the false-positive rate over all normal pixels of "
        "normal and defective images; every distinct score is a threshold; integrated up to a rate of "
        "0.3, interpolated there, and divided by 0.3. 0.15 is chance.",
    ),
    Definition(
        name="acc",
        title="ACC",
        text="Mean over tasks of the metric after the last task was learned: mean_j R[T,j], where R[i,j] "
        "is the metric on task j after learning task i.",
        source="Lopez-Paz & Ranzato 2017",
    ),
    Definition(
        name="fm_max",
        title="FM_max",
        source="Chaudhry et al. 2018",
        text="Forgetting: mean over earlier tasks of the best value before the last task minus the last "
        "value, max_l R[l,j] − R[T,j]. Papers mean different things by FM; this one also counts a gain "
        "that was lost again.",
    ),
    Definition(
        name="fm_first",
        title="FM_first",
        source="−BWT",
        text="Forgetting against the value when just learned: mean over earlier tasks of R[j,j] − R[T,j]. "
        "Never above FM_max.",
    ),
    Definition(
        name="bwt",
        title="BWT",
        source="Lopez-Paz & Ranzato 2017",
        text="Backward transfer: mean over earlier tasks of the last value minus the value when just "
        "learned, R[T,j] − R[j,j]. Negative = forgetting.",
    ),
    Definition(
        name="gap_to_separate",
        title="gap to separate models",
        source="definition of this project",
        text="Mean over tasks of the score of a model trained on that task alone minus R[T,j]: what learning "
        "in sequence costs against one model a product. Negative = the sequence is better.",
    ),
    Definition(
        name="oracle",
        title="oracle",
        source="definition of this project",
        text="Each image is scored with the parts of the task it belongs to; the task is given.",
    ),
    Definition(
        name="routed",
        title="routed",
        source="definition of this project",
        text="Each image is scored with the parts of the task that the router chose among those known at "
        "that moment. Only this is what a factory would see.",
    ),
    Definition(
        name="interval",
        title="interval",
        also=("95_%_interval", "95%_interval"),
        source="Efron 1979",
        text="Middle 95 % of the values on test images drawn anew with replacement, normal and defective "
        "ones apart, the same draws for every method. It covers the choice of test images (and of "
        "seeds, where it says so), not other products.",
    ),
)
