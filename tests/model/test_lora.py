"""LoRALinear against the formula, and its merge."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.model.lora import LoRALinear, MoLESubnet


@pytest.fixture
def layer() -> LoRALinear:
    torch.manual_seed(0)
    layer = LoRALinear(6, 5, rank=3, alpha=2.0)
    for task in range(2):
        layer.add_task(task)
    for group in (layer.lora_B, layer.task_bias):
        for parameter in group.values():
            torch.nn.init.normal_(parameter)
    return layer


def test_equals_the_published_formula(layer: LoRALinear) -> None:
    x = torch.randn(7, 6)
    layer.activate(1)
    update = F.linear(F.linear(x, layer.lora_A["1"]), layer.lora_B["1"])
    literal = F.linear(x, layer.base.weight) + (2.0 / 3) * update + layer.base.bias + layer.task_bias["1"]
    assert torch.allclose(layer(x), literal, atol=1e-6)


def test_merged_equals_unmerged_and_survives_a_switch(layer: LoRALinear) -> None:
    x = torch.randn(7, 6)
    layer.activate(0)
    plain = layer(x)
    layer.activate(0, merge=True)
    assert torch.equal(layer(x), plain)
    layer.activate(1)
    assert not torch.allclose(layer(x), plain)


def test_a_new_task_changes_nothing_at_first() -> None:
    layer = LoRALinear(6, 5, rank=3, alpha=2.0)
    layer.add_task(0)
    layer.activate(0)
    x = torch.randn(4, 6)
    assert torch.equal(layer(x), layer.base(x)) and layer.lora_A["0"].abs().min() > 0


def test_switches_leave_parts_out() -> None:
    layer = LoRALinear(6, 5, rank=3, alpha=2.0, use_lora=False, use_task_bias=False)
    layer.add_task(0)
    assert len(layer.lora_A) == len(layer.lora_B) == len(layer.task_bias) == 0


def test_subnet_is_two_layers_of_twice_the_width() -> None:
    subnet = MoLESubnet(4, 10, rank=2, alpha=1.0)
    assert subnet.layer1.base.weight.shape == (8, 4) and subnet.layer2.base.weight.shape == (10, 8)
    hidden = F.relu(subnet.layer1.base(x := torch.randn(3, 4)))
    assert torch.allclose(subnet(x), subnet.layer2.base(hidden))
