"""The optimiser loop: fits whatever may be trained to one set of patch features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice

import torch

from moleflow_lib.config import TrainOptions
from moleflow_lib.errors import TrainingError
from moleflow_lib.model.flow import FlowParts, MoLESpatialAwareNF
from moleflow_lib.model.losses import identity_regulariser, log_det_penalty, patch_nll, tail_aware_loss
from moleflow_lib.runtime import derive_seed, progress, seeded, threads
from moleflow_lib.training.adamw import AdamW

__all__ = ["WEIGHT_DECAY", "Fitted", "fit", "learning_rate"]

_ON_DEVICE = 2 << 30  # bytes of patches that an accelerator takes as a whole; more come batch by batch
WEIGHT_DECAY = 1e-5  # of AdamW, as published
_SMALL = 1 << 17  # values of a step's patches; see `_threads`
_CURVES = ("loss", "nll", "log_det", "energy")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a training run leaves to tell: a curve for each of loss, nll, log_det and energy = ½‖z‖², nats."""

    curves: dict[str, list[float]]  # one value an epoch
    steps: int


def fit(
    flow: MoLESpatialAwareNF,
    parts: FlowParts,
    patches: torch.Tensor,
    options: TrainOptions,
    name: str,
    base: bool,
) -> Fitted:
    """Maximise the likelihood of patch features under a task's parts, both changed in place.

    The order of the images and the patches drawn follow from the seed and the name alone. `steps` is a budget
    that does not depend on the number of images; 0 counts epochs instead.

    Args:
        flow: the shared flow.
        parts: of the task.
        patches: (N, H, W, D) features of normal images; memory-mapped ones are read batch by batch, unless
            all of them fit into 2 GiB on a GPU.
        options: of the training.
        name: what is learned, for random numbers and messages.
        base: whether the flow itself is trained, and its whitening held near the identity by
            `identity_weight`.

    Raises:
        TrainingError: the loss was not finite.
    """
    flow.requires_grad_(base)
    parts.requires_grad_(True)
    flow.activate(parts)
    try:
        fits = patches.nbytes <= _ON_DEVICE
        with _threads(patches, options):
            return _fit(flow, parts, patches.to(flow.device) if fits else patches, options, name, base)
    finally:
        flow.requires_grad_(False)
        parts.requires_grad_(False)


def _threads(patches: torch.Tensor, options: TrainOptions) -> AbstractContextManager[None]:
    """One CPU thread for small steps: a second one gains a fifth, is lost three times over beside any other
    busy process, and makes the last bits depend on the machine's cores.
    """
    values = min(options.batch_size, len(patches)) * patches[0].numel() * options.patch_share
    return threads(1) if values <= _SMALL else nullcontext()


def learning_rate(step: int, total: int, options: TrainOptions) -> float:
    """Learning rate at a step as a share of `lr`: linear warm-up, then constant or half a cosine down to 0.

    >>> [learning_rate(step, 4, TrainOptions(schedule="cosine")) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    warm = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    return warm * (0.5 * (1 + math.cos(math.pi * step / total)) if options.schedule == "cosine" else 1.0)


def _fit(
    flow: MoLESpatialAwareNF,
    parts: FlowParts,
    patches: torch.Tensor,
    options: TrainOptions,
    name: str,
    base: bool,
) -> Fitted:
    trainable = list(flow.trained_with(parts, base))
    fused = flow.device.type == "cuda"  # on the CPU a fused step rounds otherwise than the published loop's
    optimiser = AdamW(trainable, WEIGHT_DECAY, fused)
    per_epoch = math.ceil(len(patches) / options.batch_size)
    total = options.steps or options.epochs * per_epoch
    held = parts.whitening if base else None
    curves: dict[str, list[float]] = {curve: [] for curve in _CURVES}
    with seeded(derive_seed(options.seed, "draws", name)):
        for epoch in progress(range(math.ceil(total / per_epoch)), f"training {name}"):
            rows = []
            order = _batches(patches, options.batch_size, derive_seed(options.seed, "order", name, epoch))
            for step, batch in enumerate(islice(order, total - epoch * per_epoch), epoch * per_epoch):
                loss, row = _loss(flow, _sent(batch, flow.device), options)
                if held is not None:
                    loss = loss + options.identity_weight * identity_regulariser(held.gamma, held.beta)
                loss.backward()
                if options.clip_norm:
                    torch.nn.utils.clip_grad_norm_(trainable, options.clip_norm)
                optimiser.step(options.lr * learning_rate(step, total, options))
                rows.append(torch.stack([loss.detach(), *row]))
            _record(curves, torch.stack(rows), name, epoch)
    return Fitted(curves=curves, steps=total)


def _loss(
    flow: MoLESpatialAwareNF, batch: torch.Tensor, options: TrainOptions
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The training loss of a batch, and mean nll, log-det and energy of its patches."""
    places = None if options.patch_share == 1 else _drawn_places(batch, options.patch_share)
    z, log_det = flow.density(flow.flow_input(batch, places))
    nll = patch_nll(z, log_det)
    loss = tail_aware_loss(nll, options.tail_weight, options.tail_ratio, options.tail_scope)
    if options.log_det_penalty:
        loss = loss + options.log_det_penalty * log_det_penalty(log_det)
    mean_nll = nll.detach().mean()
    mean_log_det = log_det.detach().mean()
    return loss, (mean_nll, mean_log_det, mean_nll + mean_log_det)


def _drawn_places(batch: torch.Tensor, share: float) -> torch.Tensor:
    """A share (K,) of the places of a grid (B, H, W, D), drawn for the batch."""
    patches = batch.shape[1] * batch.shape[2]
    return torch.randperm(patches, device=batch.device)[: max(1, round(share * patches))]


def _record(curves: dict[str, list[float]], rows: torch.Tensor, name: str, epoch: int) -> None:
    rows = rows.cpu()
    bad = (~rows.isfinite()).any(dim=1).nonzero()
    if len(bad):
        raise TrainingError(
            f"task {name}: the loss was not finite in epoch {epoch + 1}, batch {int(bad[0]) + 1} (last "
            f"finite epoch losses {[round(v, 1) for v in curves['loss'][-3:]]}); lower lr or set "
            "clip_norm=0.5. Earlier tasks are kept"
        )
    for curve, value in zip(_CURVES, rows.mean(dim=0).tolist(), strict=True):
        curves[curve].append(value)


def _batches(patches: torch.Tensor, size: int, seed: int) -> Iterator[torch.Tensor]:
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(seed)).to(patches.device)
    return (patches.index_select(0, rows) for rows in order.split(size))


def _sent(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A batch on the flow's device; from pinned memory it travels while the device works."""
    waiting = device.type == "cuda" and batch.device.type == "cpu"
    return (batch.pin_memory() if waiting else batch).to(device, non_blocking=True)
