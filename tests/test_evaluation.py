"""R matrices, oracle and routed, against the long way round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from moleflow_lib.datasets import load_mask
from moleflow_lib.evaluation import TaskEvaluator, evaluate_continual
from moleflow_lib.experiment import Experiment
from moleflow_lib.router import PrototypeRouter
from moleflow_lib.scoring import image_scores, pixel_maps


class Misrouter(PrototypeRouter):
    """Sends every image to the newest task."""

    def route(self, image_means: torch.Tensor, known: int | None = None) -> torch.Tensor:
        return torch.full((len(image_means),), (known or len(self.prototypes)) - 1)


def test_oracle_metrics_the_long_way_round(learned: Experiment) -> None:
    result = learned.evaluate()
    for j, task in enumerate(learned.tasks):
        scores = learned.detector.patch_scores(learned.features(task, "test").patches, j)
        labels = [record.is_anomalous for record in task.test]
        auroc = roc_auc_score(labels, image_scores(scores, "top_k", 3))
        masks = [np.zeros((56, 56), bool) if r.mask is None else load_mask(r.mask, 56) for r in task.test]
        pixel = roc_auc_score(np.stack(masks).ravel(), pixel_maps(scores, 56, 4.0).numpy().ravel())
        for i in range(j, 3):
            assert result.matrices["image_auroc"]["oracle"][i][j] == pytest.approx(auroc)
            assert result.matrices["pixel_auroc"]["oracle"][i][j] == pytest.approx(pixel)


def test_nothing_above_the_diagonal(learned: Experiment) -> None:
    for ways in learned.evaluate().matrices.values():
        for matrix in ways.values():
            assert all(matrix[i][j] is None for i in range(3) for j in range(i + 1, 3))


def test_wrong_routes_use_the_wrong_parts(learned: Experiment) -> None:
    router = Misrouter()
    router.prototypes = learned.detector.router.prototypes
    result = evaluate_continual(learned.evaluators, router)
    first = learned.evaluators[0]
    for i in range(3):
        foreign = image_scores(learned.detector.patch_scores(first.features.patches, i), "top_k", 3)
        expected = roc_auc_score(first.labels, foreign)
        assert result.matrices["image_auroc"]["routed"][i][0] == pytest.approx(expected)
    assert result.routing["accuracy"] == pytest.approx(1 / 3)
    assert result.summary()["image_auroc"]["oracle"]["fm_max"] == 0.0


def test_each_image_is_scored_once_per_task(learned: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator, scored = TaskEvaluator(learned.tasks[0], learned.evaluators[0].features, learned.detector), []
    inner = learned.detector.patch_scores
    monkeypatch.setattr(learned.detector, "patch_scores", lambda p, t: scored.append(len(p)) or inner(p, t))
    evaluator.metrics(0)
    evaluator.metrics(torch.tensor([0] * 7 + [1]))
    assert scored == [8, 1]


def test_image_level_products_have_undefined_pixel_metrics(learned: Experiment, tmp_path) -> None:
    import shutil

    root = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(f"{learned.config.dataset_root}/{name}", root / name)
    shutil.rmtree(root / "nut" / "ground_truth")
    experiment = Experiment(learned.config.with_(dataset_root=str(root), classes=("leather", "nut"), out_dir=str(tmp_path)))
    result = experiment.evaluate()
    assert result.final("pixel_ap")[1] is None and result.final("image_auroc")[1] is not None
    assert result.classes_with_masks() == ["leather"]
    assert result.summary()["pixel_ap"]["routed"]["acc"] == pytest.approx(result.final("pixel_ap")[0])


def test_unlabelled_images_are_scored_and_left_out(learned: Experiment, tmp_path) -> None:
    import shutil

    root = tmp_path / "data"
    shutil.copytree(f"{learned.config.dataset_root}/leather", root / "leather")
    extra = sorted((root / "leather" / "train" / "good").iterdir())[:2]
    (root / "leather" / "test" / "unlabelled").mkdir()
    for path in extra:
        shutil.copy(path, root / "leather" / "test" / "unlabelled" / path.name)
    experiment = Experiment(learned.config.with_(dataset_root=str(root), classes=("leather",), out_dir=str(tmp_path)))
    evaluator = experiment.evaluators[0]
    assert (evaluator.labels == -1).sum() == 2 and len(evaluator.image_scores(0)) == 10
    assert evaluator.metrics(0) == pytest.approx(learned.evaluators[0].metrics(0))


def test_several_products_in_one_task(learned: Experiment, tmp_path) -> None:
    experiment = Experiment(learned.config.with_(classes=("leather+nut", "board"), out_dir=str(tmp_path)))
    result = experiment.evaluate()
    assert result.classes == ("leather+nut", "board") and result.final("image_auroc")[0] is not None
