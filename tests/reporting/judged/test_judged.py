"""The table and the page of all test images: complete, true to the detector, and safe to open."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat import v4
from PIL import Image

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.experiment import Experiment
from moleflow_lib.inference import learned_detector, load_detector, save_detector
from moleflow_lib.reporting.compare.record import save_test_images
from moleflow_lib.reporting.figures.heat_maps import FalseAlarmScale
from moleflow_lib.reporting.judged import files as written
from moleflow_lib.reporting.judged.highlights import highlights
from moleflow_lib.reporting.judged.pictures import Strips
from moleflow_lib.reporting.judged.verdict import OUTCOMES, JudgedImage, in_turn, judged_images
from moleflow_lib.reporting.pages.index import Entry, write_index
from moleflow_lib.reporting.pages.report import render_report
from moleflow_lib.reporting.text.words import title
from moleflow_lib.studies.baselines.comparison import Comparison, compare
from tests.conftest import TINY
from tests.reporting.cut_text import cut_texts
from tests.reporting.pages.test_report import _dom
from tests.reporting.test_hostile_text import _Dangers

EVIL = "<img src=x onerror=\"document.title='x'\">.png"
FORMULA = "=1+1.png"
STEM = "03_continual_tasks.images"


@pytest.fixture(scope="module")
def data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leather and nut; of leather two images without a label, two of nut under wicked names."""
    root = tmp_path_factory.mktemp("judged") / "data"
    for name in ("leather", "nut"):
        shutil.copytree(tiny_data / name, root / name)
    asked = root / "leather" / "test" / "unlabelled"
    asked.mkdir()
    shutil.copy(tiny_data / "grid" / "test" / "good" / "000.png", asked / "elsewhere.png")
    shutil.copy(tiny_data / "nut" / "test" / "good" / "001.png", asked / "nut.png")
    good = root / "nut" / "test" / "good"
    (good / "000.png").rename(good / EVIL)
    (good / "001.png").rename(good / FORMULA)
    return root


@pytest.fixture(scope="module")
def experiment(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    out = tmp_path_factory.mktemp("judged-run")
    params = {**TINY, "classes": ("leather", "nut"), "epochs": 1, "baselines": ("gaussian", "fine_tune")}
    made = Experiment(
        ExperimentConfig.from_params({**params, "dataset_root": str(data), "out_dir": str(out)})
    )
    made.learn()
    made.evaluate()
    return made


@pytest.fixture(scope="module")
def comparison(experiment: Experiment) -> Comparison:
    return compare(experiment)


@pytest.fixture(scope="module")
def run(experiment: Experiment, comparison: Comparison) -> Path:
    """The folder after notebook 03's last cell."""
    told = save_test_images(experiment, comparison)
    assert (told["table"], told["page"]) == (f"{STEM}.csv", f"{STEM}.html")
    save_detector(experiment)
    return Path(experiment.config.run.out_dir)


@pytest.fixture(scope="module")
def rows(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((run / f"{STEM}.csv").read_text())))


@pytest.fixture(scope="module")
def images(experiment: Experiment) -> list[JudgedImage]:
    return judged_images(experiment.evaluators, learned_detector(experiment), 0.01)


def _name(image: str) -> str:
    """A name as the CSV file has it."""
    return f"'{image}" if image == FORMULA else image


def test_every_test_image_is_in_the_table_once(rows: list[dict[str, str]], experiment: Experiment) -> None:
    labels = {0: "normal", 1: "defective", None: "unlabelled"}
    wanted = [
        (task.name, r.product, r.defect, _name(r.image.name), labels[r.label])
        for task in experiment.tasks
        for r in task.test
    ]
    found = [tuple(row[key] for key in ("task", "product", "defect", "image", "label")) for row in rows]
    assert found == wanted and len(set(found)) == 18
    assert sum(row["label"] == "unlabelled" for row in rows) == 2


