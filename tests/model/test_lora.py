"""LoRALinear against the formula, and its merge."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.model.lora import LoRALinear, LoRAUpdate, MoLESubnet


@pytest.fixture
def layer() -> LoRALinear:
    torch.manual_seed(0)
    return LoRALinear(6, 5, rank=3, alpha=2.0)


@pytest.fixture
def updates(layer: LoRALinear) -> list[LoRAUpdate]:
    made = [layer.new_update() for _ in range(2)]
    for update in made:
        torch.nn.init.normal_(update.lora_B)
        torch.nn.init.normal_(update.task_bias)
    return made


def test_equals_the_published_formula(layer: LoRALinear, updates: list[LoRAUpdate]) -> None:
    x = torch.randn(7, 6)
    layer.activate(updates[1])
    low_rank = F.linear(F.linear(x, updates[1].lora_A), updates[1].lora_B)
    literal = F.linear(x, layer.base.weight) + (2.0 / 3) * low_rank + layer.base.bias + updates[1].task_bias
    assert torch.allclose(layer(x), literal, atol=1e-6)


def test_merged_equals_unmerged_and_another_task_is_another_layer(
    layer: LoRALinear, updates: list[LoRAUpdate]
) -> None:
    x = torch.randn(7, 6)
    layer.activate(updates[0])
    plain = layer(x)
    layer.activate(updates[0], merge=True)
    assert torch.equal(layer(x), plain)
    layer.activate(updates[1])
    assert not torch.allclose(layer(x), plain)


def test_a_new_task_changes_nothing_at_first(layer: LoRALinear) -> None:
    update = layer.new_update()
    layer.activate(update)
    x = torch.randn(4, 6)
    assert torch.equal(layer(x), layer.base(x)) and update.lora_A.abs().min() > 0


def test_a_layer_does_not_own_its_tasks_values(layer: LoRALinear, updates: list[LoRAUpdate]) -> None:
    layer.activate(updates[0])
    assert set(layer.state_dict()) == {"base.weight", "base.bias"}


def test_parts_can_be_left_out() -> None:
    layer = LoRALinear(6, 5, rank=3, alpha=2.0, use_lora=False, use_task_bias=False)
    update = layer.new_update()
    layer.activate(update)
    x = torch.randn(4, 6)
    assert list(update.parameters()) == [] and torch.equal(layer(x), layer.base(x))


def test_subnet_is_two_layers_of_twice_the_width() -> None:
    subnet = MoLESubnet(4, 10, rank=2, alpha=1.0)
    assert subnet.layer1.base.weight.shape == (8, 4) and subnet.layer2.base.weight.shape == (10, 8)
    hidden = F.relu(subnet.layer1.base(x := torch.randn(3, 4)))
    assert torch.allclose(subnet(x), subnet.layer2.base(hidden))
