"""The methods that are compared, and what they cost."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["METHODS"]

METHODS = (
    Definition(
        name="moleflow",
        title="MoLE-Flow",
        source="the method of this project",
        text="One flow trained on the first task and frozen; whitening, LoRA, biases and an invertible "
        "adapter of each task; where score_parts names them, stored patches of each task and the energy "
        "of its whitening. compress_scores takes the logarithm of patch scores above the training mean, "
        "prototype_weight gives an image's distance to the task's prototype a share of its score.",
    ),
    Definition(
        name="memory_bank",
        title="memory bank",
        source="Roth et al. 2022 (PatchCore)",
        text="A share of each task's training patches (bank_share, at most bank_limit), chosen as a greedy "
        "k-centre coreset in 128 random projections; a patch scores its Euclidean distance to the "
        "nearest one kept. Patches are not averaged with their neighbours, scores are neither "
        "compressed nor joined by a prototype. Routed like the method.",
    ),
    Definition(
        name="gaussian",
        title="Gaussian",
        source="Rippel et al. 2021, on patches",
        text="One Gaussian for each task: mean and full covariance of all its training patches, 0.1 of the "
        "mean variance added to every variance, no position, nothing trained; a patch scores half its "
        "squared Mahalanobis distance. What a flow adds is measured against this. Routed like the "
        "method.",
    ),
    Definition(
        name="padim",
        title="PaDiM",
        source="Defard et al. 2021",
        text="One Gaussian for each task and position of the patch grid over 100 channels drawn at random, "
        "covariance + 0.01·I; a patch scores its Mahalanobis distance, neither compressed nor joined by "
        "a prototype. Routed like the method.",
    ),
    Definition(
        name="separate",
        title="separate flows",
        also=("separate_flows",),
        source="definition of this project",
        text="A whole model of its own for each task, trained and scored as the method's first task. Routed "
        "like the method.",
    ),
    Definition(
        name="joint",
        title="joint flow",
        also=("joint_flow",),
        source="definition of this project",
        text="One model trained, as the method trains its first task, on the training images of all tasks "
        "together, with as many steps and stored patches as all tasks have; no task, no router, no "
        "prototype in its scores. It has no earlier values, so forgetting is undefined.",
    ),
    Definition(
        name="fine_tune",
        title="fine-tuned flow",
        also=("finetuned_flow",),
        source="definition of this project",
        text="One model, trained on task after task with nothing frozen and no parts of tasks; after task i "
        "every image is scored with the model as it then is, by its likelihood alone. No router, so "
        "oracle and routed are the same.",
    ),
    Definition(
        name="adapter_only",
        title="adapters alone",
        also=("adapters_alone",),
        source="definition of this project",
        text="The method without coupling blocks: whitening and invertible adapter of each task; the context "
        "mixer is shared, trained with the first task and then frozen. Routed like the method.",
    ),
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
        text="Time to learn all tasks on the machine that first did so, features already extracted.",
    ),
    Definition(
        name="score_seconds",
        title="seconds an image",
        also=("ms_an_image",),
        source="definition of this project",
        text="Time to turn an image's features into patch scores and one image score, in batches of up to 32 "
        "images; the backbone is left out.",
    ),
)
