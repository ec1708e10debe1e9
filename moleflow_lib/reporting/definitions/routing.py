"""How well the router chooses, and the evidence for it."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["ROUTING"]

ROUTING = (
    Definition(
        name="accuracy",
        title="routing accuracy",
        also=("routing", "routing_accuracy"),
        source="definition of this project",
        text="Share of all labelled test images that the router sends to their own task (micro mean: large "
        "tasks weigh more).",
    ),
    Definition(
        name="accuracy_macro",
        title="routing accuracy, macro",
        source="definition of this project",
        text="Mean over tasks of each task's routing accuracy; every task weighs the same.",
    ),
    Definition(
        name="accuracy_normal",
        title="routing accuracy, normal images",
        source="definition of this project",
        text="Routing accuracy over the normal test images of all tasks.",
    ),
    Definition(
        name="accuracy_anomalous",
        title="routing accuracy, defective images",
        source="definition of this project",
        text="Routing accuracy over the defective test images of all tasks: a defect may push its image to a "
        "foreign task.",
    ),
    Definition(
        name="wilson_interval",
        title="Wilson interval",
        source="Wilson 1927",
        text="95 % interval of a share that was counted on a number of images, right also near 0 and 1. It "
        "takes the images as independent draws and covers no other products.",
    ),
    Definition(
        name="held_out",
        title="routing accuracy, held out",
        source="definition of this project",
        text="Share of the training images that are nearest to their own task when the prototypes of all "
        "tasks were made without them (5-fold cross-validation). No test image takes part.",
    ),
    Definition(
        name="few_images",
        title="routing accuracy from few images",
        source="definition of this project",
        text="Share of training images routed right by prototypes made of 10 other training images a task "
        "(at most half of them), over 3 draws.",
    ),
    Definition(
        name="one_small_task",
        title="routing accuracy of one small task",
        source="definition of this project",
        text="Share of a task's training images routed right when its prototype is made of 10 others and "
        "every other task keeps all of its own; the task that fares worst, 3 draws.",
    ),
    Definition(
        name="min_separation",
        title="gap needed",
        source="definition of this project",
        text="Share of today's gaps between task means down to which 99 % of the images are still routed "
        "right, while every task keeps its own scatter: a stress test on moved features, small = much "
        "reserve. A dash: not reached even today.",
    ),
    Definition(
        name="condition_number",
        title="condition number",
        source="standard",
        text="Largest over smallest eigenvalue of the covariance estimate that distances are measured with, "
        "the largest of any task. Large = nearly singular: distances rest on directions in which "
        "training images hardly varied.",
    ),
)
