"""MoLE-Flow's density model: one shared flow, and small parts for every task around and inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from moleflow_lib.config import FlowOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.model.adapters import DeepInvertibleAdapter, SpatialContextMixer, WhiteningAdapter
from moleflow_lib.model.coupling import build_coupling_flow
from moleflow_lib.model.lora import LoRALinear
from moleflow_lib.runtime import derive_seed, seeded

__all__ = ["MoLESpatialAwareNF", "shared_values"]

_TASK_CONTAINERS = ("lora_A", "lora_B", "task_bias", "input_adapters", "dia_adapters")
_PARTS = {"lora_A": "lora", "lora_B": "lora", "task_bias": "task_bias", "input_adapters": "whitening", "dia_adapters": "dia"}


class MoLESpatialAwareNF(nn.Module):
    """Whitening[t] → context mixer → coupling blocks with LoRA[t] → invertible adapter[t].

    Every tensor belongs either to the base (shared, trained with task 0, then frozen) or to exactly
    one task; `train_only`, `base_state` and `task_state` follow that ownership.

    Args:
        dim: feature width D, even.
        options: its shape.
        seed: of initial values, with the names of tasks.

    >>> flow = MoLESpatialAwareNF(8, FlowOptions(coupling_layers=2, lora_rank=2))
    >>> flow.add_task(0)
    >>> z, log_det = flow(torch.randn(1, 3, 3, 8))
    >>> z.shape, log_det.shape
    (torch.Size([1, 3, 3, 8]), torch.Size([1, 3, 3]))
    """

    def __init__(self, dim: int, options: FlowOptions, seed: int = 0) -> None:
        super().__init__()
        if dim % 2:
            raise ConfigError(f"a coupling flow splits its channels in halves; feature width {dim} is odd, set feature_dim")
        self.dim = dim
        self.options = options
        self.seed = seed
        self.tasks = 0
        self.active: int | None = None
        with seeded(derive_seed(seed, "base")):
            self.flow = build_coupling_flow(
                dim, options.coupling_layers, rank=options.lora_rank, alpha=options.lora_alpha,
                use_lora=options.use_lora, use_task_bias=options.use_task_bias,
            )
            self.mixer = SpatialContextMixer(dim) if options.use_mixer else None
        self.register_buffer("_like", torch.empty(0), persistent=False)  # where new parts go, and in which precision
        self.input_adapters = nn.ModuleDict()
        self.dia_adapters = nn.ModuleDict()

    def add_task(self, name: object = None) -> None:
        """Add the next task's parts, make it the active one, and let only what it may train be trained.

        Args:
            name: what its initial values are drawn from besides the seed; its index if not given.
        """
        task, like = self.tasks, self._like
        with seeded(derive_seed(self.seed, "task", task if name is None else name)):
            for layer in self._lora_layers():
                layer.add_task(task)
            if self.options.use_whitening:
                adapter = WhiteningAdapter(self.dim, first=task == 0, norm=self.options.whitening_norm)
                self.input_adapters[str(task)] = adapter.to(like)
            if self.options.dia_blocks:
                self.dia_adapters[str(task)] = DeepInvertibleAdapter(self.dim, self.options.dia_blocks).to(like)
        self.tasks += 1
        self.set_active_task(task)
        self.train_only(task)

    def set_active_task(self, task: int, merge: bool = False) -> None:
        """Choose the task whose parts act.

        Args:
            task: index of a task that was added.
            merge: add the low-rank updates to the weights once, for inference.
        """
        if not 0 <= task < self.tasks:
            raise ConfigError(f"task {task} was never added; this model knows tasks 0 … {self.tasks - 1}")
        self.active = task
        for layer in self._lora_layers():
            layer.activate(task, merge)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map patch features to the latent under the active task.

        Args:
            features: (B, H, W, D), positional encoding added.

        Returns:
            z (B, H, W, D) and log-det (B, H, W), nats.
        """
        return self.density(self.flow_input(features))

    def flow_input(self, features: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
        """The whitened and mixed features (B, H, W, D) that enter the coupling blocks.

        Args:
            features: (B, H, W, D), positional encoding added.
            noise: standard deviation of Gaussian noise, of which each patch gets its own; its unit is that
                of the whitened patch, whose channels have a standard deviation of 1, or of the features themselves
                without `whitening_norm`.
        """
        adapter = self.input_adapters[str(self.active)] if self.options.use_whitening else None
        x = features if adapter is None else adapter.standardised(features)
        x = x + noise * torch.randn_like(x) if noise else x
        x = x if adapter is None else adapter.scaled(x)
        return self.mixer(x) if self.mixer is not None else x

    def density(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From the flow's input (B, H, W, D) to z (B, H, W, D) and log-det (B, H, W), nats.

        Each patch by itself.
        """
        z, log_det = x, x.new_zeros(x.shape[:-1])
        for step in self._steps():
            z, extra = step(z, False)
            log_det = log_det + extra
        if self.options.count_adapter_volume and self.options.use_whitening:
            log_det = log_det + self.input_adapters[str(self.active)].log_volume()
        return z, log_det

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """From the latent back to the flow's input: the inverse steps in reverse order.

        LayerNorm and the mixer are not undone, so this ends at `flow_input(features)`, not at the features.

        Args:
            z: (B, H, W, D).

        Returns:
            (B, H, W, D).
        """
        for step in reversed(self._steps()):
            z, _ = step(z, True)
        return z

    def train_only(self, task: int | None) -> None:
        """Let gradients reach a task's own parts, with task 0 the base too, with None nothing at all."""
        for name, parameter in self.named_parameters():
            owner = _owner(name)
            parameter.requires_grad_(task is not None and (owner == task or (owner is None and task == 0)))

    def base_state(self) -> dict[str, torch.Tensor]:
        """All shared tensors by name."""
        return {name: tensor for name, tensor in self.state_dict().items() if _owner(name) is None}

    def task_state(self, task: int) -> dict[str, torch.Tensor]:
        """One task's tensors by name, the task's index left out of the names."""
        return {_unowned(name): tensor for name, tensor in self.state_dict().items() if _owner(name) == task}

    def load_base_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Copy shared tensors in; names and shapes must match."""
        _copy_state(self.base_state(), state)

    def load_task_state(self, task: int, state: Mapping[str, torch.Tensor]) -> None:
        """Copy one task's tensors in; names and shapes must match."""
        _copy_state(self.task_state(task), state)

    def parameter_counts(self, task: int = 0) -> dict[str, int]:
        """Values trained in each part; `base` leaves out the blocks' global affine, counted apart.

        Returns:
            `base`, `global_affine`, `mixer`, and of the task `lora`, `task_bias`, `whitening`,
            `dia`, `per_task`.
        """
        counts = dict.fromkeys(("base", "global_affine", "mixer", "lora", "task_bias", "whitening", "dia"), 0)
        for name, parameter in self.named_parameters():
            if _owner(name) in (None, task):
                counts[_part(name)] += parameter.numel()
        counts["per_task"] = sum(counts[part] for part in ("lora", "task_bias", "whitening", "dia"))
        return counts

    def _steps(self) -> list[Callable[[torch.Tensor, bool], tuple[torch.Tensor, torch.Tensor]]]:
        """The invertible steps in their order; each takes (B, H, W, D) and whether to invert, gives the same and log-det."""
        steps = [self._coupling_blocks] if len(self.flow) else []
        if self.options.dia_blocks:
            steps.append(self.dia_adapters[str(self.active)])
        return steps

    def _coupling_blocks(self, x: torch.Tensor, reverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
        z, log_det = self.flow(x.reshape(-1, self.dim), rev=reverse)
        return z.reshape(x.shape), log_det.reshape(x.shape[:-1])

    def _lora_layers(self) -> list[LoRALinear]:
        return [module for module in self.flow.modules() if isinstance(module, LoRALinear)]


def shared_values(counts: Mapping[str, int]) -> int:
    """Values that all tasks share, from `MoLESpatialAwareNF.parameter_counts`.

    >>> shared_values({"base": 5, "global_affine": 2, "mixer": 1, "lora": 9})
    8
    """
    return counts["base"] + counts["global_affine"] + counts["mixer"]


def _owner(name: str) -> int | None:
    """The task a tensor belongs to, read from its name; None for the base."""
    parts = name.split(".")
    places = [i for i, part in enumerate(parts) if part in _TASK_CONTAINERS]
    return int(parts[places[0] + 1]) if places else None


def _unowned(name: str) -> str:
    parts = name.split(".")
    place = next(i for i, part in enumerate(parts) if part in _TASK_CONTAINERS)
    return ".".join(parts[: place + 1] + parts[place + 2 :])


def _part(name: str) -> str:
    for part in name.split("."):
        if part in _PARTS:
            return _PARTS[part]
        if part in ("global_scale", "global_offset"):
            return "global_affine"
    return "mixer" if name.startswith("mixer.") else "base"


def _copy_state(into: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> None:
    if set(into) != set(state) or any(into[name].shape != state[name].shape for name in into):
        differ = sorted(set(into) ^ set(state)) or [n for n in into if into[n].shape != state[n].shape]
        raise ConfigError(f"these weights are of another model; tensors that differ: {', '.join(differ[:5])}")
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(state[name])
