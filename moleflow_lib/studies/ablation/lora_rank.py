"""Do the low-rank updates do anything? Their rank as learned, their size beside the weight they change."""

from __future__ import annotations

from typing import Any

import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import mean_defined
from moleflow_lib.model.lora import LoRALinear
from moleflow_lib.scoring.detector import ContinualDetector

__all__ = [
    "effective_rank",
    "learned_updates",
    "lora_summary",
    "lora_updates",
    "singular_values",
    "stable_rank",
]

_NUMBERS = ("effective_rank", "stable_rank", "relative_norm")


def singular_values(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Singular values of left·right without forming the product, in float64.

    Args:
        left: (m, r).
        right: (r, n).

    Returns:
        (min(m, n, r),), falling.
    """
    outer = torch.linalg.qr(left.detach().double().cpu(), mode="r").R
    inner = torch.linalg.qr(right.detach().double().cpu().T, mode="r").R
    return torch.linalg.svdvals(outer @ inner.T)


def effective_rank(values: torch.Tensor) -> float | None:
    """exp of the entropy of the singular values over their sum (Roy & Vetterli 2007).

    Args:
        values: (n,) singular values.

    Returns:
        Between 1 and n; None for the zero matrix, which has none.

    >>> round(effective_rank(torch.tensor([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    if not values.sum():
        return None
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def stable_rank(values: torch.Tensor) -> float | None:
    """‖M‖²_F / ‖M‖²_2 from singular values (n,); None for the zero matrix."""
    return float(values.square().sum() / values.max().square()) if values.sum() else None


def lora_updates(detector: ContinualDetector) -> list[dict[str, Any]]:
    """Every learned update α/r·B·A, one row a task and layer.

    Args:
        detector: with its tasks learned.

    Returns:
        `task` (its name), `block`, `layer`, `scale` α/r, `rank` (the most it could have), `effective_rank`,
        `stable_rank`, and `relative_norm` = ‖α/r·B·A‖_F / ‖W‖_F. Empty without LoRA.
    """
    blocks = detector.flow.flow
    layers = [(name, module) for name, module in blocks.named_modules() if isinstance(module, LoRALinear)]
    return [
        _update(task.name, name, layer, update.lora_B, update.lora_A)
        for task in detector.tasks
        for (name, layer), update in zip(layers, task.flow.layer_updates(), strict=True)
        if update.lora_A is not None and update.lora_B is not None
    ]


def learned_updates(config: ExperimentConfig) -> list[dict[str, Any]]:
    """`lora_updates` of an experiment, its tasks read from the store (or learned now)."""
    experiment = Experiment(config)
    experiment.learn()
    return lora_updates(experiment.detector)


def lora_summary(detector: ContinualDetector) -> dict[str, float | None]:
    """Means over tasks and layers of `effective_rank`, `stable_rank`, `relative_norm`; None without LoRA."""
    rows = lora_updates(detector)
    return {number: mean_defined([row[number] for row in rows]) for number in _NUMBERS}


def _update(task: str, name: str, layer: LoRALinear, up: torch.Tensor, down: torch.Tensor) -> dict[str, Any]:
    values = abs(layer.scaling) * singular_values(up, down)
    block = next(int(part) for part in name.split(".") if part.isdigit())
    return {
        "task": task,
        "block": block + 1,
        "layer": name.split(".")[-1],
        "scale": layer.scaling,
        "rank": min(layer.rank, *layer.base.weight.shape),
        "effective_rank": effective_rank(values),
        "stable_rank": stable_rank(values),
        "relative_norm": float(values.norm() / layer.base.weight.detach().double().norm()),
    }
