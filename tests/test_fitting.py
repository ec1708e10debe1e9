"""The optimiser loop: step budgets, noise that blurs the density, and shares of patches."""

from __future__ import annotations

import pytest
import torch

from moleflow_lib import fitting
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.detector import ContinualDetector
from moleflow_lib.fitting import fit
from moleflow_lib.losses import patch_nll


def _detector(**changes: object) -> ContinualDetector:
    small = {"coupling_layers": 2, "lora_rank": 2, "batch_size": 4, "epochs": 2, "use_position": False, "device": "cpu"}
    detector = ContinualDetector(8, ExperimentConfig(**{**small, **changes}))
    detector.flow.add_task("a")
    return detector


def _images(count: int = 10) -> torch.Tensor:
    return torch.randn(count, 4, 4, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("images", "steps", "made", "epochs"), [(10, 7, 7, 3), (3, 7, 7, 7), (10, 0, 6, 2), (40, 7, 7, 1)])
def test_a_step_budget_does_not_depend_on_the_number_of_images(images: int, steps: int, made: int, epochs: int) -> None:
    curves, count = fit(_detector(steps=steps), 0, "a", _images(images))
    assert count == made and len(curves["loss"]) == epochs


def test_the_rate_falls_to_zero_at_the_end_of_the_budget() -> None:
    long, short = _detector(steps=40, schedule="cosine", lr=1e-2), _detector(steps=40, schedule="constant", lr=1e-2)
    for detector in (long, short):
        fit(detector, 0, "a", _images())
    assert not torch.equal(long.flow.base_state()["mixer.weight"], short.flow.base_state()["mixer.weight"])


def test_noise_widens_the_density() -> None:
    """A flow fitted to x + σ·ε gives a point that lies off the data more credit than one fitted to x alone."""
    data = torch.zeros(16, 4, 4, 8)
    data[..., :2] = torch.randn(16, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    off = data.clone()
    off[..., 4:] += 0.3
    gaps = {}
    for noise in (0.0, 0.5):
        bare = {"use_whitening": False, "use_mixer": False, "dia_blocks": 0}
        detector = _detector(feature_noise=noise, steps=120, lr=1e-2, clip_norm=1.0, **bare)
        fit(detector, 0, "a", data)
        with torch.inference_mode():
            gaps[noise] = float((patch_nll(*detector.flow(off)) - patch_nll(*detector.flow(data))).mean())
    assert 0 < gaps[0.5] < 0.5 * gaps[0.0]


def test_noise_acts_in_training_alone_and_is_the_same_for_the_same_seed() -> None:
    states = []
    for seed in (0, 0, 1):
        detector = _detector(feature_noise=0.3, patch_share=0.5, seed=seed)
        torch.manual_seed(len(states))  # the callers' generator must not matter
        fit(detector, 0, "a", _images())
        states.append(detector.flow.base_state()["mixer.weight"].clone())
        z = detector.flow(_images())[0]
        assert torch.equal(z, detector.flow(_images())[0])
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_varying_noise_gives_every_patch_a_width_between_none_and_twice_the_mean() -> None:
    detector, zeros = _detector(noise_varies=True), torch.zeros(50, 4, 4, 8)
    flow = detector.flow
    torch.manual_seed(0)
    widths = flow._noise(zeros.expand(50, 4, 4, 8).repeat(1, 1, 1, 40), 0.3).std(dim=-1)
    assert widths.min() < 0.05 and 0.5 < widths.max() < 0.7 and widths.mean() == pytest.approx(0.3, abs=0.02)


def test_the_average_is_what_is_left_behind() -> None:
    moving, averaged = _detector(steps=30, lr=1e-2), _detector(steps=30, lr=1e-2, weight_average=0.9)
    curves = [fit(detector, 0, "a", _images())[0] for detector in (moving, averaged)]
    assert curves[0] == curves[1], "training itself is the same"
    assert not torch.equal(moving.flow.base_state()["mixer.weight"], averaged.flow.base_state()["mixer.weight"])


def test_held_out_images_are_not_trained_on_and_choose_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, losses = _detector(steps=100, lr=0.5, held_out_share=0.2), []
    real = fitting._held_out_loss
    monkeypatch.setattr(fitting, "_held_out_loss", lambda *given: losses.append(real(*given)) or losses[-1])
    seen = []
    monkeypatch.setattr(fitting, "_loss", lambda d, t, batch, inner=fitting._loss: seen.append(batch) or inner(d, t, batch))
    images = _images(10)
    fit(detector, 0, "a", images)
    trained = {float(image.sum()) for batch in seen for image in batch}
    held_out = torch.stack([image for image in images if float(image.sum()) not in trained])
    assert len(losses) == 4 and len(trained) == 8 and len(held_out) == 2
    assert real(detector, held_out) == pytest.approx(min(losses), rel=1e-4)


def test_two_images_leave_one_to_train_on() -> None:
    train, held_out = fitting._split(_images(2), ExperimentConfig(held_out_share=0.5), "a")
    assert len(train) == len(held_out) == 1


@pytest.mark.parametrize(("share", "patches"), [(1.0, 16), (0.5, 8), (0.001, 1)])
def test_a_share_of_the_patches_meets_the_coupling_blocks(share: float, patches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, seen = _detector(patch_share=share), []
    inner = detector.flow.density
    monkeypatch.setattr(detector.flow, "density", lambda x: seen.append(x.shape[1] * x.shape[2]) or inner(x))
    fit(detector, 0, "a", _images())
    assert set(seen) == {patches}
