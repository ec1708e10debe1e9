"""The whole density model: counts, inverse, volume, gradients, and who may change whom."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from moleflow_lib.artifacts import tensors_sha256
from moleflow_lib.config import FlowOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.model.losses import patch_nll

SMALL = FlowOptions(coupling_layers=3, lora_rank=2)


def _model(options: FlowOptions = SMALL, dim: int = 8, tasks: int = 2, shaken: bool = True) -> MoLESpatialAwareNF:
    model = MoLESpatialAwareNF(dim, options)
    for _ in range(tasks):
        model.add_task()
    if shaken:
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "global_scale" not in name:
                parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def test_exact_counts_at_the_published_size() -> None:
    counts = _model(FlowOptions(), dim=768, tasks=1, shaken=False).parameter_counts()
    assert counts == {
        "base": 7_090_176, "global_affine": 8 * 2 * 768, "mixer": 7_681, "lora": 1_376_256, "task_bias": 12_288,
        "whitening": 1_536, "dia": 1_774_080, "per_task": 3_164_160,
    }


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("task", [0, 1])
def test_inverse_gives_the_flow_input(dtype: torch.dtype, limit: float, task: int) -> None:
    model = _model(dim=32).to(dtype)
    model.set_active_task(task)
    features = torch.randn(2, 4, 4, 32, dtype=dtype)
    z, _ = model(features)
    assert (model.inverse(z) - model.flow_input(features)).abs().max() < limit


_WITHOUT_NORM = {"use_whitening": True, "whitening_norm": False, "count_adapter_volume": True}


@pytest.mark.parametrize("changes", [{}, {"dia_blocks": 0}, {"coupling_layers": 0}, {"use_lora": False}, _WITHOUT_NORM])
def test_log_det_is_the_jacobian(changes: dict) -> None:
    model = _model(replace(SMALL, **{"use_mixer": False, "use_whitening": False, **changes})).double()
    x = torch.randn(8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v.view(1, 1, 1, 8))[0].flatten(), x)
    assert torch.allclose(model(x.view(1, 1, 1, 8))[1].squeeze(), torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("changes", [{"coupling_layers": 0}, {"coupling_layers": 0, "use_mixer": False}, {}])
def test_new_parts_come_in_the_precision_and_place_of_the_flow(changes: dict) -> None:
    model = MoLESpatialAwareNF(8, replace(SMALL, **changes)).double()
    model.add_task()
    assert {tensor.dtype for tensor in model.task_state(0).values()} == {torch.float64}
    assert "_like" not in model.state_dict()


def test_the_volume_switch_adds_the_whitening_scale() -> None:
    off, on = _model(SMALL), _model(replace(SMALL, count_adapter_volume=True))
    x = torch.randn(1, 2, 2, 8)
    assert torch.allclose(on(x)[1] - off(x)[1], on.input_adapters["1"].log_volume().expand(1, 2, 2), atol=1e-5)


@pytest.mark.parametrize("task", [0, 1])
def test_gradients_reach_every_trainable_parameter_and_no_other(task: int) -> None:
    model = _model(tasks=1)
    if task:
        model.add_task()
        for parameter in model.parameters():  # away from zero initial values, which block gradients
            parameter.data += 0.1 * torch.randn_like(parameter) if parameter.requires_grad else 0
    z, log_det = model(torch.randn(2, 3, 3, 8))
    patch_nll(z, log_det).mean().backward()
    for name, parameter in model.named_parameters():
        own = re.search(rf"(lora_A|lora_B|task_bias|input_adapters|dia_adapters)\.{task}(\.|$)", name)
        if own or (task == 0):
            assert parameter.requires_grad and parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        else:
            assert not parameter.requires_grad and parameter.grad is None, name


def test_training_a_later_task_leaves_all_else_bit_identical() -> None:
    model = _model(tasks=1)
    features = torch.randn(2, 3, 3, 8)
    model.set_active_task(0)
    scores, before = patch_nll(*model(features)).detach(), tensors_sha256({**model.base_state(), **model.task_state(0)})
    model.add_task()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        patch_nll(*model(features)).mean().backward()
        optimiser.step()
    assert not torch.equal(patch_nll(*model(features)), scores)
    model.set_active_task(0)
    assert torch.equal(patch_nll(*model(features)), scores)
    assert tensors_sha256({**model.base_state(), **model.task_state(0)}) == before


def test_merged_equals_unmerged() -> None:
    model, x = _model(), torch.randn(2, 3, 3, 8)
    model.set_active_task(1)
    plain = model(x)
    model.set_active_task(1, merge=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, model(x), strict=True))


def test_initial_values_depend_on_seed_and_name_only() -> None:
    np.random.seed(99)
    first = MoLESpatialAwareNF(8, SMALL)
    drawn = np.random.rand()
    np.random.seed(99)
    assert np.random.rand() == drawn, "building a flow must not move NumPy's global generator"
    second = MoLESpatialAwareNF(8, SMALL)
    second.add_task("early")
    first.add_task("late")
    for model in (first, second):
        model.add_task("same")
    assert tensors_sha256(first.base_state()) == tensors_sha256(second.base_state())
    assert tensors_sha256(first.task_state(1)) == tensors_sha256(second.task_state(1))
    assert tensors_sha256(MoLESpatialAwareNF(8, SMALL, seed=1).base_state()) != tensors_sha256(first.base_state())


def test_states_round_trip_and_refuse_another_model() -> None:
    source, target = _model(), _model(shaken=False)
    target.load_base_state(source.base_state())
    target.load_task_state(0, source.task_state(1))
    assert tensors_sha256(target.task_state(0)) == tensors_sha256(source.task_state(1))
    with pytest.raises(ConfigError, match="another model"):
        _model(replace(SMALL, lora_rank=3)).load_task_state(0, source.task_state(0))


def test_clear_refusals() -> None:
    with pytest.raises(ConfigError, match="7 is odd"):
        MoLESpatialAwareNF(7, SMALL)
    with pytest.raises(ConfigError, match="task 5 was never added"):
        _model().set_active_task(5)
