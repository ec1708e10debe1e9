"""The optimiser loop: step budgets, noise that blurs the density, and shares of patches."""

from __future__ import annotations

import pytest
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.training.fit import fit


def _detector(**changes: object) -> ContinualDetector:
    small = {"coupling_layers": 2, "lora_rank": 2, "batch_size": 4, "epochs": 2, "use_position": False, "device": "cpu"}
    detector = ContinualDetector(8, ExperimentConfig().with_(**{**small, **changes}))
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


@pytest.mark.parametrize(("share", "patches"), [(1.0, 16), (0.5, 8), (0.001, 1)])
def test_a_share_of_the_patches_meets_the_coupling_blocks(share: float, patches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, seen = _detector(patch_share=share), []
    inner = detector.flow.density
    monkeypatch.setattr(detector.flow, "density", lambda x: seen.append(x.shape[1] * x.shape[2]) or inner(x))
    fit(detector, 0, "a", _images())
    assert set(seen) == {patches}
