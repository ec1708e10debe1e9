"""The examples of `docs/extending.md` work, and what is incomplete is refused before anything is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from moleflow_lib.config import BASELINES, BaselineEntry, ExperimentConfig, FeatureOptions, check_baselines
from moleflow_lib.errors import BackboneError, ConfigError, NotebookError
from moleflow_lib.evaluation.evaluator import TaskEvaluator
from moleflow_lib.experiment import Experiment
from moleflow_lib.features.backbone_table import BACKBONES, Backbone
from moleflow_lib.features.extractor import build_extractor
from moleflow_lib.features.store import FeatureStore
from moleflow_lib.metrics import METRICS, Metric
from moleflow_lib.reporting.definitions import definition_of, link_words
from moleflow_lib.reporting.running.runner import run_notebooks
from moleflow_lib.reporting.running.skeleton import skeleton_faults
from moleflow_lib.reporting.text.comparison import comparison_rows
from moleflow_lib.reporting.text.continual import class_rows
from moleflow_lib.studies.ablation import AblationRun, run_ablation
from moleflow_lib.studies.baselines.comparison import compare
from tests.conftest import TINY

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
TEXTS = {"title": "x", "source": "y", "text": "A sentence of its own."}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def examples() -> Iterator[dict[str, object]]:
    """What the page defines; what it registers is taken out again."""
    namespace: dict[str, object] = {}
    try:
        for block in _blocks("python"):
            exec(compile(block, str(PAGE), "exec"), namespace)
        yield namespace
    finally:
        for table in (BASELINES, METRICS, BACKBONES):
            for name in list(table.added):
                table.drop(name)


def test_the_baseline_is_learned_compared_and_defined(
    examples: dict[str, object], learned: Experiment
) -> None:
    experiment = Experiment(learned.config.with_(baselines=("mean_distance",)))
    comparison = compare(experiment)
    assert list(comparison.runs) == ["moleflow", "mean_distance"]
    values = comparison.final("mean_distance", "image_auroc")
    assert len(values) == len(learned.tasks) and all(0 <= value <= 1 for value in values)
    assert [row["method"] for row in comparison_rows(comparison)] == ["MoLE-Flow", "mean distance"]
    assert comparison.costs("mean_distance")["values_per_task"] > learned.detector.dim
    assert definition_of("mean distance").name == "mean_distance"


def test_the_metric_has_its_value_its_interval_and_its_definition(
    examples: dict[str, object], learned: Experiment
) -> None:
    fresh = [TaskEvaluator(one.task, one.features, one.detector) for one in learned.evaluators]
    for one in fresh:
        alarms, found, _ = roc_curve(one.labels, one.image_scores(one.task.index), drop_intermediate=False)
        expected = found[alarms <= 0.2 + 1e-12].max()
        assert one.metrics(one.task.index)["image_recall20"] == pytest.approx(expected, abs=1e-12)
        drawn = one.replicates(one.task.index)["image_recall20"]
        assert drawn.shape == (200,) and np.nanmin(drawn) >= 0 and np.nanmax(drawn) <= 1
    result = Experiment(learned.config).evaluate()
    assert "image recall at 20 %" in class_rows(result)[0]
    assert definition_of("image_recall20").text.startswith("Share of defective")
    assert "definition-image_recall20" in link_words("image_recall20 of nut")


def test_the_metric_is_worked_out_by_hand(examples: dict[str, object]) -> None:
    curve = examples["RecallAtTwenty"]
    from moleflow_lib.metrics import image_metrics

    scores, labels = np.array([1.0, 2, 3, 4, 5, 4.5, 3.5, 9]), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    assert curve.name == "recall20"  # one of five may raise an alarm: the one at 5
    assert image_metrics(scores, labels)["image_recall20"] == pytest.approx(2 / 3)


def test_the_backbone_has_a_name_and_gives_features_that_can_be_stored(
    examples: dict[str, object], learned: Experiment, tmp_path: Path
) -> None:
    extractor = build_extractor(FeatureOptions(backbone="colours"), 64)
    assert (extractor.tag, extractor.feature_dim, extractor.grid) == ("colours", 6, (4, 4))
    features = FeatureStore(tmp_path, extractor).features(learned.tasks[0].train, "first")
    assert features.patches.shape == (len(learned.tasks[0].train), 4, 4, 6)
    assert torch.isfinite(features.patches).all()
    with pytest.raises(BackboneError, match="takes no weights"):
        build_extractor(FeatureOptions(backbone="colours"), 64, "w.safetensors")


def test_the_names_are_gone_and_unknown_again() -> None:
    assert not (BASELINES.added or METRICS.added or BACKBONES.added)
    with pytest.raises(ConfigError, match="baselines: expected one of"):
        ExperimentConfig.from_params({"baselines": ["mean_distance"]})
    assert definition_of("mean_distance") is definition_of("image_recall20") is None


def test_ablations_refuse_what_their_workers_would_not_know(
    examples: dict[str, object], learned: Experiment, tmp_path: Path
) -> None:
    run = AblationRun(variation="preset", seed=0, changes={}, config=learned.config.with_(backbone="colours"))
    with pytest.raises(ConfigError, match="found metric image_recall20, backbone colours, registered"):
        run_ablation([run], tmp_path)


class _NoFootprint:
    def learn(self) -> None: ...
    def patch_scores(self) -> None: ...
    def scores(self) -> None: ...


class _Whole(_NoFootprint):
    def footprint(self) -> None: ...


class _NoName:
    def descend(self) -> None: ...
    def value(self) -> None: ...


class _Taken(_NoName):
    name = "auroc"


@pytest.mark.parametrize(
    ("register", "told"),
    [
        (lambda: BASELINES.add("x", BaselineEntry(make=_NoFootprint, **TEXTS)), "found no footprint"),
        (lambda: BASELINES.add("padim", BaselineEntry(make=_Whole, **TEXTS)), "the name is taken"),
        (
            lambda: BASELINES.add("Mean distance", BaselineEntry(make=_Whole, **TEXTS)),
            "expected a name of a-z",
        ),
        (
            lambda: BASELINES.add("x", BaselineEntry(make=_Whole, **{**TEXTS, "source": " "})),
            "found no source",
        ),
        (lambda: BASELINES.add("x", BaselineEntry(make=_Whole, **{**TEXTS, "text": "x"})), "full stop"),
        (lambda: METRICS.add("x", Metric(level="image", curve=_NoName, **TEXTS)), "found no name"),
        (lambda: METRICS.add("x", Metric(level="image", curve=_Taken, **TEXTS)), "another curve is named"),
        (lambda: METRICS.add("x", Metric(level="patch", curve=_Taken, **TEXTS)), "level image or pixel"),
        (lambda: BACKBONES.add("resnet18", Backbone(make=lambda size: None)), "timm has a model"),
        (lambda: BACKBONES.add("x", Backbone(make=None)), "expected make"),
        (lambda: BACKBONES.add("x", Backbone(make=lambda size: None, std=(1.0, 0.0, 1.0))), "above zero"),
    ],
)
def test_an_incomplete_entry_is_refused_when_it_is_made(register, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        register()
    assert not (BASELINES.added or METRICS.added or BACKBONES.added)


@pytest.mark.parametrize("made", ["moleflow_lib.no_such:Class", "moleflow_lib.errors:Class", "nonsense"])
def test_a_table_entry_without_its_class_stops_before_training(
    made: str, tiny_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASELINES._entries, "padim", replace(BASELINES["padim"], make=made))
    with pytest.raises(ConfigError, match="PaDiM: expected module:class"):
        check_baselines(["gaussian", "padim"])
    params = {**tiny_config(baselines=("padim",)).to_dict()}
    with pytest.raises(ConfigError, match="PaDiM"):
        run_notebooks(params, [])


def test_every_baseline_of_the_table_is_there() -> None:
    check_baselines(BASELINES)


@pytest.mark.parametrize("shape", [(1, 12288), (1, 3, 4, 4), (1, 4, 4, 5), (4, 4, 6)])
def test_a_network_that_gives_no_square_grid_of_even_width_is_refused(shape: tuple[int, ...]) -> None:
    class Odd(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(shape)

    BACKBONES.add("odd", Backbone(make=lambda size: Odd()))
    try:
        with pytest.raises(BackboneError, match=f"square grid.*found {re.escape(str(shape))}"):
            build_extractor(FeatureOptions(backbone="odd"), 64)
    finally:
        BACKBONES.drop("odd")


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """The notebook of the page."""
    (text,) = _blocks("py")
    cells = []
    for part in re.split(r"^# %% ?", text, flags=re.MULTILINE)[1:]:
        tag, _, source = part.partition("\n")
        if tag == "[markdown]":
            source = re.sub(r"^# ?", "", source.strip(), flags=re.MULTILINE)
            cells.append(nbformat.v4.new_markdown_cell(f"# {source}"))
        else:
            metadata = {"tags": [tag]} if tag else {}
            cells.append(nbformat.v4.new_code_cell(source.strip(), metadata=metadata))
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "06_gap.ipynb"
    nbformat.write(book, path)
    return path


def test_the_notebook_runs_and_has_its_report(notebook: Path, tiny_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    params = {**TINY, "classes": "leather", "dataset_root": str(tiny_data), "out_dir": str(out), "epochs": 1}
    params = {name: list(value) if isinstance(value, tuple) else value for name, value in params.items()}
    assert run_notebooks(params, [notebook]) == 0
    result = json.loads((out / "06_gap.result.json").read_text())
    assert result["summary_text"] == [
        f"On leather image AUROC is {result['scores']['leather']['image_auroc']:.3f}."
    ]
    assert "How far above normal images" in (out / "index.html").read_text()
    assert (out / "06_gap.html").is_file()


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("**Out.**", "Out:", r"first markdown cell with \*\*Out"),
        ("# 06 · Gap", "06 · Gap", "with # Title"),
        ('preset = "demo"', 'note = "demo"', "unknown|expected"),
        ('preset = "demo"  # str, a named configuration\n', "", "expected preset among them"),
        ('out_dir = "reports"', "out_dir = str(1)", "expected one literal a line"),
        ("notebook_config(globals())", "config()", "reads and checks the parameters"),
        ('"06_gap"', '"07_gap"', 'expected write_result.cfg, "06_gap"'),
    ],
)
def test_an_incomplete_notebook_is_refused_before_anything_runs(
    notebook: Path, tmp_path: Path, was: str, becomes: str, told: str
) -> None:
    text = notebook.read_text(encoding="utf-8")
    old, new = (json.dumps(part, ensure_ascii=False)[1:-1] for part in (was, becomes))
    assert old in text
    notebook.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(NotebookError, match=told):
        run_notebooks({"preset": "demo", "out_dir": str(tmp_path / "out")}, [notebook])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tag", ["parameters", "summary", "provenance"])
@pytest.mark.parametrize("times", [0, 2])
def test_each_tag_is_there_once(notebook: Path, tag: str, times: int) -> None:
    book = nbformat.read(notebook, as_version=4)
    if times == 2:
        book.cells.append(nbformat.v4.new_code_cell("1", metadata={"tags": [tag]}))
    for cell in book.cells:
        if times == 0 and tag in cell.metadata.get("tags", []):
            cell.metadata.tags = []
    nbformat.write(book, notebook)
    assert skeleton_faults(notebook) == [f"expected one cell tagged {tag}, found {times}"]


def test_a_file_that_is_no_notebook_is_refused(notebook: Path) -> None:
    notebook.write_text("junk")
    (fault,) = skeleton_faults(notebook)
    assert "cannot be read" in fault


def test_every_place_named_exists() -> None:
    root = PAGE.parents[1]
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`((?:moleflow_lib|tests)/[\w/]+(?:\.py)?/?)`", text)
    assert len(named) > 6 and [name for name in named if not (root / name).exists()] == []
    for name in ("METHOD_VERSION", "HEADLINES", "Part"):
        assert name in text
