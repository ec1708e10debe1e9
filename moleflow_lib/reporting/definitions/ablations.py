"""Differences between runs, low-rank updates, score tails."""

from __future__ import annotations

from moleflow_lib.reporting.definitions.definition import Definition

__all__ = ["ABLATIONS"]

ABLATIONS = (
    Definition(
        name="difference",
        title="paired difference",
        source="Student 1908",
        text="Mean over seeds of a run's metric minus the preset's under the same seed; low and high end its "
        "Student-t 95 % interval over seeds, undefined for one seed. It covers what moves from seed to "
        "seed on the same test images. sign: 1 or −1 where the interval excludes zero, 0 where it does "
        "not. Of many comparisons without any effect, one in twenty excludes zero by chance.",
    ),
    Definition(
        name="effective_rank",
        title="effective rank",
        source="Roy & Vetterli 2007",
        text="exp of the entropy of a matrix's singular values divided by their sum: 1 for one direction, r "
        "for r equal ones.",
    ),
    Definition(
        name="stable_rank",
        title="stable rank",
        source="Rudelson & Vershynin 2007",
        text="Sum of the squared singular values of a matrix over the largest squared one.",
    ),
    Definition(
        name="relative_norm",
        title="relative norm of a low-rank update",
        source="definition of this project",
        text="‖α/r·B·A‖ / ‖W‖, Frobenius norms: how large the update is beside the weight it changes.",
    ),
    Definition(
        name="reach",
        title="reach of the score tail",
        source="definition of this project",
        text="Distance of the 99.9 % quantile of the patch scores of normal test images from their median, "
        "in units of the distance of the 95 % quantile. 1.88 for a normal distribution, less where "
        "compress_scores takes logarithms; higher = a longer tail.",
    ),
    Definition(
        name="beyond",
        title="defect patches beyond the tail",
        source="definition of this project",
        text="Share of defect patches (a quarter of the area marked, or more) that score above the 99.9 % "
        "quantile of the patches of normal test images.",
    ),
)
