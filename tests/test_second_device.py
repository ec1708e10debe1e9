"""The whole path on a simulated second device: nothing mixes devices, no loop waits for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from moleflow_lib.config import ExperimentConfig, FlowOptions, TrainOptions
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import load_detector, save_detector
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.presets import PRESETS
from moleflow_lib.scoring.coreset import greedy_coreset, nearest_distances, projected
from moleflow_lib.training import fit as module
from moleflow_lib.training.fit import fit
from tests.devices import DEVICE, SimulatedDevice

CLASSES = ("leather", "nut")
SMALL = {
    "classes": CLASSES,
    "backbone": "random:test_vit",
    "blocks": (1, 3, 5),
    "image_size": 64,
    "eval_size": 56,
    "coupling_layers": 1,
    "lora_rank": 2,
    "epochs": 1,
    "control_backbone": "",
}
SCORED = ("score_parts", "image_parts", "median_share", "compress_scores", "prototype_weight")
OF_RECOMMENDED = ("whitening", "router_covariance", *SCORED)
TRIED = {
    "v5_final": {},
    "recommended": {name: PRESETS["recommended"][name] for name in OF_RECOMMENDED}
    | {"steps": 3, "memory_size": 24, "damaged_copies": 3},
}


def _finished(config: ExperimentConfig) -> Experiment:
    experiment = Experiment(config)
    experiment.evaluate()
    return experiment


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")  # torch takes the device for meta
@pytest.mark.parametrize("preset", TRIED)
def test_the_whole_path_gives_what_the_cpu_gives(
    preset: str, tiny_config: Callable[..., ExperimentConfig], tmp_path: object
) -> None:
    options = {**SMALL, "preset": preset, "patch_share": 1.0, **TRIED[preset]}
    expected = _finished(tiny_config(**options))
    with SimulatedDevice():
        there = _finished(tiny_config(**options, device=str(DEVICE), out_dir=str(tmp_path / "there")))
        assert there.detector.device == DEVICE and there.store.extractor.mean.device == DEVICE
        assert there.unchanged()
        assert there.evaluate() == expected.evaluate()
        for one, other in zip(there.evaluators, expected.evaluators, strict=True):
            assert torch.equal(one.features.patches, other.features.patches)
            assert torch.equal(one.patch_scores(0), other.patch_scores(0))
        folder = save_detector(there, tmp_path / "moved")
        image = str(there.tasks[1].test[0].image)
        scored = load_detector(folder, str(DEVICE)).score([image])[0]
    here = load_detector(folder, "cpu").score([image])[0]
    assert (here.task, here.score, here.decision) == (scored.task, scored.score, scored.decision)
    assert (here.map == scored.map).all()


def _waits(images: int, held: int, monkeypatch: pytest.MonkeyPatch, **options: object) -> int:
    """How often one epoch over some images waits for the device."""
    monkeypatch.setattr(module, "_ON_DEVICE", held)
    patches = torch.randn(images, 3, 3, 8)
    with SimulatedDevice() as device:
        flow = MoLESpatialAwareNF(8, FlowOptions(coupling_layers=2, lora_rank=2)).to(DEVICE)
        parts = flow.new_parts("a", first=True)
        train = TrainOptions(batch_size=2, epochs=1, clip_norm=0.5, log_det_penalty=0.1, **options)
        before = device.waits
        fit(flow, parts, patches, train, "a", base=True)
        return device.waits - before


@pytest.mark.parametrize("held", [0, 1 << 30])
@pytest.mark.parametrize("options", [{}, {"patch_share": 0.5, "tail_scope": "image", "warmup_steps": 2}])
def test_a_training_step_does_not_wait(held: int, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (_waits(images, held, monkeypatch, **options) for images in (2, 20))
    assert few == many > 0  # what is read at the end of an epoch


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_patches_sent_batch_by_batch_train_to_the_same_bits(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches, trained = torch.randn(7, 3, 3, 8).half(), []
    for held in (0, 1 << 30):
        monkeypatch.setattr(module, "_ON_DEVICE", held)
        with SimulatedDevice():
            options = FlowOptions(coupling_layers=2, lora_rank=2, flow_precision=precision)
            flow = MoLESpatialAwareNF(8, options).to(DEVICE)
            parts = flow.new_parts("a", first=True)
            fitted = fit(flow, parts, patches, TrainOptions(batch_size=2, epochs=2), "a", base=True)
            state = {
                name: tensor.cpu()
                for name, tensor in [*flow.state_dict().items(), *parts.state_dict().items()]
            }
        trained.append((fitted.curves, state))
    (curves, state), (others, again) = trained
    assert curves == others and all(torch.equal(state[name], again[name]) for name in state)


def test_a_coreset_pick_and_a_distance_do_not_wait() -> None:
    points = torch.randn(40, 6)
    with SimulatedDevice() as device:
        there, counts = projected(points, 0, DEVICE), []
        for size in (2, 30):
            before = device.waits
            picked = greedy_coreset(there.clone(), size, seed=1)
            counts.append(device.waits - before)
        before = device.waits
        gaps = nearest_distances(there, there[:7], 3)
        assert device.waits == before
        gaps = gaps.cpu()
    assert counts == [2, 2], "once a round, once at the end"
    assert torch.equal(picked, greedy_coreset(projected(points, 0), 30, seed=1))
    assert torch.equal(gaps, nearest_distances(points, points[:7], 3))


def test_the_simulation_refuses_what_a_second_device_refuses() -> None:
    with SimulatedDevice() as device:
        there = torch.ones(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="a list as index"):
            there[[0]]
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there.index_select(0, torch.tensor([0]))
        assert device.waits == 0
        assert float(there.sum()) == 3 and bool(there[0] > 0) and there.cpu().tolist() == [1, 1, 1]
        assert device.waits == 3
        assert (there + torch.tensor(1.0))[there > 0].device == DEVICE and device.waits == 4
