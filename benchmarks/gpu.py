"""`python -m benchmarks.gpu`: the whole path on a GPU, against the same on the CPU, as one short table.

Two drawn products, ViT-B with random weights (D = 768), both presets at their own shape: extraction,
training, scoring, routing, metrics; saved on the GPU, loaded on the CPU, saved there and loaded on the GPU
again. A row ends in `ok` or `FAILED`, or is a measurement.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data_prep.draw import draw_demo
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.extractor import PatchExtractor, build_extractor
from moleflow_lib.inference import LearnedDetector, load_detector, save_detector
from moleflow_lib.model.flow import MoLESpatialAwareNF
from moleflow_lib.runtime import quiet, resolve_device
from moleflow_lib.scoring.coreset import greedy_coreset, projected
from moleflow_lib.training import fit as fitting

CLASSES, TRAIN, TEST = ("leather", "nut"), 32, 8
CPU_STEPS = 3  # of the training that both devices do
STEPS = 40  # of the training that is timed
CHANGES: dict[str, object] = {}  # options that both presets have otherwise


def main() -> None:
    """Draw the images, run both presets, print the table; exit with 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--backbone", default="random:vit_base_patch16_224")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--train", type=int, default=TRAIN, help="training images a product")
    options = parser.parse_args()
    device = resolve_device(options.device)
    rows = Rows(device)
    rows.measured("machine", _machine(device))
    with tempfile.TemporaryDirectory() as folder, quiet():
        root = draw_demo(
            Path(folder) / "demo", train=options.train, test_good=TEST // 2, test_defect=TEST // 2
        )
        for preset in ("v5_final", "recommended"):
            config = ExperimentConfig.from_params(
                {
                    "preset": preset,
                    "dataset_root": str(root),
                    "classes": list(CLASSES),
                    "backbone": options.backbone,
                    "image_size": options.image_size,
                    "control_backbone": "none",
                    "device": options.device,
                    "out_dir": f"{folder}/{preset}",
                    **CHANGES,
                }
            )
            rows.preset = preset
            _whole_path(config, rows, Path(folder))
    sys.exit(1 if rows.failed else 0)


class Rows:
    """Prints a table row by row and remembers whether a check failed."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.preset = "both"
        self.failed = False
        print("| preset | what | value | |\n|---|---|---|---|")

    def measured(self, what: str, value: str, verdict: str = "") -> None:
        """A row."""
        print(f"| {self.preset} | {what} | {value} | {verdict} |", flush=True)

    def check(self, what: str, right: bool, value: str = "") -> None:
        """A row that may fail."""
        self.failed |= not right
        self.measured(what, value, "ok" if right else "FAILED")

    def seconds(self, call: Callable[[], object], rounds: int = 1) -> float:
        """Median seconds of a call, the device's work included."""
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def _whole_path(config: ExperimentConfig, rows: Rows, folder: Path) -> None:
    experiment = Experiment(config)
    here = build_extractor(config.features, config.data.image_size, device="cpu")
    _extraction(experiment, here, rows)
    _training(experiment, config, rows)
    seconds = rows.seconds(experiment.learn)
    rows.measured("two tasks learned, s", f"{seconds:.1f}")
    final = experiment.evaluate()
    auroc = [value for value in final.final("image_auroc") if value is not None]
    rows.check("metrics", len(auroc) == 2, ", ".join(f"{value:.3f}" for value in auroc))
    rows.check("earlier task unchanged", experiment.unchanged())
    _coreset(experiment, rows)
    _moved(experiment, rows, folder / config.run.preset)
    if rows.device.type == "cuda":
        rows.measured("GPU memory, highest, GB", f"{torch.cuda.max_memory_allocated() / 1e9:.2f}")


def _extraction(experiment: Experiment, here: PatchExtractor, rows: Rows) -> None:
    there = experiment.store.extractor
    size = there.image_size
    images = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    features = there(images)
    rows.measured("backbone, images a second", f"{32 / rows.seconds(lambda: there(images), 3):,.0f}")
    gap = (features[:4].cpu() - here(images[:4])).abs().max() / features.abs().max().cpu()
    rows.check("features, GPU against CPU, share of the largest", bool(gap < 1e-4), f"{float(gap):.1e}")
    for task in experiment.tasks:
        for split in ("train", "test"):
            rate = experiment.features(task, split).images_per_second
    rows.measured("extraction with decoding, images a second", f"{rate:,.0f}")


