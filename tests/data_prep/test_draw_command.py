"""`draw demo`: what it draws is sound, and the same bytes for the same seed."""

from __future__ import annotations

import pytest

from data_prep.cli import main
from data_prep.draw import draw_demo
from data_prep.drawing.least import LEAST
from data_prep.drawing.products import PRODUCTS
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import ConfigError

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


def test_help_states_the_least_of_every_number_and_one_less_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["draw", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for name, least in LEAST.items():
        flag = f"--{name.replace('_', '-')}"
        assert f", {least} or more (" in told[told.rindex(flag) :].split(")")[0] + ")", flag
        with pytest.raises(ConfigError, match=f"{name} must be {least} or more, not {least - 1}"):
            draw_demo(tmp_path / "none", **{name: least - 1})
    assert LEAST["test_defect"] == max(len(product.defects) for product in PRODUCTS.values())