def test_the_table_says_what_the_saved_detector_says(
    rows: list[dict[str, str]], run: Path, experiment: Experiment
) -> None:
    loaded = load_detector(run, "cpu")
    files = [record.image for task in experiment.tasks for record in task.test]
    for row, said in zip(rows, loaded.score(files, false_alarm_rate=0.01), strict=True):
        assert (row["chosen"], row["decision"]) == (said.task, said.decision)
        for key in ("score", "rank", "threshold", "smallest_rate"):
            assert float(row[key]) == getattr(said, key)
        assert row["accepted"] == ("" if said.accepted is None else str(said.accepted))


def test_an_outcome_is_what_label_decision_and_task_say(rows: list[dict[str, str]]) -> None:
    for row in rows:
        if row["label"] == "defective" and row["decision"] == "normal":
            wanted = "missed defect"
        elif row["label"] == "normal" and row["decision"] != "normal":
            wanted = "false alarm"
        elif row["chosen"] != row["task"]:
            wanted = "routed wrong"
        else:
            wanted = "unlabelled" if row["label"] == "unlabelled" else "right"
        assert row["outcome"] == wanted
    astray = next(row for row in rows if row["image"] == "nut.png")
    assert (astray["chosen"], astray["outcome"]) == ("nut", "routed wrong")
    assert {row["outcome"] for row in rows} >= {"right", "routed wrong"}


def test_errors_come_first_and_take_turns() -> None:
    def image(task: int, place: int, outcome: str) -> JudgedImage:
        row = {"outcome": outcome, "image": str(place), "score": place, "threshold": 0, "smallest_rate": 0.5}
        return JudgedImage(task=task, index=place, chosen=task, row=row)

    many = [image(0, place, "false alarm") for place in range(9)]
    others = [image(1, 0, "missed defect"), image(1, 1, "missed defect"), image(1, 2, "right")]
    found = [(one.task, one.index, one.outcome) for one in in_turn([*others[::-1], *many])]
    assert found[:4] == [
        (1, 0, "missed defect"),  # the least suspicious
        (0, 8, "false alarm"),  # the most suspicious
        (1, 1, "missed defect"),
        (0, 7, "false alarm"),
    ]
    assert found[-1] == (1, 2, "right") and len(found) == 12


def _strips(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]
    return [picture for picture in pictures if len(picture) > 8]  # and not the colour bar


def test_a_picture_shows_image_mask_map_and_the_best_baselines_map(run: Path, comparison: Comparison) -> None:
    html = (run / f"{STEM}.html").read_text()
    strips = _strips(html)
    assert len(strips) == 18 and {strip.shape for strip in strips} == {(128, 4 * 134, 3)}
    means = {name: comparison.mean(name, "image_auroc").value for name in comparison.others}
    names = {"gaussian": "Gaussian", "fine_tune": "fine-tuned flow"}
    best = max(means, key=means.__getitem__)
    assert comparison.best("image_auroc") == best
    assert f"image · mask · MoLE-Flow · {names[best]}".lower() in html.lower()


def test_a_strip_without_a_mask_says_so_and_is_not_white(
    experiment: Experiment, images: list[JudgedImage]
) -> None:
    strips = Strips(experiment, images, ())
    bare = next(one for one in images if one.row["label"] == "normal")
    marked = next(one for one in images if strips.marked(one))
    place = [_drawn(strips.address(one))[:, 134 : 134 + 128].astype(int) for one in (bare, marked)]
    assert place[0].max() < 235 and place[0].min() < 110, "grey, with dark words"
    assert np.ptp(place[0], axis=2).max() < 12 < np.ptp(place[1], axis=2).max(), "the outline is green"


