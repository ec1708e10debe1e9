"""LoRALinear against the formula, and its merge."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
import torch.nn.functional as F

from moleflow_lib.model.cache import TASKS_KEPT
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
    layer = LoRALinear(6, 5, rank=0, alpha=2.0, use_task_bias=False)
    update = layer.new_update()
    layer.activate(update)
    x = torch.randn(4, 6)
    assert list(update.parameters()) == [] and torch.equal(layer(x), layer.base(x))


def test_subnet_is_two_layers_of_twice_the_width() -> None:
    subnet = MoLESubnet(4, 10, rank=2, alpha=1.0)
    assert subnet.layer1.base.weight.shape == (8, 4) and subnet.layer2.base.weight.shape == (10, 8)
    hidden = F.relu(subnet.layer1.base(x := torch.randn(3, 4)))
    assert torch.allclose(subnet(x), subnet.layer2.base(hidden))


def test_merged_weights_are_made_once_and_anew_after_any_change(
    layer: LoRALinear, updates: list[LoRAUpdate], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    literal = LoRALinear.effective
    monkeypatch.setattr(LoRALinear, "effective", lambda own: calls.append(own) or literal(own))
    x = torch.randn(7, 6)

    def merged(update: LoRAUpdate) -> torch.Tensor:
        layer.activate(update, merge=True)
        return layer(x)

    first = merged(updates[0])
    merged(updates[1])
    assert torch.equal(merged(updates[0]), first) and len(calls) == 2
    optimiser = torch.optim.AdamW(updates[0].parameters(), lr=0.1)
    F.linear(x, *literal(layer)).sum().backward()
    optimiser.step()
    after_step = merged(updates[0])
    layer.load_state_dict({"base.weight": torch.zeros(5, 6), "base.bias": torch.zeros(5)})
    after_base = merged(updates[0])
    assert len(calls) == 4
    assert not torch.allclose(after_step, first) and not torch.allclose(after_base, after_step)
    copied = copy.deepcopy(layer)
    copied.load_state_dict({"base.weight": torch.ones(5, 6), "base.bias": torch.zeros(5)})
    copied.activate(updates[0], merge=True)
    assert not torch.allclose(copied(x), after_base)


def test_merged_weights_are_kept_for_the_tasks_used_last_alone(layer: LoRALinear) -> None:
    many = [layer.new_update() for _ in range(TASKS_KEPT + 1)]
    layer.activate(many[0], merge=True)
    gone = weakref.ref(layer._merged[0])
    for update in many[1:]:
        layer.activate(update, merge=True)
    assert gone() is None
