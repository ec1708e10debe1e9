"""MoLE-Flow's density model: one shared flow, and small parts for every task around and inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch
from torch import nn

from moleflow_lib.config import FlowOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.model.coupling import build_coupling_flow
from moleflow_lib.model.invertible_adapter import DeepInvertibleAdapter
from moleflow_lib.model.lora import LoRALinear, LoRAUpdate
from moleflow_lib.model.mixer import SpatialContextMixer
from moleflow_lib.model.position import PositionalEmbeddingGenerator, at_least_float32
from moleflow_lib.model.whitening import WhiteningAdapter
from moleflow_lib.runtime import derive_seed, seeded

__all__ = ["FlowParts", "MoLESpatialAwareNF", "load_exactly", "shared_values"]

_COMPUTE = {"float32": None, "bf16": torch.bfloat16}


class FlowParts(nn.Module):
    """What one task adds to the flow: whitening, low-rank updates and biases, invertible adapter."""

    def __init__(
        self, whitening: WhiteningAdapter | None, updates: list[LoRAUpdate], dia: DeepInvertibleAdapter | None
    ) -> None:
        super().__init__()
        self.whitening = whitening
        self.updates = nn.ModuleList(updates)
        self.dia = dia

    def layer_updates(self) -> list[LoRAUpdate]:
        """The update of each low-rank layer, in the flow's order."""
        return cast("list[LoRAUpdate]", list(self.updates))

    def counts(self) -> dict[str, int]:
        """Values kept in each part: `lora`, `task_bias`, `whitening`, `dia`, and `per_task`, their sum."""
        counts: dict[str, int] = dict.fromkeys(("lora", "task_bias", "whitening", "dia"), 0)
        for name, tensor in self.state_dict().items():
            part = (
                "task_bias" if name.endswith("task_bias") else name.split(".")[0].replace("updates", "lora")
            )
            counts[part] += tensor.numel()
        return {**counts, "per_task": sum(counts.values())}


