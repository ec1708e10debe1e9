"""The optimiser loop: fits whatever may be trained to one set of patch features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import TrainingError
from moleflow_lib.model.losses import identity_regulariser, log_det_penalty, patch_nll, tail_aware_loss
from moleflow_lib.runtime import derive_seed, progress, seeded
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = ["fit"]

_CURVES = ("loss", "nll", "log_det", "energy")


def fit(detector: ContinualDetector, task: int, name: str, patches: torch.Tensor) -> tuple[dict[str, list[float]], int]:
    """Maximise the likelihood of patch features under the active task's parts.

    What is trained is what `MoLESpatialAwareNF.train_only` left trainable; the order of the images, the
    noise and the patches drawn follow from the seed and the name alone. `steps` is a budget that does
    not depend on the number of images; 0 counts epochs instead.

    With `feature_noise` σ the flow learns the density of whitened patches (or of patches as they come, without
    `whitening_norm`) blurred by a Gaussian of width σ, which is the Parzen estimate of that density: in place of
    ever finer detail of the directions in which training patches hardly vary, it learns distance to the training
    patches (Vincent 2011).

    Args:
        detector: its flow, in place.
        task: index of the active task; task 0 is held near the identity by `identity_weight`.
        name: what is learned, for random numbers and messages.
        patches: (N, H, W, D) features of normal images.

    Returns:
        A curve for each of loss, nll, log_det and energy = ½‖z‖², nats, one value an epoch; and the
        number of steps made.

    Raises:
        TrainingError: the loss was not finite.
    """
    config = detector.config
    patches = patches.to(detector.device)
    trainable = [p for p in detector.flow.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trainable, lr=config.train.lr, weight_decay=config.train.weight_decay)
    per_epoch = math.ceil(len(patches) / config.train.batch_size)
    total = config.train.steps or config.train.epochs * per_epoch
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, total, config))
    curves: dict[str, list[float]] = {curve: [] for curve in _CURVES}
    with seeded(derive_seed(config.train.seed, "draws", name)):
        for epoch in progress(range(math.ceil(total / per_epoch)), f"training {name}"):
            rows = []
            order = _batches(len(patches), config.train.batch_size, derive_seed(config.train.seed, "order", name, epoch))
            for batch in islice(order, total - epoch * per_epoch):
                loss, row = _loss(detector, task, patches[batch])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                if config.train.clip_norm:
                    torch.nn.utils.clip_grad_norm_(trainable, config.train.clip_norm)
                optimiser.step()
                scheduler.step()
                rows.append(row)
            _record(curves, torch.stack(rows), name, epoch)
    return curves, total


def _loss(detector: ContinualDetector, task: int, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The training loss of a batch, and the numbers kept of it."""
    config, flow = detector.config, detector.flow
    x = flow.flow_input(detector.position(batch.float()), config.train.feature_noise)
    z, log_det = flow.density(x if config.train.patch_share == 1 else _some_patches(x, config.train.patch_share))
    nll = patch_nll(z, log_det)
    loss = tail_aware_loss(nll, config.train.tail_weight, config.train.tail_ratio, config.train.tail_scope)
    if config.train.log_det_penalty:
        loss = loss + config.train.log_det_penalty * log_det_penalty(log_det)
    if task == 0 and config.flow.use_whitening:
        adapter = flow.input_adapters["0"]
        loss = loss + config.train.identity_weight * identity_regulariser(adapter.gamma, adapter.beta)
    nll, log_det = nll.detach().mean(), log_det.detach().mean()
    return loss, torch.stack([loss.detach(), nll, log_det, nll + log_det])


def _some_patches(x: torch.Tensor, share: float) -> torch.Tensor:
    """A share of the grid positions, drawn for the batch: (B, H, W, D) → (B, K, 1, D)."""
    flat = x.flatten(1, 2)
    drawn = torch.randperm(flat.shape[1], device=x.device)[: max(1, round(share * flat.shape[1]))]
    return flat[:, drawn].unsqueeze(2)


def _record(curves: dict[str, list[float]], rows: torch.Tensor, name: str, epoch: int) -> None:
    rows = rows.cpu()
    bad = (~rows.isfinite()).any(dim=1).nonzero()
    if len(bad):
        raise TrainingError(
            f"task {name}: the loss was not finite in epoch {epoch + 1}, batch {int(bad[0]) + 1} (last finite epoch "
            f"losses {[round(v, 1) for v in curves['loss'][-3:]]}); lower lr or set clip_norm=0.5. Earlier tasks are kept"
        )
    for curve, value in zip(_CURVES, rows.mean(dim=0).tolist(), strict=True):
        curves[curve].append(value)


def _rate(step: int, total: int, config: ExperimentConfig) -> float:
    """Learning rate at a step as a share of `lr`."""
    warm = min(1.0, (step + 1) / config.train.warmup_steps) if config.train.warmup_steps else 1.0
    return warm * (0.5 * (1 + math.cos(math.pi * step / total)) if config.train.schedule == "cosine" else 1.0)


def _batches(count: int, size: int, seed: int) -> Iterator[torch.Tensor]:
    return iter(torch.randperm(count, generator=torch.Generator().manual_seed(seed)).split(size))
