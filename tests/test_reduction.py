"""The projection of wide features: orthonormal, the best of its rank, settled by the first task, told in every key."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn.decomposition import PCA

from moleflow_lib.ablation.measuring import input_keys
from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.reduction import FeatureReduction

Configs = Callable[..., ExperimentConfig]


def _patches() -> torch.Tensor:
    mixed = torch.randn(12, 12, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -2, 12)
    return torch.randn(20, 4, 4, 12, generator=torch.Generator().manual_seed(1)) @ mixed.T + 3


@pytest.mark.parametrize("kind", ["pca", "random"])
def test_columns_are_orthonormal_and_the_mean_is_taken_off(kind: str) -> None:
    reduction = FeatureReduction.fitted(_patches(), 5, kind)
    assert torch.allclose(reduction.basis.T @ reduction.basis, torch.eye(5), atol=1e-5)
    assert reduction.reduced(_patches()).float().mean(dim=(0, 1, 2)).abs().max() < 1e-2


def test_principal_components_span_what_scikit_learn_finds() -> None:
    flat = _patches().flatten(0, 2)
    components = torch.tensor(PCA(n_components=4).fit(flat.numpy()).components_)
    basis = FeatureReduction.fitted(_patches(), 4).basis
    assert torch.allclose(basis @ basis.T, components.T @ components, atol=1e-4)


def test_a_drawn_basis_follows_the_seed() -> None:
    one, same, other = (FeatureReduction.fitted(_patches(), 3, "random", seed).basis for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_the_first_task_settles_it_for_all_and_router_and_memory_see_reduced_features(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), reduced_share=0.125, memory_size=10)
    experiment, plain = Experiment(config), Experiment(config.with_(reduced_share=1.0))
    experiment.learn()
    features = experiment.features(experiment.tasks[1], "test")
    wide = plain.features(plain.tasks[1], "test")
    first = plain.features(plain.tasks[0], "train")
    assert torch.equal(features.patches, FeatureReduction.fitted(first.patches, 16).reduced(wide.patches))
    assert features.key != wide.key and features.patches.shape[-1] == experiment.detector.dim == 16
    assert experiment.detector.memories[1].patches.shape[1] == len(experiment.detector.router.prototypes[1].moments.mean) == 16
    assert experiment.unchanged() and experiment.evaluate().final("image_auroc")[1] is not None


def test_a_plan_fits_every_seed(tiny_config: Configs) -> None:
    """Runs of a grid share their inputs, also where the seed draws the basis."""
    configs = [tiny_config(classes=("leather", "nut"), reduced_share=0.125, reduced_by="random", seed=seed) for seed in (0, 1)]
    first, second = (Experiment(config) for config in configs)
    assert input_keys(first) == input_keys(second)
    assert first.features(first.tasks[0], "test").key != second.features(second.tasks[0], "test").key


def test_it_is_read_back_counted_and_named(tiny_config: Configs) -> None:
    config = tiny_config(classes=("leather", "nut"), reduced_share=0.125)
    experiment, again = Experiment(config), Experiment(config)
    experiment.learn()
    assert all(history.resumed for history in again.learn())
    counts = experiment.detector.flow.parameter_counts()
    width = experiment.store.extractor.feature_dim
    base = counts["base"] + counts["global_affine"] + counts["mixer"]
    assert experiment.stored_values()[0] == base + width * 16 + width
    assert again.hashes()["shared reduction (SHA-256)"] == experiment.hashes()["shared reduction (SHA-256)"]
