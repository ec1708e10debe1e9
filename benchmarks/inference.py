"""What scoring adds to the frozen backbone: routing, the flow with its parts, stored patches, image scores and pixel maps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.features.extractor import PatchExtractor, build_extractor
from moleflow_lib.routing.router import TaskPrototype
from moleflow_lib.scoring.aggregation import pixel_maps
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.memory_bank import TaskMemory
from moleflow_lib.scoring.prototype_distance import PrototypeDistance

__all__ = ["report_overheads"]

IMAGES, ROUNDS, TASKS = 8, 5, 4


def report_overheads() -> None:
    """Print, for each preset and backbone size, the seconds of scoring as a share of the backbone's own."""
    for tag in ("vit_tiny_patch16_224", "vit_base_patch16_224"):
        for preset in ("v5_final", "recommended"):
            config = ExperimentConfig.from_params({"preset": preset, "backbone": f"random:{tag}", "device": "cpu"})
            extractor = build_extractor(config.features, device="cpu")
            detector = _detector(extractor, config)
            shares = [_share(extractor, detector) for _ in range(ROUNDS + 1)][1:]  # the first round warms up
            print(
                f"scoring beside the backbone {tag}, {preset}: +{100 * statistics.median(shares):.1f} % "
                f"(min {100 * min(shares):.1f}, max {100 * max(shares):.1f}, {ROUNDS} rounds of {IMAGES} images)", flush=True,
            )


def _detector(extractor: PatchExtractor, config: ExperimentConfig) -> ContinualDetector:
    """A detector with as many untrained tasks as a short sequence has; its speed is that of a trained one."""
    dim = extractor.feature_dim
    detector = ContinualDetector(dim, config)
    for task in range(TASKS):
        detector.flow.add_task(task)
        prototype = TaskPrototype(dim)
        prototype.update(torch.randn(50, dim))
        prototype.finalize()
        detector.router.add(prototype)
        scale, stored = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.randn(config.score.memory_size, dim).half()
        if config.score.scaled:
            detector.memories.append(
                TaskMemory(stored, scale, config.score.memory_neighbours, compress=config.score.compress_scores)
            )
        if config.score.prototype_weight:
            detector.prototype_distances.append(PrototypeDistance(prototype, scale.double(), torch.empty(0)))
    detector.flow.train_only(None)
    detector.route(torch.zeros(1, dim))  # factors the covariances once, as a long run would
    return detector


def _share(extractor: PatchExtractor, detector: ContinualDetector) -> float:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
    backbone, patches = _timed(lambda: extractor(images))
    scoring, _ = _timed(lambda: _score(detector, patches))
    return scoring / backbone


def _score(detector: ContinualDetector, patches: torch.Tensor) -> None:
    detector.route(patches.mean(dim=(1, 2)))
    scores = detector.patch_scores(patches, 0)
    detector.image_scores(scores, patches.mean(dim=(1, 2)), 0)
    pixel_maps(scores, detector.config.score.eval_size)


def _timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
