"""What a training step costs: against the published loop, against the machine's matrix product, in bf16."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch.utils.flop_counter import FlopCounterMode

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.features.extractor import ViTPatchCoreExtractor
from moleflow_lib.model.coupling import build_coupling_flow
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.model.lora import LoRALinear, MoLESubnet
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.runtime import seed_everything

__all__ = ["literal_flow", "paired", "report_training", "train_step"]

PAIRS, IMAGES, EPOCHS, TASK = 5, 4, 40, 200
LORA = {"rank": 64, "alpha": 1.0}


class LiteralLoRALinear(LoRALinear):
    """The published order of operations: A and B applied to every patch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (task,) = self._active
        update = F.linear(F.linear(x, task.lora_A), task.lora_B)
        return F.linear(x, self.base.weight) + self.scaling * update + self.base.bias + task.task_bias


class LiteralSubnet(MoLESubnet):
    """MoLESubnet with the published order of operations."""

    def __init__(self, dims_in: int, dims_out: int, **lora: object) -> None:
        super().__init__(dims_in, dims_out, **lora)
        self.layer1 = LiteralLoRALinear(dims_in, 2 * dims_in, **lora)
        self.layer2 = LiteralLoRALinear(2 * dims_in, dims_out, **lora)


def report_training() -> None:
    """Print the steps' ratios and shares."""
    for dim in (132, 768):
        ours, literal = literal_flow(dim)
        x = torch.randn(IMAGES * 196, dim)
        times = paired(partial(train_step, ours, x), partial(train_step, literal, x))
        _say(f"step of the coupling blocks against the published operations, D={dim}", _ratios(*times))
    _against_the_loop(*map(statistics.median, times))
    for preset, dim in (("demo", 132), ("v5_final", 768), ("recommended", 768)):
        _density(preset, dim)


def literal_flow(dim: int) -> tuple[SequenceINN, SequenceINN]:
    """Ours, and FrEIA's own blocks with dense permutations and literal LoRA."""
    seed_everything(0)
    ours, literal = build_coupling_flow(dim, 8, **LORA), SequenceINN(dim)
    for _ in range(8):
        literal.append(
            AllInOneBlock,
            subnet_constructor=lambda i, o: LiteralSubnet(i, o, **LORA),
            affine_clamping=1.9,
            global_affine_type="SOFTPLUS",
            permute_soft=False,
        )
    for layer in (*ours.modules(), *literal.modules()):
        if isinstance(layer, LoRALinear):
            layer.activate(layer.new_update())
    return ours, literal


def train_step(flow: SequenceINN, x: torch.Tensor) -> None:
    """Forward and backward of the likelihood."""
    flow.zero_grad(set_to_none=True)
    patch_nll(*flow(x)).mean().backward()


def paired(*calls: Callable[[], object], pairs: int = PAIRS) -> list[list[float]]:
    """CPU seconds of each call, taken in turn; the first round warms up."""
    times: list[list[float]] = [[] for _ in calls]
    for round_ in range(pairs + 1):
        for own, call in zip(times, calls, strict=True):
            start = time.process_time()
            call()
            own += [time.process_time() - start] if round_ else []
    return times


def _against_the_loop(ours: float, literal: float) -> None:
    """A task over 40 epochs: the published loop runs the backbone in every epoch."""
    extractor = ViTPatchCoreExtractor("vit_base_patch16_224", random_seed=0)
    images = np.zeros((IMAGES, 224, 224, 3), dtype=np.uint8)
    ((*times,),) = paired(lambda: extractor(images), pairs=3)
    backbone = statistics.median(times)
    ratio = (backbone + literal) / (backbone / EPOCHS + ours)
    _say(
        f"a task over {EPOCHS} epochs against the published loop, ViT-B, coupling blocks alone",
        f"{ratio:.1f}x",
    )
    batches = TASK / IMAGES
    options = ExperimentConfig.from_params({"preset": "recommended"})
    shown = (TASK + options.features.damaged_copies) / IMAGES
    recommended = shown * backbone + _steps_of(options)
    _say(
        f"a task of {TASK} images as `recommended` trains it, against the published loop",
        f"{EPOCHS * batches * (backbone + literal) / recommended:.0f}x",
    )


def _steps_of(options: ExperimentConfig) -> float:
    """Seconds of all steps that a task is trained with."""
    flow = MoLESpatialAwareNF(768, options.flow)
    flow.activate(flow.new_parts("a", True, (torch.zeros(768), torch.eye(768).double())))
    seen = round(options.train.patch_share * options.train.batch_size * 196)
    x = torch.randn(seen // 196, 14, 14, 768)
    ((*times,),) = paired(lambda: patch_nll(*flow.density(x)).mean().backward(), pairs=3)
    return options.train.steps * statistics.median(times)


def _density(preset: str, dim: int) -> None:
    """A step's useful operations a second as a share of a large product's, and bf16 against float32."""
    options = ExperimentConfig.from_params({"preset": preset}).flow
    x = torch.randn(IMAGES, 14, 14, dim)
    flows = [MoLESpatialAwareNF(dim, options)]
    flows.append(
        MoLESpatialAwareNF(
            dim, ExperimentConfig.from_params({"flow_precision": "bf16", "preset": preset}).flow
        )
    )
    parts = [flow.new_parts("a", True, (torch.zeros(dim), torch.eye(dim).double())) for flow in flows]
    for flow, own in zip(flows, parts, strict=True):
        flow.activate(own)

    def step(flow: MoLESpatialAwareNF) -> None:
        patch_nll(*flow.density(x)).mean().backward()  # without the mixer, whose convolution torch miscounts

    with FlopCounterMode(display=False) as counted:
        step(flows[0])
    square = torch.randn(1024, 1024)
    times = paired(lambda: step(flows[0]), lambda: step(flows[1]), lambda: square @ square)
    exact, reduced, product = map(statistics.median, times)
    share = counted.get_total_flops() / exact / (2 * 1024**3 / product)
    _say(f"step of the density, {preset}, D={dim}: share of the peak of a product", f"{100 * share:.0f} %")
    _say(f"the same, float32 against bf16, {preset}, D={dim}", _ratios(times[1], times[0]))


def _ratios(ours: list[float], theirs: list[float]) -> str:
    found = [b / a for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f}x (min {min(found):.2f}, max {max(found):.2f}, {len(found)} pairs)"


def _say(what: str, value: str) -> None:
    print(f"{what}: {value}", flush=True)
