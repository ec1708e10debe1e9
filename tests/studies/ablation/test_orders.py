"""Order study: rows by order, base against later, order against seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moleflow_lib.studies.ablation.orders import base_rows, order_effect, order_rows, order_runs


@pytest.fixture
def rows(row: Callable[..., dict]) -> list[dict]:
    turned = ("grid", "nut")
    rows = [
        row("preset", 0, 0.80),
        row("preset", 1, 0.84),
        row("order 1", 0, 0.70, turned),
        row("order 1", 1, 0.72, turned),
    ]
    rows[0]["per_class"]["nut"]["image_auroc"] = 0.9
    return [*rows, row("dia_blocks=0", 0, 0.1)]


def test_rows_are_grouped_by_order_and_variations_left_out(rows: list[dict]) -> None:
    assert {order: len(own) for order, own in order_runs(rows).items()} == {"nut > grid": 2, "grid > nut": 2}
    first, second = order_rows(rows, "image_auroc")
    assert (first["order"], first["base"], first["mean"]) == ("nut > grid", "nut", pytest.approx(0.82))
    assert (
        first["nut"] == pytest.approx(0.87)
        and first["grid"] == pytest.approx(0.82)
        and second["nut"] == pytest.approx(0.71)
    )


def test_each_class_as_base_and_later(rows: list[dict]) -> None:
    found = {r["class"]: r for r in base_rows(rows, "image_auroc")}
    assert found["nut"]["difference"] == pytest.approx((0.2 + 0.12) / 2) and found["nut"]["seeds"] == 2
    assert found["grid"]["as base"] == pytest.approx(0.71) and found["grid"][
        "as a later task"
    ] == pytest.approx(0.82)


def test_orders_beside_seeds(rows: list[dict]) -> None:
    effect = order_effect(rows, "image_auroc")
    assert effect["best"] == "nut > grid" and effect["worst"] == "grid > nut" and effect["orders"] == 2
    assert effect["between_orders"] == pytest.approx(0.11 / 2**0.5)  # means 0.82 and 0.71
    assert effect["between_seeds"] == pytest.approx(((0.04**2 / 2 + 0.02**2 / 2) / 2) ** 0.5)
    assert effect["difference"] == pytest.approx(0.11)


def test_one_order_is_no_study(row: Callable[..., dict]) -> None:
    assert order_effect([row("preset", 0, 0.5)], "image_auroc") is None
    assert base_rows([row("preset", 0, 0.5)], "image_auroc") == []
