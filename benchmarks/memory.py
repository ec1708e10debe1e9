"""`python -m benchmarks.memory`: the most memory that extraction, training and the memory bank take.

900 images of 448 pixels, as many as VisA's candle has, give 1.1 GB of ViT-B features, and the damaged copies
of `recommended` 0.3 GB. The pixels are noise. The backbone is a stand-in of the same output, as its own need
does not depend on the number of images; one batch of the true one is measured apart. Each row is a process of
its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:  # a stage's imports are counted apart
    from moleflow_lib.config import ExperimentConfig
    from moleflow_lib.features.store import Features

IMAGES, SIZE, DIM, BATCH = 900, 448, 768, 32
STAGES = ("backbone", "extraction", "training", "memory_bank")
WIDTH = 16  # pixels of a patch


class StandIn(nn.Module):
    """Images (B, 3, S, S) → features (B, S/16, S/16, D), by one random projection of each patch's mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("draw", torch.randn(3, DIM, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return nn.functional.avg_pool2d(images, WIDTH).permute(0, 2, 3, 1) @ self.draw


def main() -> None:
    """Run every stage in a process of its own, one after another, in one folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--folder")
    parser.add_argument("--images", type=int, default=IMAGES)
    options = parser.parse_args()
    if options.stage:
        print(_stage(options.stage, Path(options.folder), options.images))
        return
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            command = [sys.executable, "-m", "benchmarks.memory", "--stage", stage, "--folder", folder]
            done = subprocess.run(
                [*command, "--images", str(options.images)], check=True, stdout=subprocess.PIPE, text=True
            )
            print(f"memory, {stage.replace('_', ' ')}: {done.stdout.strip()}", flush=True)


def _stage(stage: str, folder: Path, images: int) -> str:
    """What a stage adds to the peak of resident memory after imports, GB; mapped files are counted."""
    from moleflow_lib.config import ExperimentConfig
    from moleflow_lib.experiment import Experiment  # noqa: F401, imports are not counted
    from moleflow_lib.runtime import quiet

    torch.set_num_threads(1)
    config = ExperimentConfig.from_params({"preset": "recommended", "steps": 3, "image_size": SIZE})
    before = _peak()
    with quiet():
        globals()[f"_{stage}"](folder, images, config)
    return f"{_peak() - before:.2f} GB over the {before:.2f} of the imports"


def _backbone(folder: Path, images: int, config: ExperimentConfig) -> None:
    from moleflow_lib.features.extractor import ViTPatchCoreExtractor

    extractor = ViTPatchCoreExtractor("vit_base_patch16_224", image_size=SIZE, random_seed=0)
    extractor(np.zeros((BATCH, SIZE, SIZE, 3), dtype=np.uint8))


def _extraction(folder: Path, images: int, config: ExperimentConfig) -> None:
    _features(folder, images, config)


def _training(folder: Path, images: int, config: ExperimentConfig) -> None:
    from moleflow_lib.model.flow import MoLESpatialAwareNF
    from moleflow_lib.routing.moments import RunningMoments
    from moleflow_lib.training.fit import fit

    patches = _features(folder, images, config).lesson
    moments = RunningMoments.of_patches(patches)
    flow = MoLESpatialAwareNF(DIM, config.flow)
    parts = flow.new_parts("a", True, (moments.mean, moments.covariance()))
    fit(flow, parts, patches, config.train, "a", base=True)


def _memory_bank(folder: Path, images: int, config: ExperimentConfig) -> None:
    from moleflow_lib.scoring.memory_bank import build_memory_bank

    build_memory_bank(_features(folder, images, config).lesson, 20, 0, "a")  # picks take time, not memory


def _features(folder: Path, images: int, config: ExperimentConfig) -> Features:
    """The features, extracted if no stage did so before."""
    from PIL import Image

    from moleflow_lib.datasets import Record
    from moleflow_lib.features.extractor import PatchExtractor
    from moleflow_lib.features.store import FeatureStore

    paths = [folder / f"{number:04}.bmp" for number in range(images)]
    for number, path in enumerate(paths):
        if not path.exists():
            noise = np.random.default_rng(number).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
    extractor = PatchExtractor(StandIn(), "stand-in", SIZE)
    records = [Record(product="noise", split="train", defect="good", image=path) for path in paths]
    store = FeatureStore(folder / "store", extractor, batch_size=BATCH)
    return store.features(records, "noise", config.features.damaged_copies)


def _peak() -> float:
    """The highest resident memory of this process so far, GB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
