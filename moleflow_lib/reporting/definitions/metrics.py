"""Means over tasks, forgetting, intervals; the metrics themselves stand in `moleflow_lib.metrics`."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["SUMMARIES"]

SUMMARIES = (
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
