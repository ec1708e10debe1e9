"""What scoring adds to the frozen backbone: routing, the flow with its parts, stored patches, image scores
and pixel maps.
"""

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
from moleflow_lib.scoring.memory_bank import MemoryBank
from moleflow_lib.scoring.prototype_distance import ImageScale
from moleflow_lib.scoring.task_parts import TaskHistory, TaskParts

__all__ = ["report_overheads"]

BATCHES, ROUNDS, TASKS = (1, 8), 5, 4


def report_overheads() -> None:
    """Print, for each preset and batch, the seconds of scoring as a share of the backbone's own."""
    for tag in ("vit_base_patch16_224",):
        for preset in ("v5_final", "recommended"):
            config = ExperimentConfig.from_params(
                {"preset": preset, "backbone": f"random:{tag}", "device": "cpu"}
            )
            extractor = build_extractor(config.features, device="cpu")
            detector = _detector(extractor, config)
            for batch in BATCHES:
                shares = [_share(extractor, detector, batch) for _ in range(ROUNDS + 1)][
                    1:
                ]  # without warm-up
                print(
                    f"scoring beside the backbone {tag}, {preset}, batch {batch}: "
                    f"+{100 * statistics.median(shares):.1f} % (min {100 * min(shares):.1f}, "
                    f"max {100 * max(shares):.1f}, {ROUNDS} rounds)",
                    flush=True,
                )


def _detector(extractor: PatchExtractor, config: ExperimentConfig) -> ContinualDetector:
    """A detector with as many untrained tasks as a short sequence has; its speed is that of a trained one."""
    dim = extractor.feature_dim
    detector = ContinualDetector.untrained(dim, config)
    for task in range(TASKS):
        detector = detector.with_task(_untrained_task(detector, str(task)))
    detector.route(torch.zeros(1, dim))  # factors the covariances once, as a long run would
    return detector


def _untrained_task(detector: ContinualDetector, name: str) -> TaskParts:
    dim = detector.dim
    score = detector.config.score
    parts_used = score.used_parts
    stored = torch.randn(score.memory_size, dim).half()
    parts = detector.flow.new_parts(name, first=not detector.tasks).requires_grad_(False)
    history = TaskHistory(
        name=name, curves={}, steps=0, seconds=0.0, state_sha256="", base_sha256="", resumed=False
    )
    return TaskParts(
        name=name,
        key=name,
        flow=parts,
        prototype=TaskPrototype.of(torch.randn(50, dim)),
        history=history,
        bank=MemoryBank(stored, torch.zeros(len(stored), dtype=torch.long))
        if "memory" in parts_used
        else None,
        patch_scale=torch.tensor([[0.0, 1.0]] * len(parts_used)) if score.scaled else None,
        image_scale=ImageScale(torch.tensor([[0.0, 1.0]] * 2).double(), torch.empty(0))
        if score.prototype_weight
        else None,
    )


def _share(extractor: PatchExtractor, detector: ContinualDetector, batch: int) -> float:
    images = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
    backbone, patches = _timed(lambda: extractor(images))
    scoring, _ = _timed(lambda: _score(detector, patches))
    return scoring / backbone


def _score(detector: ContinualDetector, patches: torch.Tensor) -> None:
    detector.route(patches.mean(dim=(1, 2)))
    scores, _ = detector.scores(patches, patches.mean(dim=(1, 2)), 0)
    pixel_maps(scores, detector.config.score.eval_size)


def _timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result
