"""The optimiser loop: step budgets, the rate's course, clipping, shares of patches."""

from __future__ import annotations

import math

import pytest
import torch

from moleflow_lib.config import FlowOptions, TrainOptions
from moleflow_lib.model.flow import FlowParts, MoLESpatialAwareNF
from moleflow_lib.training import fit as module
from moleflow_lib.training.adamw import AdamW
from moleflow_lib.training.fit import Fitted, fit, learning_rate


def _model(**changes: object) -> tuple[MoLESpatialAwareNF, FlowParts]:
    flow = MoLESpatialAwareNF(
        8, FlowOptions(**{"coupling_layers": 2, "lora_rank": 2, "use_position": False, **changes})
    )
    return flow, flow.new_parts("a", first=True)


def _fitted(
    model: tuple[MoLESpatialAwareNF, FlowParts], images: torch.Tensor, base: bool = True, **options: object
) -> Fitted:
    small = TrainOptions(**{"batch_size": 4, "epochs": 2, **options})
    return fit(*model, images, small, "a", base)


def _images(count: int = 10) -> torch.Tensor:
    return torch.randn(count, 4, 4, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("images", "steps", "made", "epochs"), [(10, 7, 7, 3), (3, 7, 7, 7), (10, 0, 6, 2), (40, 7, 7, 1)]
)
def test_a_step_budget_does_not_depend_on_the_number_of_images(
    images: int, steps: int, made: int, epochs: int
) -> None:
    fitted = _fitted(_model(), _images(images), steps=steps)
    assert fitted.steps == made and len(fitted.curves["loss"]) == epochs


def test_the_cosine_rate_falls_to_zero_and_warm_up_rises_to_one() -> None:
    cosine = TrainOptions(schedule="cosine")
    assert [learning_rate(step, 10, cosine) for step in (0, 5, 10)] == pytest.approx([1, 0.5, 0])
    assert learning_rate(2, 10, cosine) == pytest.approx(0.5 * (1 + math.cos(0.2 * math.pi)))
    warm = TrainOptions(warmup_steps=4)
    assert [learning_rate(step, 10, warm) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])
    both = TrainOptions(schedule="cosine", warmup_steps=4)
    assert learning_rate(1, 10, both) == pytest.approx(0.5 * learning_rate(1, 10, cosine))


def test_the_rate_that_was_asked_for_acts_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    step = AdamW.step

    def watched(optimiser: AdamW, lr: float) -> None:
        seen.append(lr)
        step(optimiser, lr)

    monkeypatch.setattr(AdamW, "step", watched)
    _fitted(_model(), _images(), steps=5, schedule="cosine", lr=1e-2)
    options = TrainOptions(schedule="cosine")
    assert seen == pytest.approx([1e-2 * learning_rate(k, 5, options) for k in range(5)])


def test_clipping_holds_the_gradient_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = []
    step = AdamW.step

    def watched(optimiser: AdamW, lr: float) -> None:
        gradients = [p.grad for p in optimiser.parameters if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in gradients]).norm()))
        step(optimiser, lr)

    monkeypatch.setattr(AdamW, "step", watched)
    _fitted(_model(), 10 * _images(), steps=4)
    _fitted(_model(), 10 * _images(), steps=4, clip_norm=0.5)
    assert min(norms[:4]) > 0.5 and norms[4:] == pytest.approx([0.5] * 4, rel=1e-4)


@pytest.mark.parametrize("base", [True, False])
def test_the_flow_moves_with_the_base_task_alone_and_nothing_stays_trainable(base: bool) -> None:
    flow, parts = _model()
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    own = {name: tensor.clone() for name, tensor in parts.state_dict().items()}
    _fitted((flow, parts), _images(), base=base, lr=1e-2)
    moved = {name for name, tensor in flow.state_dict().items() if not torch.equal(tensor, before[name])}
    assert (moved == {name for name, _ in flow.named_parameters()}) if base else not moved
    assert all(not torch.equal(tensor, own[name]) for name, tensor in parts.state_dict().items())
    assert not any(p.requires_grad for p in (*flow.parameters(), *parts.parameters()))


def test_the_identity_regulariser_holds_the_base_whitening() -> None:
    gaps = []
    for weight in (0.0, 1e4):
        flow, parts = _model(dia_blocks=0, coupling_layers=0, use_mixer=False)
        _fitted((flow, parts), 3 + _images(), identity_weight=weight, lr=1e-2, steps=60)
        gaps.append(float((parts.whitening.gamma - 1).abs().mean() + parts.whitening.beta.abs().mean()))
    assert gaps[1] < 0.2 * gaps[0]


def test_the_patches_drawn_are_the_same_for_the_same_seed_whatever_the_callers_generator() -> None:
    states = []
    for seed in (0, 0, 1):
        flow, parts = _model()
        torch.manual_seed(len(states))
        _fitted((flow, parts), _images(), patch_share=0.5, seed=seed)
        states.append(flow.mixer.weight.clone())
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


@pytest.mark.parametrize(("share", "patches"), [(1.0, 16), (0.5, 8), (0.001, 1)])
def test_a_share_of_the_patches_meets_the_coupling_blocks(
    share: float, patches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, parts = _model()
    seen = []
    inner = flow.density
    monkeypatch.setattr(flow, "density", lambda x: seen.append(x.shape[1] * x.shape[2]) or inner(x))
    _fitted((flow, parts), _images(), patch_share=share)
    assert set(seen) == {patches}


def test_an_interrupted_fit_leaves_nothing_trainable(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, parts = _model()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fitted((flow, parts), _images())
    assert not any(p.requires_grad for p in (*flow.parameters(), *parts.parameters()))
