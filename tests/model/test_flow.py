"""The whole density model: counts, inverse, volume, gradients, and who may change whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from moleflow_lib.config import FlowOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.model.flow import FlowParts, MoLESpatialAwareNF, load_exactly
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.model.position import positional_encoding_2d
from moleflow_lib.storage.artifacts import tensors_sha256

SMALL = FlowOptions(coupling_layers=3, lora_rank=2)
Model = tuple[MoLESpatialAwareNF, list[FlowParts]]


def _model(options: FlowOptions = SMALL, dim: int = 8, tasks: int = 2, shaken: bool = True) -> Model:
    flow = MoLESpatialAwareNF(dim, options)
    spread = torch.randn(dim, dim, generator=torch.Generator().manual_seed(2)).double()
    moments = spread[0], spread @ spread.T
    parts = [flow.new_parts(task, first=task == 0, moments=moments) for task in range(tasks)]
    if shaken:
        torch.manual_seed(1)
        for module in (flow, *parts):
            for name, parameter in module.named_parameters():
                if "global_scale" not in name:
                    parameter.data += 0.2 * torch.randn_like(parameter)
    flow.activate(parts[-1])
    return flow, parts


def test_exact_counts_at_the_published_size() -> None:
    flow, (parts,) = _model(FlowOptions(), dim=768, tasks=1, shaken=False)
    assert flow.counts() == {"base": 7_090_176, "global_affine": 8 * 2 * 768, "mixer": 7_681}
    assert parts.counts() == {
        "lora": 1_376_256,
        "task_bias": 12_288,
        "whitening": 1_536,
        "dia": 1_774_080,
        "per_task": 3_164_160,
    }


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("task", [0, 1])
def test_inverse_gives_the_flow_input(dtype: torch.dtype, limit: float, task: int) -> None:
    flow, parts = _model(dim=32)
    flow.to(dtype)
    flow.activate(parts[task].to(dtype))
    features = torch.randn(2, 4, 4, 32, dtype=dtype)
    z, _ = flow(features)
    assert (flow.inverse(z) - flow.flow_input(features)).abs().max() < limit


_FULL = {"whitening": "full"}


@pytest.mark.parametrize("changes", [{}, {"dia_blocks": 0}, {"coupling_layers": 0}, {"lora_rank": 0}, _FULL])
def test_log_det_is_the_jacobian(changes: dict) -> None:
    flow, parts = _model(replace(SMALL, **{"use_mixer": False, "whitening": "off", **changes}))
    flow.double()
    flow.activate(parts[1].double())
    x = torch.randn(8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v.view(1, 1, 1, 8))[0].flatten(), x)
    assert torch.allclose(flow(x.view(1, 1, 1, 8))[1].squeeze(), torch.linalg.slogdet(jacobian).logabsdet)


def test_the_flow_adds_its_own_position_code() -> None:
    bare = {"whitening": "off", "use_mixer": False}
    with_code, without = (_model(replace(SMALL, use_position=on, **bare)) for on in (True, False))
    x = torch.randn(1, 3, 5, 8)
    expected = without[0].flow_input(x + positional_encoding_2d(8, 3, 5))
    assert torch.equal(with_code[0].flow_input(x), expected) and not torch.equal(expected, x)


def test_behind_full_whitening_the_position_code_is_not_whitened() -> None:
    flow, parts = _model(replace(SMALL, use_mixer=False, **_FULL))
    whitening = parts[1].whitening
    x = torch.randn(1, 3, 5, 8)
    expected = whitening.scaled(whitening.standardised(x) + positional_encoding_2d(8, 3, 5))
    assert torch.equal(flow.flow_input(x), expected)


@pytest.mark.parametrize("mixer", [True, False])
@pytest.mark.parametrize("whitening", ["off", "layer_norm", "full"])
@pytest.mark.parametrize("position", [True, False])
def test_some_places_enter_as_they_do_among_all(mixer: bool, whitening: str, position: bool) -> None:
    flow, _ = _model(replace(SMALL, use_mixer=mixer, whitening=whitening, use_position=position))
    x = torch.randn(2, 3, 5, 8)
    places = torch.tensor([14, 0, 7])
    expected = flow.flow_input(x).flatten(1, 2)[:, places].unsqueeze(2)
    assert torch.allclose(flow.flow_input(x, places), expected, atol=1e-6)


def test_an_untrained_flow_behind_full_whitening_scores_the_mahalanobis_energy() -> None:
    flow = MoLESpatialAwareNF(
        8, replace(SMALL, coupling_layers=0, use_mixer=False, use_position=False, **_FULL)
    ).double()
    x = torch.randn(50, 2, 2, 8, dtype=torch.float64) @ torch.randn(8, 8, dtype=torch.float64)
    parts = flow.new_parts(
        "bolt", first=False, moments=(x.flatten(0, 2).mean(dim=0), x.flatten(0, 2).T.cov())
    )
    flow.activate(parts)
    z, log_det = flow(x)
    assert torch.allclose(patch_nll(z, log_det), parts.whitening.energy(x) - parts.whitening.log_det)


@pytest.mark.parametrize("changes", [{"coupling_layers": 0}, {"coupling_layers": 0, "use_mixer": False}, {}])
def test_new_parts_come_in_the_precision_and_place_of_the_flow(changes: dict) -> None:
    flow = MoLESpatialAwareNF(8, replace(SMALL, **changes)).double()
    parts = flow.new_parts("bolt", first=True)
    assert {tensor.dtype for tensor in parts.state_dict().values()} == {torch.float64}
    assert "_like" not in flow.state_dict()


def test_counting_the_volume_adds_the_whitening_scale() -> None:
    (off, _), (on, parts) = _model(SMALL), _model(replace(SMALL, count_adapter_volume=True))
    x = torch.randn(1, 2, 2, 8)
    assert torch.allclose(on(x)[1] - off(x)[1], parts[1].whitening.log_volume().expand(1, 2, 2), atol=1e-5)


@pytest.mark.parametrize("base", [True, False])
def test_what_is_trained_gets_gradients_and_nothing_else_does(base: bool) -> None:
    flow, (parts,) = _model(tasks=1)
    flow.requires_grad_(base)
    z, log_det = flow(torch.randn(2, 3, 3, 8))
    patch_nll(z, log_det).mean().backward()
    trained = {id(parameter) for parameter in flow.trained_with(parts, base)}
    everything = [*flow.named_parameters(), *parts.named_parameters()]
    assert len(trained) == len(everything if base else list(parts.parameters()))
    for name, parameter in everything:
        if id(parameter) in trained:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


def test_training_a_later_task_leaves_all_else_bit_identical() -> None:
    flow, (first,) = _model(tasks=1)
    flow.requires_grad_(False)
    features = torch.randn(2, 3, 3, 8)
    scores = patch_nll(*flow(features)).detach()
    before = tensors_sha256(flow.state_dict()), tensors_sha256(first.state_dict())
    second = flow.new_parts("later", first=False)
    flow.activate(second)
    optimiser = torch.optim.AdamW(flow.trained_with(second, base=False), 1e-2, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        patch_nll(*flow(features)).mean().backward()
        optimiser.step()
    assert not torch.equal(patch_nll(*flow(features)), scores)
    flow.activate(first)
    assert torch.equal(patch_nll(*flow(features)), scores)
    assert (tensors_sha256(flow.state_dict()), tensors_sha256(first.state_dict())) == before


def test_merged_equals_unmerged() -> None:
    flow, parts = _model()
    x = torch.randn(2, 3, 3, 8)
    flow.activate(parts[1])
    plain = flow(x)
    flow.activate(parts[1], merge=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, flow(x), strict=True))


def test_bf16_products_change_little_and_leave_volume_and_state_in_float32() -> None:
    flow, parts = _model()
    reduced, own = _model(replace(SMALL, flow_precision="bf16"))
    x = torch.randn(2, 3, 3, 8)
    flow.activate(parts[1])
    reduced.activate(own[1])
    pairs = list(zip(flow(x), reduced(x), strict=True))
    for exact, found in pairs:
        assert found.dtype == torch.float32 and not torch.equal(exact, found)
        assert (exact - found).abs().max() < 0.05 * exact.abs().max()
    assert tensors_sha256(reduced.state_dict()) == tensors_sha256(flow.state_dict())
    plain = reduced(x)
    reduced.activate(own[1], merge=True)
    assert all(torch.equal(a, b) for a, b in zip(plain, reduced(x), strict=True))


def test_a_bf16_flow_is_undone_and_its_gradients_are_float32() -> None:
    flow, parts = _model(replace(SMALL, flow_precision="bf16"))
    flow.activate(parts[0])
    x = torch.randn(2, 3, 3, 8)
    z, log_det = flow(x)
    assert torch.allclose(flow.inverse(z), flow.flow_input(x), atol=0.1)
    patch_nll(z, log_det).mean().backward()
    trained = list(flow.trained_with(parts[0], base=True))
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trained)


def test_initial_values_depend_on_seed_and_name_only() -> None:
    np.random.seed(99)
    first = MoLESpatialAwareNF(8, SMALL)
    drawn = np.random.rand()
    np.random.seed(99)
    assert np.random.rand() == drawn, "building a flow must not move NumPy's global generator"
    second = MoLESpatialAwareNF(8, SMALL)
    second.new_parts("early", first=True)
    same = [tensors_sha256(flow.new_parts("same", first=False).state_dict()) for flow in (first, second)]
    assert same[0] == same[1] != tensors_sha256(first.new_parts("other", first=False).state_dict())
    assert tensors_sha256(first.state_dict()) == tensors_sha256(second.state_dict())
    assert tensors_sha256(MoLESpatialAwareNF(8, SMALL, seed=1).state_dict()) != tensors_sha256(
        first.state_dict()
    )


def test_states_round_trip_and_refuse_another_model() -> None:
    source, parts = _model()
    target, fresh = _model(shaken=False)
    load_exactly(target, source.state_dict())
    load_exactly(fresh[0], parts[1].state_dict())
    assert tensors_sha256(fresh[0].state_dict()) == tensors_sha256(parts[1].state_dict())
    assert tensors_sha256(target.state_dict()) == tensors_sha256(source.state_dict())
    with pytest.raises(ConfigError, match="another model"):
        load_exactly(_model(replace(SMALL, lora_rank=3))[1][0], parts[0].state_dict())


def test_clear_refusals() -> None:
    with pytest.raises(ConfigError, match="7 is odd"):
        MoLESpatialAwareNF(7, SMALL)
    with pytest.raises(ConfigError, match="no task's parts are active"):
        MoLESpatialAwareNF(8, SMALL)(torch.zeros(1, 2, 2, 8))