class MoLESpatialAwareNF(nn.Module):
    """Position code → whitening[t] → context mixer → coupling blocks with LoRA[t] → invertible adapter[t].

    Its own parameters are the base: shared, trained with task 0, then frozen. What a task adds is a
    `FlowParts`, which the flow uses while it is active and does not own.

    Args:
        dim: feature width D, even.
        options: its shape.
        seed: of initial values, with the names of tasks.

    >>> flow = MoLESpatialAwareNF(8, FlowOptions(coupling_layers=2, lora_rank=2))
    >>> flow.activate(flow.new_parts("bottle", first=True))
    >>> z, log_det = flow(torch.randn(1, 3, 3, 8))
    >>> z.shape, log_det.shape
    (torch.Size([1, 3, 3, 8]), torch.Size([1, 3, 3]))
    """

    _like: torch.Tensor  # where new parts go, in which precision

    def __init__(self, dim: int, options: FlowOptions, seed: int = 0) -> None:
        super().__init__()
        if dim % 2:
            raise ConfigError(
                f"a coupling flow splits its channels in halves; feature width {dim} is odd, set feature_dim"
            )
        self.dim = dim
        self.options = options
        self.seed = seed
        self.position = PositionalEmbeddingGenerator(dim, options.use_position)
        with seeded(derive_seed(seed, "base")):
            self.flow = build_coupling_flow(
                dim,
                options.coupling_layers,
                rank=options.lora_rank,
                alpha=options.lora_alpha,
                use_task_bias=options.use_task_bias,
                compute=_COMPUTE[options.flow_precision],
            )
            self.mixer = SpatialContextMixer(dim) if options.use_mixer else None
        self.register_buffer("_like", torch.empty(0), persistent=False)
        self._active: tuple[FlowParts, ...] = ()  # in a tuple, so that a task's values stay the task's

    def new_parts(
        self, name: object, first: bool, moments: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> FlowParts:
        """Parts of a new task, trainable.

        Args:
            name: what their initial values are drawn from besides the seed.
            first: whether it is the base task.
            moments: mean (D,) and covariance (D, D), float64, of its training patches, for `full` whitening;
                without them the whitening is empty, to be loaded into.
        """
        with seeded(derive_seed(self.seed, "task", name)):
            updates = [layer.new_update() for layer in self._lora_layers()]
            compute = _COMPUTE[self.options.flow_precision]
            blocks = self.options.dia_blocks
            dia = DeepInvertibleAdapter(self.dim, blocks, compute) if blocks else None
        kind = self.options.whitening
        whitening = None if kind == "off" else WhiteningAdapter(self.dim, first, kind)
        parts = FlowParts(whitening, updates, dia).to(self._like)
        if whitening is not None and whitening.full and moments is not None:
            whitening.fit(*moments)
        return parts

    def activate(self, parts: FlowParts, merge: bool = False) -> None:
        """Choose the task whose parts act; `merge` adds its low-rank updates to the weights once, for
        inference.
        """
        self._active = (parts,)
        for layer, update in zip(self._lora_layers(), parts.layer_updates(), strict=True):
            layer.activate(update, merge)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map patch features to the latent under the active task.

        Args:
            features: (B, H, W, D).

        Returns:
            z (B, H, W, D) and log-det (B, H, W), nats.
        """
        return self.density(self.flow_input(features))

    def flow_input(self, features: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """The whitened and mixed features (B, H, W, D) that enter the coupling blocks.

        LayerNorm sees the position code; `full` whitening does not, it is added behind it.

        Args:
            features: (B, H, W, D) of any float type.
            places: (K,) the patches that are wanted, counted row by row; the result is then (B, K, 1, D).
        """
        codes = self.position.codes(features)
        if places is not None and self.mixer is None:  # the others are needed by none of them
            features = _at(features, places)
            codes = None if codes is None else _at(codes[None], places)[0]
        whitened = self._whitened(features.to(at_least_float32(features)), codes)
        if self.mixer is None:
            return whitened
        mixed = self.mixer(whitened)
        return mixed if places is None else _at(mixed, places)

    def _whitened(self, x: torch.Tensor, codes: torch.Tensor | None) -> torch.Tensor:
        """Patches (..., D) with their position codes, whitened."""
        whitening = self._parts.whitening
        late = whitening is not None and whitening.full
        if codes is not None and not late:
            x = x + codes
        if whitening is None:
            return x
        x = whitening.standardised(x)
        if codes is not None and late:
            x = x + codes
        return whitening.scaled(x)

    def density(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From the flow's input (B, H, W, D) to z (B, H, W, D) and log-det (B, H, W), nats, each patch by
        itself.
        """
        z = x
        log_det = x.new_zeros(x.shape[:-1])
        for step in self._steps():
            z, extra = step(z, False)
            log_det = log_det + extra
        whitening = self._parts.whitening
        if whitening is not None and (whitening.full or self.options.count_adapter_volume):
            log_det = log_det + whitening.log_volume()
        return z, log_det

    def inverse(self, z: torch.Tensor) -> torch.Tensor:
        """From the latent back to the flow's input: the inverse steps in reverse order.

        Whitening and mixer are not undone, so this ends at `flow_input(features)`, not at the features.

        Args:
            z: (B, H, W, D).

        Returns:
            (B, H, W, D).
        """
        for step in reversed(self._steps()):
            z, _ = step(z, True)
        return z

    def trained_with(self, parts: FlowParts, base: bool) -> Iterator[nn.Parameter]:
        """What learning a task trains, in the order of the data's way: the task's parts, with `base` the
        flow's own.
        """
        updates: dict[nn.Module, nn.Module] = {
            layer.base: update for layer, update in zip(self._lora_layers(), parts.updates, strict=True)
        }
        for module in self.flow.modules():
            yield from module.parameters(recurse=False) if base else ()
            yield from updates[module].parameters() if module in updates else ()
        yield from self.mixer.parameters() if base and self.mixer is not None else ()
        for adapter in (parts.whitening, parts.dia):
            yield from () if adapter is None else adapter.parameters()

    def counts(self) -> dict[str, int]:
        """Values of the base in each part; `base` leaves out the blocks' global affine, counted apart."""
        counts: dict[str, int] = dict.fromkeys(("base", "global_affine", "mixer"), 0)
        for name, parameter in self.named_parameters():
            affine = name.split(".")[-1] in ("global_scale", "global_offset")
            counts["global_affine" if affine else "mixer" if name.startswith("mixer.") else "base"] += (
                parameter.numel()
            )
        return counts

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self._like.device

    @property
    def _parts(self) -> FlowParts:
        if not self._active:
            raise ConfigError("no task's parts are active; call activate(parts) first")
        return self._active[0]

    def _steps(self) -> list[Callable[[torch.Tensor, bool], tuple[torch.Tensor, torch.Tensor]]]:
        """The invertible steps: each takes (B, H, W, D) and whether to invert, gives the same and log-det."""
        steps = [self._coupling_blocks] if len(self.flow) else []
        return steps if self._parts.dia is None else [*steps, self._parts.dia]

    def _coupling_blocks(self, x: torch.Tensor, reverse: bool) -> tuple[torch.Tensor, torch.Tensor]:
        z, log_det = self.flow(x.reshape(-1, self.dim), rev=reverse)
        return z.reshape(x.shape), log_det.reshape(x.shape[:-1])

    def _lora_layers(self) -> list[LoRALinear]:
        return [module for module in self.flow.modules() if isinstance(module, LoRALinear)]


def shared_values(counts: Mapping[str, int]) -> int:
    """Values that all tasks share, from `MoLESpatialAwareNF.counts`.

    >>> shared_values({"base": 5, "global_affine": 2, "mixer": 1, "lora": 9})
    8
    """
    return counts["base"] + counts["global_affine"] + counts["mixer"]


def load_exactly(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy tensors into a flow or a task's parts.

    Raises:
        ConfigError: names or shapes differ; nothing is copied then.
    """
    own = module.state_dict()
    differ = sorted(set(own) ^ set(state)) or [name for name in own if own[name].shape != state[name].shape]
    if differ:
        raise ConfigError(f"these weights are of another model; tensors that differ: {', '.join(differ[:5])}")
    module.load_state_dict(dict(state))


def _at(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Some places of a grid, counted row by row: (B, H, W, D) → (B, K, 1, D)."""
    return x.flatten(1, 2).index_select(1, places).unsqueeze(2)
