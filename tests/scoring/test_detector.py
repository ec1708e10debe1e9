"""Scoring: mixed batches are as good as one by one, and features of another width are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moleflow_lib.errors import ConfigError, MetricError, TrainingError
from moleflow_lib.experiment import Experiment
from moleflow_lib.model.flow import FlowParts
from moleflow_lib.model.losses import patch_nll
from moleflow_lib.scoring.detector import ContinualDetector
from moleflow_lib.scoring.grouping import per_task
from moleflow_lib.scoring.task_scorer import TaskScorer


@pytest.fixture(scope="module")
def patches(learned: Experiment) -> torch.Tensor:
    return torch.cat([evaluator.features.patches[:3] for evaluator in learned.evaluators])


def test_a_mixed_batch_equals_one_by_one(learned: Experiment, patches: torch.Tensor) -> None:
    tasks = torch.tensor([0, 1, 2, 1, 0, 2, 2, 1, 0])
    mixed = learned.detector.patch_scores(patches, tasks)
    alone = torch.cat(
        [learned.detector.patch_scores(p[None], int(t)) for p, t in zip(patches, tasks, strict=True)]
    )
    assert torch.allclose(mixed, alone, rtol=1e-4, atol=1e-2)
    swapped = learned.detector.patch_scores(patches, (tasks + 1) % 3)
    assert not torch.allclose(mixed, swapped, rtol=1e-2), (
        "the tasks' parts must matter, or this test could not fail"
    )


def test_scores_are_the_negative_log_likelihood(learned: Experiment, patches: torch.Tensor) -> None:
    z, log_det = learned.detector.latent(patches, 1)
    assert torch.allclose(learned.detector.patch_scores(patches, 1), patch_nll(z, log_det), rtol=1e-5)


def test_routing_finds_the_products(learned: Experiment) -> None:
    for evaluator in learned.evaluators:
        chosen = learned.detector.router.variant("tied").route(evaluator.image_means)
        assert (chosen == evaluator.task.index).double().mean() > 0.8


def test_a_detector_never_changes(learned: Experiment) -> None:
    one = ContinualDetector(learned.detector.flow, learned.config, learned.detector.tasks[:1])
    two = one.with_task(learned.detector.tasks[1])
    assert (len(one.tasks), len(two.tasks)) == (1, 2) and len(one.router.prototypes) == 1
    with pytest.raises(ConfigError, match="task 1 was never learned; this detector knows tasks 0 … 0"):
        one.scorer(1)


def test_features_of_another_width_are_refused(learned: Experiment) -> None:
    with pytest.raises(ConfigError, match="trained on 132-d features, these are 64-d"):
        learned.detector.patch_scores(torch.zeros(1, 14, 14, 64), 0)


def test_a_detector_without_tasks_has_nothing_to_compare_with(tiny_config) -> None:
    with pytest.raises(TrainingError, match="no task is known yet"):
        _ = ContinualDetector.untrained(8, tiny_config()).reference


@pytest.mark.parametrize("part", ["gaussian", "memory"])
def test_a_score_part_that_a_task_does_not_keep_is_refused(learned: Experiment, patches, part: str) -> None:
    task = replace(
        learned.detector.tasks[0],
        flow=FlowParts(None, [], None),
        bank=None,
        patch_scale=None,
        image_scale=None,
    )
    scorer = TaskScorer(learned.detector.flow, task, learned.config.score)
    with pytest.raises(TrainingError, match=f"keeps nothing for the score part '{part}'"):
        scorer._part(part, patches[:1].float(), None)


def test_no_image_has_no_score() -> None:
    with pytest.raises(MetricError, match="at least one image"):
        per_task(torch.empty(0, dtype=torch.long), lambda rows, task: rows)
