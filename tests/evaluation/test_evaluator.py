"""R matrices, oracle and routed, against the long way round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from moleflow_lib.datasets import load_mask
from moleflow_lib.evaluation.continual import evaluate_continual
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.metrics import METRICS, detection_metrics
from moleflow_lib.routing.router import PrototypeRouter
from moleflow_lib.scoring.aggregation import image_scores, pixel_maps


def product_metrics(experiment: Experiment, product: str) -> dict[str, float | None]:
    """Metrics of one product of the first task."""
    evaluator = experiment.evaluators[0]
    own = np.array([record.product == product for record in evaluator.task.test])
    maps = evaluator.maps(evaluator.patch_scores(0))
    return detection_metrics(
        evaluator.image_scores(0)[own], evaluator.labels[own], maps[own], evaluator.masks()[own]
    )


class Misrouter(PrototypeRouter):
    """Sends every image to the newest task."""

    def route(self, image_means: torch.Tensor, known: int | None = None) -> torch.Tensor:
        return torch.full((len(image_means),), (known or len(self.prototypes)) - 1)


def test_oracle_metrics_the_long_way_round(learned: Experiment) -> None:
    result = learned.evaluate()
    for j, task in enumerate(learned.tasks):
        scores = learned.detector.patch_scores(learned.features(task, "test").patches, j)
        labels = [record.label for record in task.test]
        auroc = roc_auc_score(labels, image_scores(scores, 3))
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
    result = evaluate_continual(learned.evaluators, Misrouter(prototypes=learned.detector.router.prototypes))
    first = learned.evaluators[0]
    for i in range(3):
        foreign = image_scores(learned.detector.patch_scores(first.features.patches, i), 3)
        expected = roc_auc_score(first.labels, foreign)
        assert result.matrices["image_auroc"]["routed"][i][0] == pytest.approx(expected)
    assert result.routing["accuracy"] == pytest.approx(1 / 3)
    assert result.summary()["image_auroc"]["oracle"]["fm_max"] == 0.0


def test_each_image_is_scored_once_per_task(learned: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator, scored = TaskEvaluator(learned.tasks[0], learned.evaluators[0].features, learned.detector), []
    inner = learned.detector.scores
    monkeypatch.setattr(learned.detector, "scores", lambda p, m, t: scored.append(len(p)) or inner(p, m, t))
    evaluator.metrics(0)
    evaluator.metrics(torch.tensor([0] * 7 + [1]))
    assert scored == [8, 1]


def test_image_level_products_have_undefined_pixel_metrics(learned: Experiment, tmp_path) -> None:
    import shutil

    root = tmp_path / "data"
    for name in ("leather", "nut"):
        shutil.copytree(f"{learned.config.run.dataset_root}/{name}", root / name)
    shutil.rmtree(root / "nut" / "ground_truth")
    experiment = Experiment(
        learned.config.with_(dataset_root=str(root), classes=("leather", "nut"), out_dir=str(tmp_path))
    )
    result = experiment.evaluate()
    assert (
        result.final("pixel_ap")[1] is result.final("aupro")[1] is None
        and result.final("image_auroc")[1] is not None
    )
    assert result.classes_with_masks() == ["leather"]
    undefined = [
        metric
        for metric, values in experiment.evaluators[1].replicates(1, rounds=3).items()
        if values is None
    ]
    assert undefined == [m for m in METRICS if not m.startswith("image")]
    assert result.summary()["pixel_ap"]["routed"]["acc"] == pytest.approx(result.final("pixel_ap")[0])


def test_unlabelled_images_are_scored_and_left_out(learned: Experiment, tmp_path) -> None:
    import shutil

    root = tmp_path / "data"
    shutil.copytree(f"{learned.config.run.dataset_root}/leather", root / "leather")
    extra = sorted((root / "leather" / "train" / "good").iterdir())[:2]
    (root / "leather" / "test" / "unlabelled").mkdir()
    for path in extra:
        shutil.copy(path, root / "leather" / "test" / "unlabelled" / path.name)
    experiment = Experiment(
        learned.config.with_(dataset_root=str(root), classes=("leather",), out_dir=str(tmp_path))
    )
    evaluator = experiment.evaluators[0]
    assert (evaluator.labels == -1).sum() == 2 and len(evaluator.image_scores(0)) == 10
    assert evaluator.metrics(0) == pytest.approx(learned.evaluators[0].metrics(0))


def test_several_products_in_one_task(learned: Experiment, tmp_path) -> None:
    experiment = Experiment(learned.config.with_(classes=("leather+nut", "board"), out_dir=str(tmp_path)))
    result = experiment.evaluate()
    assert result.classes == ("leather+nut", "board")
    for metric, value in experiment.evaluators[0].metrics(0).items():
        both = [product_metrics(experiment, name)[metric] for name in ("leather", "nut")]
        assert value == pytest.approx(np.mean(both))


def test_all_metrics_the_long_way_round_and_in_blocks(
    learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moleflow_lib.evaluation import evaluator as evaluation

    first = learned.evaluators[0]
    maps = first.maps(first.patch_scores(0))
    expected = detection_metrics(first.image_scores(0), first.labels, maps, first.masks())
    assert set(expected) == set(METRICS) and None not in expected.values()
    assert first.metrics(0) == pytest.approx(expected)
    made = []
    monkeypatch.setattr(evaluation, "_IMAGES_AT_ONCE", 3)
    monkeypatch.setattr(evaluation, "pixel_maps", lambda s, *a: made.append(len(s)) or pixel_maps(s, *a))
    again = TaskEvaluator(learned.tasks[0], first.features, learned.detector)
    assert again.metrics(0) == pytest.approx(expected)
    assert (
        max(made) == 3 and sum(made) == 2 * 8
    )  # two readings of eight images, never more than three at once


def test_masks_are_read_once_and_are_those_of_the_files(
    learned: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moleflow_lib.evaluation import evaluator as evaluation

    task, read = learned.tasks[0], []
    monkeypatch.setattr(evaluation, "load_mask", lambda path, *a: read.append(path) or load_mask(path, *a))
    evaluator = TaskEvaluator(task, learned.evaluators[0].features, learned.detector)
    evaluator.metrics(0)
    masks = evaluator.masks()
    assert sorted(read) == sorted(record.mask for record in task.test if record.mask)
    for record, mask in zip(task.test, masks, strict=True):
        assert (mask == (load_mask(record.mask, 56) if record.mask else np.zeros((56, 56), bool))).all()


def test_replicates_stand_around_the_metrics_and_pair_methods(learned: Experiment) -> None:
    evaluator = learned.evaluators[0]
    found, values = evaluator.replicates(0, rounds=60), evaluator.metrics(0)
    assert set(found) == set(METRICS)
    for metric, rounds in found.items():
        assert rounds.shape == (60,) and rounds.min() - 1e-9 <= values[metric] <= rounds.max() + 1e-9, metric
    routed = evaluator.replicates(
        torch.zeros(8, dtype=int), rounds=60
    )  # the same routes: no difference in any round
    assert all((routed[metric] == found[metric]).all() for metric in METRICS)


def test_summary_has_every_key_with_and_without_separate_models(learned: Experiment) -> None:
    result = learned.evaluate()
    for ways in result.summary().values():
        for row in ways.values():
            assert (
                set(row) == {"acc", "fm_max", "fm_first", "bwt", "gap_to_separate"}
                and row["gap_to_separate"] is None
            )
    alone = {"image_auroc": [1.0, None, 1.0]}
    row = result.summary(alone)["image_auroc"]["routed"]
    final = result.final("image_auroc")
    assert row["gap_to_separate"] == pytest.approx(1 - (final[0] + final[2]) / 2)
    assert result.summary(alone)["aupro"]["routed"]["gap_to_separate"] is None
