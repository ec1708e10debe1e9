"""Notebook 02: the base task."""

from __future__ import annotations

from collections.abc import Mapping

from moleflow_lib.config import ScoreOptions
from moleflow_lib.model.flow import shared_values
from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import score_words
from moleflow_lib.scoring.task_parts import TaskHistory
from moleflow_lib.studies.features_and_latents import LatentReport

__all__ = ["base_sentences"]


def base_sentences(
    history: TaskHistory,
    metrics: Mapping[str, float | None],
    latent: LatentReport,
    counts: Mapping[str, int],
    score: ScoreOptions,
) -> list[str]:
    """Summary of notebook 02."""
    loss = history.curves["loss"]
    back = min(5, len(loss) - 1)
    unit = "s" if history.device == "cuda" else "CPU seconds"
    return [
        f"On {history.name} the base task reaches image AUROC {number(metrics['image_auroc'])}; "
        + _pixel_words(metrics),
        score_words(score),
        f"{history.steps} steps took {history.seconds:.0f} {unit}; over the last {back} epochs the loss "
        f"moved by {loss[-1] - loss[-1 - back]:+.1f} nats a patch, from {loss[0]:.0f} in the first epoch to "
        f"{loss[-1]:.0f}.",
        f"The latent of {latent.images} is {latent.ks_distance:.3f} (Kolmogorov–Smirnov) from a standard "
        "normal.",
        f"{number(shared_values(counts))} values are shared and frozen from here on; each task adds "
        f"{number(counts['per_task'])}"
        + (
            f", {number(counts['stored_patches'])} of them stored patches."
            if counts.get("stored_patches")
            else "."
        ),
    ]


def _pixel_words(metrics: Mapping[str, float | None]) -> str:
    if metrics["pixel_ap"] is None:
        return "no defect is marked, so pixel metrics are undefined."
    return f"pixel AUROC {metrics['pixel_auroc']:.3f}, pixel AP {metrics['pixel_ap']:.3f}."
