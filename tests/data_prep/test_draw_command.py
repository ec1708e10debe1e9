"""`draw demo`: what it draws is sound, and the same bytes for the same seed."""

from __future__ import annotations

from data_prep.cli import main
from moleflow_lib.datasets import open_dataset

TINY = ["--train", "2", "--test-good", "1", "--test-defect", "4", "--size", "64"]


def test_demo_is_sound_and_repeats_itself(tmp_path):
    for name in ("one", "two"):
        assert main(["draw", "demo", "--into", str(tmp_path / name), *TINY]) == 0
    assert main(["check", str(tmp_path / "one")]) == 0
    assert all(product.has_masks and len(product.train) == 2 for product in open_dataset(tmp_path / "one"))
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in ("one", "two")
    )
    assert first == second and first
