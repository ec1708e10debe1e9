"""The method itself and what methods cost; baselines are in `moleflow_lib.config.BASELINES`."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["COSTS", "METHOD"]

METHOD = (
    Definition(
        name="moleflow",
        title="MoLE-Flow",
        source="the method of this project",
        text="One flow trained on the first task and frozen; whitening, LoRA, biases and an invertible "
        "adapter of each task; where score_parts names them, stored patches of each task and the energy "
        "of its whitening. What is usual for the task's own patches goes off the distance to stored ones. "
        "compress_scores takes the logarithm of patch scores above the training mean, "
        "prototype_weight gives an image's distance to the task's prototype a share of its score. "
        "damaged_copies adds patches to what a task learns from: those that damage drawn onto copies of its "
        "images does not touch. Memory bank, Gaussian and PaDiM learn from the images alone.",
    ),
)

COSTS = (
    Definition(
        name="values_per_task",
        title="values a task",
        also=("k_values_a_task", "mb_a_task", "bytes_per_task"),
        source="definition of this project",
        text="What is kept for each further task: trained values at four bytes each, patches of a bank and "
        "stored patches at two, and where a router chooses its prototype, a mean and half a covariance "
        "at four bytes a value.",
    ),
    Definition(
        name="shared_values",
        title="shared values",
        also=("k_shared",),
        source="definition of this project",
        text="What is kept once, whatever the number of tasks: the base flow with its mixer, or a single "
        "model as a whole.",
    ),
    Definition(
        name="learn_seconds",
        title="seconds to learn",
        also=("s_to_learn",),
        source="definition of this project",
        text="Time to learn all tasks on the machine that first did so, features already extracted: CPU "
        "seconds of all threads, which other work on the machine hardly changes; with a GPU, seconds of the "
        "clock. Baselines learn on one thread, the method on several where its steps are large.",
    ),
    Definition(
        name="score_seconds",
        title="seconds an image",
        also=("ms_an_image",),
        source="definition of this project",
        text="Time to turn an image's features into patch scores and one image score, in batches of up to 32 "
        "images; the backbone is left out. Measured on one CPU thread, one method after another, when all "
        "of them have been learned.",
    ),
)
