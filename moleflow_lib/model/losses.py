"""Training losses on patch likelihoods, in nats; the constant D/2·log 2π is left out of the gradient."""

from __future__ import annotations

import torch

__all__ = ["identity_regulariser", "log_det_penalty", "patch_nll", "tail_aware_loss"]


def patch_nll(z: torch.Tensor, log_det: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of each patch under a standard normal latent, up to a constant.

    The same number is the anomaly score of the patch: higher = more anomalous.

    Args:
        z: (..., D) latent.
        log_det: (...), nats.

    Returns:
        (...) ½‖z‖² − log-det, nats.

    >>> patch_nll(torch.tensor([[3.0, 4.0]]), torch.tensor([2.5]))
    tensor([10.])
    """
    return 0.5 * z.square().sum(dim=-1) - log_det


def tail_aware_loss(
    nll: torch.Tensor, weight: float = 0.3, ratio: float = 0.05, scope: str = "batch"
) -> torch.Tensor:
    """Blend the mean patch loss with the mean of the largest ones: (1−λ)·mean + λ·tail.

    Args:
        nll: (B, H, W) patch losses, nats.
        weight: λ in [0, 1].
        ratio: share of patches in the tail; ⌊ratio·N⌋, at least one.
        scope: `batch` takes the tail over all patches of the batch (as published), `image` over
            each image's own.

    Returns:
        Scalar loss, nats.

    >>> tail_aware_loss(torch.arange(100.0).view(1, 10, 10), weight=0.3).item()
    63.75
    """
    rows = nll.reshape(1 if scope == "batch" else nll.shape[0], -1)
    count = max(int(rows.shape[1] * ratio), 1)
    return (1 - weight) * nll.mean() + weight * rows.topk(count, dim=1).values.mean()


def log_det_penalty(log_det: torch.Tensor) -> torch.Tensor:
    """Mean squared log-determinant, nats²; keeps volumes near one.

    Args:
        log_det: (B, H, W), nats.
    """
    return log_det.square().mean()


def identity_regulariser(gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """How far a whitening adapter is from the identity: mean (γ−1)² + mean β².

    Args:
        gamma: (..., D) scale.
        beta: (..., D) shift.
    """
    return (gamma - 1).square().mean() + beta.square().mean()
