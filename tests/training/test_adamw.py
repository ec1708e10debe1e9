"""The optimiser's numbers are those of torch's class, without what that class loads."""

from __future__ import annotations

import subprocess
import sys

import torch

from moleflow_lib.training.adamw import AdamW


def _weights() -> list[torch.nn.Parameter]:
    drawn = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=drawn)) for shape in ((5, 3), (7,), (2, 2))]


def _loss(weights: list[torch.nn.Parameter], step: int) -> torch.Tensor:
    used = weights[:2] if step % 3 else weights  # the last one has no gradient at two steps of three
    return sum((weight.sin() * (step + 1)).square().sum() for weight in used)  # type: ignore[return-value]


def test_every_step_equals_that_of_torch_to_the_bit() -> None:
    own, theirs = _weights(), _weights()
    optimiser = AdamW(own, weight_decay=0.1)
    reference = torch.optim.AdamW(theirs, lr=1.0, weight_decay=0.1)
    for step in range(20):
        lr = 0.1 / (step + 1)
        reference.param_groups[0]["lr"] = lr
        reference.zero_grad()
        _loss(own, step).backward()
        _loss(theirs, step).backward()
        optimiser.step(lr)
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(own, theirs, strict=True)), step
        assert all(weight.grad is None for weight in own)


def test_gradients_from_before_do_not_act() -> None:
    own = _weights()
    before = [weight.detach().clone() for weight in own]
    _loss(own, 0).backward()
    AdamW(own, weight_decay=0.1).step(0.1)
    assert all(torch.equal(a, b) for a, b in zip(own, before, strict=True))


def test_training_does_not_load_the_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from moleflow_lib.config import FlowOptions, TrainOptions\n"
        "from moleflow_lib.model.flow import MoLESpatialAwareNF\n"
        "from moleflow_lib.training.fit import fit\n"
        "flow = MoLESpatialAwareNF(16, FlowOptions(coupling_layers=2), seed=0)\n"
        "parts = flow.new_parts('nut', first=True)\n"
        "fit(flow, parts, torch.randn(4, 2, 2, 16), TrainOptions(steps=2, clip_norm=0.5), 'nut', base=True)\n"
        "print(sorted(m for m in sys.modules if m in ('torch._dynamo', 'sympy')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
