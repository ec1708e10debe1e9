"""Looking into features and latents: what notebooks 01 and 02 show, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from sklearn.decomposition import PCA

from moleflow_lib.features.store import Features
from moleflow_lib.metrics import image_metrics
from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.scoring.aggregation import image_scores
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = [
    "LatentReport",
    "class_separation",
    "latent_report",
    "mean_separation",
    "parameter_rows",
    "patch_pca",
    "reference_shift",
    "untrained_auroc",
]

_CLAIM = "claimed by the method's first description (D = 768, rank 64)"
_SEED_CLAIMS = {
    "base": 18_900_000,
    "mixer": 600_000,
    "lora": 1_570_000,
    "task_bias": 12_000,
    "whitening": 1_500,
    "dia": 500_000,
    "per_task": 2_100_000,
}


def class_separation(features: Sequence[Features]) -> np.ndarray:
    """How far apart the products lie, in units of their own spread.

    Args:
        features: training features, one entry a task.

    Returns:
        (T, T) ‖μᵢ − μⱼ‖ / √((tr Σᵢ + tr Σⱼ)/2) of the mean patch features; zero on the diagonal, nan where
        neither has any spread.
    """
    return mean_separation([f.image_means().double().numpy() for f in features])


def mean_separation(means: Sequence[np.ndarray]) -> np.ndarray:
    """`class_separation` (T, T) from the image features (n, D) of each task."""
    centres = np.stack([m.mean(axis=0) for m in means])
    spread = np.array([m.var(axis=0, ddof=1).sum() for m in means])
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    scale = np.sqrt((spread[:, None] + spread[None]) / 2)
    distances = np.divide(gaps, scale, out=np.full_like(gaps, np.nan), where=scale > 0)
    np.fill_diagonal(distances, 0)
    return distances


def patch_pca(
    train: Sequence[Features], shown: Sequence[torch.Tensor], sample: int = 4000
) -> list[np.ndarray]:
    """Three principal components of patch features as colours.

    Args:
        train: features the components are fitted on; all tasks together.
        shown: patch features (H, W, D) to colour.
        sample: patches used for the fit.

    Returns:
        One (H, W, 3) uint8 picture for each of `shown`; colours are comparable between them.
    """
    pool = (
        torch.cat([f.patches[:: max(1, len(f.patches) // 20)].flatten(0, 2) for f in train]).float().numpy()
    )
    picked = np.random.default_rng(0).permutation(len(pool))[:sample]
    pca = PCA(n_components=3, random_state=0).fit(pool[picked])
    low, high = np.percentile(pca.transform(pool[picked]), [2, 98], axis=0)
    coloured = []
    for patches in shown:
        scores = pca.transform(patches.float().flatten(0, 1).numpy())
        share = np.clip((scores - low) / (high - low), 0, 1)
        coloured.append((255 * share).astype(np.uint8).reshape(*patches.shape[:2], 3))
    return coloured


def reference_shift(reference: RunningMoments, features: Features) -> float:
    """How far a task's features lie from the base task's: root mean square of (μ_t − μ₀)/σ₀ over channels."""
    mean = features.image_means().double().mean(dim=0)
    return float(((mean - reference.mean) / reference.std().clamp_min(1e-12)).square().mean().sqrt())


def untrained_auroc(train: Features, test: Features) -> float | None:
    """Image AUROC of one task's features as they are: nothing is learned but each channel's mean and spread.

    A patch scores the root mean square of (x − μ)/σ over channels, an image its three highest patches. What a
    method reaches beyond this is owed to the method. Engineering choice.

    Args:
        train: features of its training images.
        test: of its test images; unlabelled ones are left out.

    Returns:
        In [0, 1]; None where only one kind of image is labelled.
    """
    labelled = [n for n, record in enumerate(test.records) if record.label is not None]
    if len({test.records[n].label for n in labelled}) < 2:
        return None
    moments = RunningMoments.of_patches(train.patches)
    mean, spread = moments.mean, moments.std().clamp_min(1e-12)
    scores = [
        image_scores(((test.patches[n : n + 1].double() - mean) / spread).square().mean(dim=-1).sqrt())
        for n in labelled
    ]
    labels = np.array([test.records[n].label for n in labelled])
    return image_metrics(torch.cat(scores).numpy(), labels)["image_auroc"]


@dataclass(frozen=True, kw_only=True)
class LatentReport:
    """How normal the latent of normal images is. A perfect flow gives means 0, deviations 1, KS 0."""

    quantiles: np.ndarray  # (2, Q) standard normal quantiles, and those of z
    energy: np.ndarray  # (N·H·W,) ‖z‖²/D of each patch, 1 expected
    log_det: np.ndarray  # (N·H·W,) nats
    ks_distance: float  # largest gap between the distribution of z and the standard normal
    images: str  # which images: "normal test images"; "training images" where the test set has no normal ones


def latent_report(
    detector: ContinualDetector, test: Features, train: Features, task: int, images: int = 32
) -> LatentReport:
    """Compare the latent of normal images with the standard normal it was trained towards.

    Args:
        detector: learned at least up to `task`.
        test: features of the task's test images, of which the normal ones are used.
        train: used instead where no test image is known to be normal.
        task: whose parts to use.
        images: at most this many normal images.
    """
    normal = [i for i, record in enumerate(test.records) if record.label == 0][:images]
    z, log_det = detector.latent(test.patches[normal] if normal else train.patches[:images], task)
    flat = z.flatten(0, 2).double().numpy()
    share = np.linspace(0.001, 0.999, 199)
    return LatentReport(
        quantiles=np.stack([stats.norm.ppf(share), np.quantile(flat, share)]),
        energy=(flat**2).mean(axis=1),
        log_det=log_det.flatten().numpy(),
        ks_distance=float(
            stats.kstest(np.random.default_rng(0).choice(flat.ravel(), 200_000), "norm").statistic
        ),
        images="normal test images" if normal else "training images",
    )


def parameter_rows(counts: dict[str, int]) -> list[dict[str, object]]:
    """Counted values of each part beside what the method's first description claims at D = 768, rank 64."""
    return [
        {"part": part, "counted": value, _CLAIM: _SEED_CLAIMS.get(part)} for part, value in counts.items()
    ]
