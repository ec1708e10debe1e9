"""The whitening adapter, which brings every task's patches to the scale the shared flow was trained on."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from moleflow_lib.model.cache import TensorCache

__all__ = ["WhiteningAdapter", "whitening_matrix"]

_RIDGE = 0.1  # share of the mean variance added to every variance; .01 to .3 measured alike
_GAMMA = (0.5, 2.0)
_BETA = 2.0
_MATRICES: TensorCache[torch.Tensor] = TensorCache()


def whitening_matrix(covariance: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Symmetric (ZCA) whitening W = (Σ + ρ·(tr Σ/D)·I)^(−½), ρ = 0.1, and its log-determinant, nats.

    Symmetric, so that channels keep their meaning across tasks and no sign is arbitrary.

    Args:
        covariance: Σ, (D, D) float64.

    >>> matrix, log_det = whitening_matrix(torch.eye(2, dtype=torch.float64))
    >>> round(matrix[0, 0].item() ** -2, 6), round(log_det, 6)
    (1.1, -0.09531)
    """
    values, axes = torch.linalg.eigh(covariance)
    values = values.clamp_min(0)
    values = values + (_RIDGE * values.mean()).clamp_min(1e-12)
    return (axes * values.rsqrt()) @ axes.T, -0.5 * float(values.log().sum())


class WhiteningAdapter(nn.Module):
    """Standardises patches, then scales by γ ∈ [0.5, 2] and shifts by β ∈ [−2, 2], both trained for the task.

    `layer_norm`, as published: each patch gets mean 0 and standard deviation 1 over its channels; the
    covariance over patches stays as it is, and the map has no inverse. γ starts at ≈ 1 for the base task, at
    the midpoint 1.25 for later ones. `full`: W(x − μ) with mean and covariance of the task's training
    patches, so every task enters the shared flow with mean 0 and covariance I; γ starts at 1.

    Args:
        dim: D.
        first: whether this is the base task.
        kind: `layer_norm` or `full`.
    """

    mean: torch.Tensor
    packed: torch.Tensor  # lower triangle of W
    log_det: torch.Tensor

    def __init__(self, dim: int, first: bool, kind: str = "layer_norm") -> None:
        super().__init__()
        self.full = kind == "full"
        start = -math.log(2) if self.full else -0.7 if first else 0.0
        self.gamma_raw = nn.Parameter(torch.full((dim,), start))
        self.beta_raw = nn.Parameter(torch.zeros(dim))
        if self.full:
            self.register_buffer("mean", torch.zeros(dim))
            self.register_buffer("packed", torch.zeros(dim * (dim + 1) // 2))
            self.register_buffer("log_det", torch.zeros(()))

    @property
    def gamma(self) -> torch.Tensor:
        """(D,) scale."""
        low, high = _GAMMA
        return low + (high - low) * torch.sigmoid(self.gamma_raw)

    @property
    def beta(self) -> torch.Tensor:
        """(D,) shift."""
        return _BETA * torch.tanh(self.beta_raw)

    @property
    def matrix(self) -> torch.Tensor:
        """W of `full` whitening, (D, D)."""
        return _MATRICES([self.get_buffer("packed")], self._unpacked)

    def _unpacked(self) -> torch.Tensor:
        dim = len(self.mean)
        lower = self.packed.new_zeros(dim, dim)
        rows, columns = torch.tril_indices(dim, dim, device=lower.device)
        lower[rows, columns] = self.packed
        return lower + lower.tril(-1).T

    @torch.no_grad()
    def fit(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """Take W and μ of `full` whitening from the moments (D,), (D, D) float64 of the task's training
        patches.
        """
        matrix, log_det = whitening_matrix(covariance)
        rows, columns = torch.tril_indices(*matrix.shape)
        self.mean.copy_(mean)
        self.packed.copy_(matrix[rows, columns])
        self.log_det.fill_(log_det)

    def standardised(self, features: torch.Tensor) -> torch.Tensor:
        """Patches (..., D) without γ, β."""
        if not self.full:
            return F.layer_norm(features, features.shape[-1:])
        return (features - self.mean) @ self.matrix

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """γ·x + β of patches (..., D) from `standardised`."""
        return (self.gamma * x).add_(self.beta)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, H, W, D) → (B, H, W, D), standardised, then scaled and shifted."""
        return self.scaled(self.standardised(features))

    def inverse(self, x: torch.Tensor) -> torch.Tensor:
        """Features (..., D) from `forward`; of `full` whitening alone, LayerNorm has no inverse."""
        return torch.linalg.solve(self.matrix, ((x - self.beta) / self.gamma).mT).mT + self.mean

    def log_volume(self) -> torch.Tensor:
        """Log-determinant of the map for one patch, nats: Σ log γ, with `full` whitening and log|W|."""
        scale = self.gamma.log().sum()
        return scale + self.log_det if self.full else scale

    def energy(self, features: torch.Tensor) -> torch.Tensor:
        """½‖W(x − μ)‖² of patches (..., D): what a full Gaussian of the task says without any training (...),
        nats.
        """
        return 0.5 * self.standardised(features).square().sum(dim=-1)
