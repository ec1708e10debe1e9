"""`python -m benchmarks`: print each ratio's median over paired runs; above 1 means ours is faster."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from scipy.ndimage import gaussian_filter, label
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.inference import report_overheads
from moleflow_lib.metrics import pixel_metrics
from moleflow_lib.model.coupling import build_coupling_flow
from moleflow_lib.model.lora import LoRALinear, MoLESubnet
from moleflow_lib.runtime import seed_everything
from moleflow_lib.scoring.aggregation import pixel_maps

DIM, PATCHES, PAIRS = 192, 16 * 196, 7


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


def main() -> None:
    """Run every comparison."""
    ours, literal = _flows()
    x = torch.randn(PATCHES, DIM)
    _report(
        f"training step of the coupling flow, D={DIM}, {PATCHES} patches",
        lambda: _step(ours, x),
        lambda: _step(literal, x),
    )
    with torch.inference_mode():
        _report("forward pass of the coupling flow", lambda: ours(x), lambda: literal(x))
    scores = torch.rand(83, 14, 14)
    _report("pixel maps, 83 images at 224", lambda: pixel_maps(scores, 224), lambda: _literal_maps(scores))
    maps, masks = _marked_maps(20)
    _report(
        "all pixel metrics against AUROC and AP alone, 1 million pixels",
        lambda: pixel_metrics([(maps, masks)]),
        lambda: (
            roc_auc_score(masks.ravel(), maps.ravel()),
            average_precision_score(masks.ravel(), maps.ravel()),
        ),
    )
    few = maps[:1].round(3), masks[:1]
    _report("AUPRO, 1 image, 1000 thresholds", lambda: pixel_metrics([few]), lambda: _literal_aupro(*few))
    report_overheads()


def _marked_maps(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise at 224 with two brighter squares an image, and their masks."""
    maps = np.random.default_rng(0).random((images, 224, 224), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, 20:50, 30:60] = masks[:, 150:160, 200:224] = True
    return maps + 0.3 * masks, masks


def _literal_aupro(maps: np.ndarray, masks: np.ndarray) -> float:
    """AUPRO as the definition reads: every threshold in turn, every region in turn."""
    parts = [label(mask, np.ones((3, 3))) for mask in masks]
    regions = [(image, part == k) for image, (part, count) in enumerate(parts) for k in range(1, count + 1)]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        hot = maps >= threshold
        rates.append((hot & ~masks).sum() / (~masks).sum())
        overlaps.append(np.mean([hot[image][region].mean() for image, region in regions]))
    end = next(k for k, rate in enumerate(rates) if rate >= 0.3)
    share = (0.3 - rates[end - 1]) / (rates[end] - rates[end - 1])
    last = overlaps[end - 1] + share * (overlaps[end] - overlaps[end - 1])
    return np.trapezoid([*overlaps[:end], last], [*rates[:end], 0.3]) / 0.3


def _flows() -> tuple[SequenceINN, SequenceINN]:
    """Ours, and FrEIA's own blocks with dense permutations and literal LoRA."""
    lora = {"rank": 64, "alpha": 1.0}
    seed_everything(0)
    ours = build_coupling_flow(DIM, 8, **lora)
    literal = SequenceINN(DIM)
    for _ in range(8):
        literal.append(
            AllInOneBlock,
            subnet_constructor=lambda i, o: LiteralSubnet(i, o, **lora),
            affine_clamping=1.9,
            global_affine_type="SOFTPLUS",
            permute_soft=False,
        )
    for flow in (ours, literal):
        for layer in flow.modules():
            if isinstance(layer, LoRALinear):
                layer.activate(layer.new_update())
    return ours, literal


def _step(flow: SequenceINN, x: torch.Tensor) -> None:
    flow.zero_grad(set_to_none=True)
    z, log_det = flow(x)
    (0.5 * z.square().sum(dim=1) - log_det).mean().backward()


def _literal_maps(scores: torch.Tensor) -> np.ndarray:
    enlarged = F.interpolate(scores[:, None], size=(224, 224), mode="bilinear", align_corners=False)[:, 0]
    return gaussian_filter(enlarged.numpy(), (0, 4, 4))


def _report(what: str, ours: Callable[[], object], literal: Callable[[], object]) -> None:
    ratios = []
    for round_ in range(PAIRS + 1):
        times = [_seconds(call) for call in (ours, literal)]
        if round_:  # the first pair warms up
            ratios.append(times[1] / times[0])
    print(
        f"{what}: {statistics.median(ratios):.2f}x (min {min(ratios):.2f}, max {max(ratios):.2f}, {PAIRS} "
        "pairs)",
        flush=True,
    )


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