def _drawn(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_both_maps_are_measured_by_normal_test_images_sent_to_the_same_task(
    experiment: Experiment, comparison: Comparison, images: list[JudgedImage]
) -> None:
    best = comparison.best("image_auroc")
    theirs = comparison.patch_scores(best)
    strips = Strips(experiment, images, theirs)
    target = next(one for one in images if one.row["label"] == "defective")
    strips.address(target)
    normal = [one for one in images if one.chosen == target.chosen and one.row["label"] == "normal"]
    own = [experiment.evaluators[n].patch_scores(torch.tensor(_chosen(images, n))) for n in (0, 1)]
    for scale, scores in zip(strips.scales, (own, theirs), strict=True):
        taken = torch.stack([scores[one.task][one.index] for one in normal])
        wanted = FalseAlarmScale.among(experiment.evaluators[0], taken)
        assert np.array_equal(scale.normal, wanted.normal) and scale.rarest == 1 / taken.numel()
    assert strips.by_training == []


def _chosen(images: list[JudgedImage], task: int) -> list[int]:
    return [one.chosen for one in images if one.task == task]


def test_without_normal_test_images_training_images_are_the_measure_and_it_is_said(
    experiment: Experiment, comparison: Comparison, images: list[JudgedImage]
) -> None:
    unknown = {"label": "unlabelled"}
    blind = [replace(one, row={**one.row, **unknown}) for one in images]
    strips = Strips(experiment, blind, comparison.patch_scores("gaussian"))
    target = next(one for one in blind if one.chosen == 0)
    strip = Image.open(io.BytesIO(base64.b64decode(strips.address(target).split(",")[1])))
    assert strips.by_training == ["leather"]
    picture = np.asarray(strip)
    assert (picture[:, 3 * 134 + 8 :] > 250).all() and (
        picture[:, 2 * 134 : 2 * 134 + 128] < 128
    ).mean() > 0.3
    train = FalseAlarmScale.of(experiment.evaluators[0], experiment.features(experiment.tasks[0], "train"), 0)
    assert np.array_equal(strips.scales[0].normal, train.normal)


def test_a_baseline_keeps_its_routed_scores_under_the_experiments_own_seed_alone(
    experiment: Experiment, comparison: Comparison
) -> None:
    assert comparison.runs["moleflow"][0].patch_scores == ()
    for name in comparison.others:
        shapes = [scores.shape[0] for scores in comparison.patch_scores(name)]
        assert shapes == [len(task.test) for task in experiment.tasks]


def test_what_the_page_leaves_out_is_said_and_the_errors_stay(
    experiment: Experiment, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "_PICTURES", 2)
    monkeypatch.setattr(written, "ROWS", 5)
    told = written.write_judged_images(experiment, comparison, tmp_path / "x")
    html = (tmp_path / told["page"]).read_text()
    assert "This page holds 5 images, errors first; 13 are left out. x.csv holds all." in html
    assert "Rows with pictures: 2," in html and len(_strips(html)) == 2
    assert len((tmp_path / told["table"]).read_text().splitlines()) == 19


def test_without_a_baseline_the_page_says_so(
    experiment: Experiment, comparison: Comparison, tmp_path: Path
) -> None:
    alone = Comparison(classes=comparison.classes, seeds=(0,), runs={"moleflow": comparison.runs["moleflow"]})
    told = written.write_judged_images(experiment, alone, tmp_path / "x")
    html = (tmp_path / told["page"]).read_text()
    assert "No baseline was scored" in html
    assert {strip.shape for strip in _strips(html)} == {(128, 3 * 134, 3)}


def test_names_stay_text_and_no_cell_is_a_formula(run: Path, rows: list[dict[str, str]]) -> None:
    html = (run / f"{STEM}.html").read_text()
    dangers = _Dangers()
    dangers.feed(re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))
    assert dangers.found == [] and "<img src=x" not in html and "&lt;img src=x" in html
    assert "default-src 'none'" in html and not re.search(r'src="(?!data:)', html)
    assert f"'{FORMULA}" in {row["image"] for row in rows}
    assert not any(str(value).startswith(("=", "+", "@")) for row in rows for value in row.values())


def _browsed(page: Path, folder: Path, script: str) -> list:
    """What a script of ours leaves in `seen` after the page's own one ran."""
    html = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", page.read_text())
    note = f"{{{script}; document.documentElement.dataset.seen = JSON.stringify(seen);}}"
    (folder / "page.html").write_text(html.replace("</body>", f"<script>{note}</script></body>"))
    dom = _dom(folder / "page.html", folder)
    assert "<title>MoLE-Flow: all 18 test images</title>" in dom
    return json.loads(re.search(r'data-seen="([^"]*)"', dom).group(1).replace("&quot;", '"'))


