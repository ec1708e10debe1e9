"""What features say before anything is learned."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from moleflow_lib.experiment import Experiment
from moleflow_lib.studies.features_and_latents import parameter_rows, untrained_auroc


def test_untrained_auroc_is_that_of_standardised_distances(learned: Experiment) -> None:
    for task in learned.tasks:
        train, test = learned.features(task, "train"), learned.features(task, "test")
        known = train.patches.double().numpy().reshape(-1, train.patches.shape[-1])
        gaps = (test.patches.double().numpy() - known.mean(axis=0)) / known.std(axis=0, ddof=1)
        of_patches = np.sqrt((gaps**2).mean(axis=-1)).reshape(len(gaps), -1)
        of_images = np.sort(of_patches, axis=1)[:, -3:].mean(axis=1)
        expected = roc_auc_score([record.label for record in test.records], of_images)
        assert untrained_auroc(train, test) == pytest.approx(expected, abs=1e-12)


def test_untrained_auroc_is_undefined_without_both_kinds(learned: Experiment) -> None:
    task = learned.tasks[0]
    train, test = learned.features(task, "train"), learned.features(task, "test")
    nameless = tuple(SimpleNamespace(label=None) for _ in test.records)
    assert untrained_auroc(train, replace(test, records=nameless)) is None
    calm = tuple(SimpleNamespace(label=0) for _ in test.records)
    assert untrained_auroc(train, replace(test, records=calm)) is None


def test_claimed_numbers_of_parameters_name_whose_claim_they_are() -> None:
    counted, unclaimed = parameter_rows({"mixer": 7, "tail": 9})
    claim = "claimed by the method's first description (D = 768, rank 64)"
    assert counted == {"part": "mixer", "counted": 7, claim: 600_000} and unclaimed[claim] is None
