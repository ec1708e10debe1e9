"""The smallest and the largest input that is allowed goes through the real notebooks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moleflow_lib.reporting.running.notebooks import available_notebooks
from moleflow_lib.reporting.running.runner import run_notebooks
from tests import trees

pytestmark = pytest.mark.filterwarnings(
    # papermill and its kernel client, on their own behalf
    "ignore::DeprecationWarning:papermill",
    "ignore::DeprecationWarning:jupyter_client",
    "ignore::DeprecationWarning:zmq",
)
SMALL = {
    "backbone": "filterbank",
    "device": "cpu",
    "image_size": 56,
    "eval_size": 56,
    "batch_size": 8,
    "coupling_layers": 2,
    "lora_rank": 4,
    "dia_blocks": 1,
    "ablations": "top_k=1",
    "ablation_seeds": [0],
}


def _product(folder: Path, seed: int, train: int, good: int, bad: int) -> None:
    """A product of noise, with so many images of each kind."""
    for split, count in (("train/good", train), ("test/good", good), ("test/crack", bad)):
        for index in range(count):
            trees.picture(folder / split / f"{index:03}.png", 1000 * seed + len(split) * 50 + index, (64, 64))
    for index in range(bad):
        trees.mask(folder / f"ground_truth/crack/{index:03}_mask.png", size=(64, 64))


def _ran(root: Path, notebooks: list[str], **options: object) -> dict[str, dict]:
    """The result of every notebook, all of which must have been finished."""
    out = root.parent / "out"
    books = available_notebooks(notebooks)
    assert run_notebooks({**SMALL, "dataset_root": str(root), "out_dir": str(out), **options}, books) == 0
    return {book.stem[:2]: json.loads((out / f"{book.stem}.result.json").read_text()) for book in books}


@pytest.mark.parametrize(
    ("preset", "more", "counts", "notebooks"),
    [
        # the fewest it learns from, one normal image, no defect
        ("recommended", {"steps": 2}, (5, 1, 0), ["00", "01", "02", "03", "04", "05"]),
        ("v5_final", {"epochs": 1}, (2, 0, 1), ["03", "04"]),  # two images, one defect, nothing normal
    ],
)
def test_the_fewest_images_go_through_the_notebooks(
    preset: str, more: dict, counts: tuple[int, int, int], notebooks: list[str], tmp_path: Path
) -> None:
    for seed, name in enumerate(("one", "two")):
        _product(tmp_path / "data" / name, seed, *counts)
    results = _ran(tmp_path / "data", notebooks, preset=preset, **more)
    assert list(results) == notebooks
    values = results["03"]["R"]["image_auroc"]["routed"]
    assert values[-1] == [None, None], "with one class of label there is nothing to rank"


def test_thirty_products_go_through_the_notebook_that_learns_them(tmp_path: Path) -> None:
    for seed in range(30):
        _product(tmp_path / "data" / f"p{seed:02}", seed, 2, 1, 1)
    results = _ran(tmp_path / "data", ["03"], preset="v5_final", epochs=1, baselines="none")
    assert len(results["03"]["classes"]) == 30
    assert len(results["03"]["R"]["image_auroc"]["routed"][-1]) == 30