@pytest.mark.parametrize("key", ["product", "defect", "outcome", "decision"])
def test_the_page_filters(key: str, run: Path, rows: list[dict[str, str]], tmp_path: Path) -> None:
    seen = _browsed(
        run / f"{STEM}.html",
        tmp_path,
        f"""const pick = document.getElementById("{key}"); const seen = [];
        for (const choice of pick.options) {{ pick.value = choice.value;
          pick.dispatchEvent(new Event("change"));
          const shown = [...document.querySelectorAll("#images tbody tr")]
            .filter((row) => row.getClientRects().length);
          const alike = shown.every((row) => row.dataset.{key} === choice.value);
          seen.push([choice.value, shown.length, alike]); }}""",
    )
    assert seen[0][:2] == ["", 18]
    counts = {choice: count for choice, count, _ in seen[1:]}
    assert {name: n for name, n in counts.items() if n} == {
        value: sum(row[key] == value for row in rows) for value in {row[key] for row in rows}
    }
    assert all(alike for _, _, alike in seen[1:]) and (key != "outcome" or tuple(counts) == OUTCOMES)


def test_the_page_sorts_by_exact_numbers_and_its_own_script_is_allowed(run: Path, tmp_path: Path) -> None:
    page = run / f"{STEM}.html"
    seen = _browsed(
        page,
        tmp_path,
        """const heads = [...document.querySelectorAll("#images th")];
        const place = heads.findIndex((head) => head.textContent === "score");
        heads[place].querySelector("button").click();
        const seen = [...document.querySelectorAll("#images tbody tr")]
          .map((row) => parseFloat(row.cells[place].dataset.value));""",
    )
    assert seen == sorted(seen, reverse=True) and len(set(seen)) > 10
    sealed = _dom(page, tmp_path)
    assert "18 of 18 shown" in sealed


def test_no_cell_hides_the_shade_at_the_edge_of_the_table(run: Path, tmp_path: Path) -> None:
    seen = _browsed(
        run / f"{STEM}.html",
        tmp_path,
        """const seen = [...document.querySelectorAll("#images tbody tr:first-child td")]
          .map((cell) => getComputedStyle(cell).backgroundColor);""",
    )
    assert set(seen) == {"rgba(0, 0, 0, 0)"}


def test_nothing_is_cut_on_a_phone_a_wide_screen_or_paper(run: Path, tmp_path: Path) -> None:
    assert cut_texts([run / f"{STEM}.html"], tmp_path) == []


def test_the_index_links_to_the_page_of_a_notebook_that_is_done(
    run: Path, tmp_path: Path, tiny_config: Callable[..., ExperimentConfig]
) -> None:
    for name in (f"{STEM}.html", f"{STEM}.csv"):
        shutil.copy(run / name, tmp_path / name)
    entry = Entry(source=Path("03_continual_tasks.ipynb"), title="T", question="Q", state="done")
    write_index(tmp_path, tiny_config(), ["leather"], [entry])
    html = (tmp_path / "index.html").read_text()
    assert f'href="{STEM}.html"' in html and f'href="{STEM}.csv"' in html and "earlier runs" not in html
    entry.state = "failed"
    write_index(tmp_path, tiny_config(), ["leather"], [entry])
    assert STEM not in (tmp_path / "index.html").read_text()