def _training(experiment: Experiment, config: ExperimentConfig, rows: Rows) -> None:
    patches = experiment.features(experiment.tasks[0], "train").patches
    short = replace(
        config.train, steps=CPU_STEPS, batch_size=8, patch_share=1.0
    )  # devices draw other patches
    curves = [_curve(experiment, patches, short, device) for device in (rows.device, torch.device("cpu"))]
    gap = max(abs(a - b) / max(abs(b), 1.0) for a, b in zip(*curves, strict=True))
    rows.check(f"loss over {CPU_STEPS} steps, GPU against CPU", gap < 1e-3, f"{gap:.1e}")
    held, fitting._ON_DEVICE = fitting._ON_DEVICE, 0
    streamed = _curve(experiment, patches, short, rows.device)
    fitting._ON_DEVICE = held
    gap = max(abs(a - b) / max(abs(b), 1.0) for a, b in zip(streamed, curves[0], strict=True))
    rows.check("the same, patches sent batch by batch", gap < 1e-4, f"{gap:.1e}")
    run = lambda: _curve(experiment, patches, replace(config.train, steps=STEPS), rows.device)  # noqa: E731
    run()
    rows.measured("training step, ms", f"{1e3 * rows.seconds(run) / STEPS:.1f}")
    if rows.device.type == "cuda":
        few, many = (
            _waits(
                lambda n=n: _curve(experiment, patches[:n], replace(short, steps=0, epochs=1), rows.device)
            )
            for n in (8, len(patches))
        )
        rows.check("an epoch's waits for the GPU do not grow with its steps", few == many, f"{few}, {many}")


def _curve(experiment: Experiment, patches: torch.Tensor, train: object, device: torch.device) -> list[float]:
    """Losses, epoch by epoch, of a base task trained anew."""
    flow = MoLESpatialAwareNF(experiment.detector.dim, experiment.config.flow).to(device)
    mean = patches.double().mean(dim=(0, 1, 2))
    parts = flow.new_parts("a", True, (mean, torch.eye(len(mean), dtype=torch.float64)))
    return fitting.fit(flow, parts, patches, train, "a", base=True).curves["loss"]


def _coreset(experiment: Experiment, rows: Rows) -> None:
    flat = experiment.features(experiment.tasks[0], "train").patches.flatten(0, -2)
    there = projected(flat, 0, rows.device)
    seconds = rows.seconds(lambda: greedy_coreset(there.clone(), 1000, 0))
    one, other = (set(greedy_coreset(x, 200, 0).tolist()) for x in (there.clone(), there.cpu()))
    share = len(one & other) / len(one)
    rows.check(
        "coreset of 1,000, s; share of 200 picks as on the CPU", share > 0.5, f"{seconds:.2f}; {share}"
    )


def _moved(experiment: Experiment, rows: Rows, folder: Path) -> None:
    """Save where it was learned, load on the CPU, save there, load on the device."""
    images = [str(record.image) for task in experiment.tasks for record in task.test]
    first = load_detector(save_detector(experiment, folder / "first"), str(rows.device))
    cpu = load_detector(folder / "first", "cpu")
    again = load_detector(save_detector(cpu, folder / "second"), str(rows.device))
    there, here, back = (one.score(images) for one in (first, cpu, again))
    spread = np.std([one.score for one in here])
    gap = max(abs(a.score - b.score) for a, b in zip(there, here, strict=True)) / spread
    maps = max(float(np.abs(a.map - b.map).max()) / b.map.std() for a, b in zip(there, here, strict=True))
    rows.check("image scores, GPU against CPU, standard deviations", gap < 0.02, f"{gap:.1e}")
    rows.check("pixel maps, GPU against CPU, standard deviations", maps < 0.05, f"{maps:.1e}")
    rows.check("routing alike", [a.task for a in there] == [b.task for b in here], f"{len(here)} images")
    alike = all(a.score == b.score and (a.map == b.map).all() for a, b in zip(there, back, strict=True))
    rows.check("GPU → disk → CPU → disk → GPU gives the same bits", alike)
    for batch in (1, 8):
        rows.measured(f"photo to score, batch {batch}, ms an image", _speed(first, images[:8], batch, rows))


def _speed(detector: LearnedDetector, images: list[str], batch: int, rows: Rows) -> str:
    run = lambda: detector.score(images, batch_size=batch)  # noqa: E731
    run()
    return f"{1e3 * rows.seconds(run, 3) / len(images):.1f}"


def _waits(call: Callable[[], object]) -> int:
    """How often torch says that the host waited for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in found)


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    precision = f"float32 products {products.fp32_precision}, convolutions {convolutions.fp32_precision}"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {precision}"


if __name__ == "__main__":
    main()