def test_the_first_page_shows_the_clearest_detection_and_the_worst_errors(
    run: Path,
    experiment: Experiment,
    comparison: Comparison,
    images: list[JudgedImage],
    tmp_path: Path,
    tiny_config: Callable[..., ExperimentConfig],
) -> None:
    strips = Strips(experiment, images, ())
    picked = dict((what, image) for what, _, image in highlights(images, strips.marked))
    assert list(picked) == ["Clearest detection", "Worst miss", "Worst false alarm"]
    for what, outcome in (("Worst miss", "missed defect"), ("Worst false alarm", "false alarm")):
        same = [one for one in images if one.outcome == outcome]
        rates = [one.row["smallest_rate"] for one in same]
        assert not same or picked[what].row["smallest_rate"] == (max if outcome[0] == "m" else min)(rates)
    shutil.copy(run / f"{STEM}.strip.json", tmp_path / f"{STEM}.strip.json")
    told = json.loads((run / f"{STEM}.strip.json").read_text())
    assert [bool(case["pictures"]) for case in told["cases"]] == [
        image is not None for image in picked.values()
    ]
    drawn = [picture for case in told["cases"] for picture in case["pictures"]]
    labels = ["photo", "mask", "MoLE-Flow", title(comparison.best("image_auroc"))]
    assert [picture["label"] for picture in drawn] == labels * (len(drawn) // 4) != []
    result = {"tiles": [{"label": "image AUROC", "value": 0.9, "interval": None, "against": "none"}]}
    (tmp_path / "03_continual_tasks.result.json").write_text(json.dumps(result))
    entry = Entry(
        source=Path("03_continual_tasks.ipynb"), title="T", question="Q", state="done", summary=["A."]
    )
    write_index(tmp_path, tiny_config(), ["leather"], [entry])
    html = (tmp_path / "index.html").read_text()
    assert all(f"<h3>{what}</h3>" in html for what in picked) and "<img src=x" not in html
    assert {picture.shape for picture in _strips(html)} == {(224, 224, 3)}
    assert len(_strips(html)) == sum(bool(picture["address"]) for picture in drawn)
    for label in labels:
        shown = [picture for picture in drawn if picture["label"] == label and picture["address"]]
        assert html.count(f">{label}</div>") == len(shown)
    unmasked = [one for one in picked.values() if one and not strips.marked(one)]
    assert html.count(">no mask</span>") == len(unmasked) == sum(not one["address"] for one in drawn)
    entry.state = "failed"
    write_index(tmp_path, tiny_config(), ["leather"], [entry])
    assert "Worst miss" not in (tmp_path / "index.html").read_text()


def _detected(name: str, rate: float) -> JudgedImage:
    row = {"outcome": "right", "label": "defective", "decision": "defective", "image": name}
    row |= {"smallest_rate": rate, "score": 2.0, "threshold": 1.0}
    return JudgedImage(task=0, index=0, chosen=0, row=row)


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ({"a": 0.9, "b": 0.5, "c": 0.1}, "b"),
        ({"a": 0.0, "b": 0.51, "c": 0.1}, "c"),
        ({"a": 0.9, "b": 1.0, "c": 0.0}, "a"),
    ],
)
def test_the_clearest_detection_shows_where_the_defect_is(shares: dict[str, float], wanted: str) -> None:
    found = [_detected(name, rate) for name, rate in (("c", 0.03), ("b", 0.02), ("a", 0.01))]
    (_, _, image), *_ = highlights(found, lambda one: shares[one.row["image"]])
    assert image.row["image"] == wanted


def test_what_a_run_has_none_of_is_said(images: list[JudgedImage]) -> None:
    right = [one for one in images if one.outcome == "right" and one.row["label"] == "normal"]
    assert [(none, image) for _, none, image in highlights(right, lambda image: 0.0)] == [
        ("No defect was called defective.", None),
        ("No defect was missed.", None),
        ("No normal image was called defective or unknown.", None),
    ]


def test_a_report_links_to_the_page_beside_it_and_not_when_sent_alone(tmp_path: Path) -> None:
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# T")]), tmp_path / "n.ipynb")
    report = tmp_path / "03_continual_tasks.html"
    render_report(tmp_path / "n.ipynb", report)
    assert STEM not in report.read_text(), "a link to what is not there"
    (tmp_path / f"{STEM}.html").write_text("page")
    render_report(tmp_path / "n.ipynb", report)
    assert f'href="{STEM}.html"' in report.read_text()
    render_report(tmp_path / "n.ipynb", report, single_file=True)
    assert STEM not in report.read_text()


def test_a_session_beside_a_published_report_leaves_its_images_alone(
    experiment: Experiment, comparison: Comparison, run: Path
) -> None:
    names = [f"{STEM}.{suffix}" for suffix in ("csv", "html", "json")]
    report = run / "03_continual_tasks.html"
    for name in names:
        (run / name).rename(run / f"kept-{name}")
    try:
        report.write_text("published")
        told = save_test_images(experiment, comparison)
        assert told["file"] == "03_continual_tasks.interactive.images.json"
        assert told["page"] == "03_continual_tasks.interactive.images.html"
        assert not any((run / name).exists() for name in names)
    finally:
        report.unlink()
        for name in names:
            (run / f"kept-{name}").rename(run / name)
