"""R matrices: one where oracle and routed are equal, both where they differ."""

from __future__ import annotations

from moleflow_lib.evaluation.continual import ContinualResult
from moleflow_lib.reporting.figures.continual import r_matrices

ORACLE = [[0.9, None], [0.9, 0.8]]
ROUTED = [[0.9, None], [0.7, 0.8]]


def _result(routed: list[list[float | None]]) -> ContinualResult:
    matrices = {"image_auroc": {"oracle": ORACLE, "routed": routed}}
    return ContinualResult(classes=("nut", "grid"), matrices=matrices, routing=None, routing_over_time=[])


def test_equal_matrices_are_shown_once_and_it_is_said() -> None:
    figure = r_matrices(_result([list(row) for row in ORACLE]), "image_auroc", 0)
    assert len(figure.data) == 1 and [list(row) for row in figure.data[0].z] == ORACLE
    assert "Oracle and routed are equal here" in figure.layout.meta["caption"]
    assert [note.text for note in figure.layout.annotations] == ["oracle and routed"]


def test_matrices_that_differ_are_both_shown() -> None:
    figure = r_matrices(_result(ROUTED), "image_auroc", 0)
    assert [[list(row) for row in panel.z] for panel in figure.data] == [ORACLE, ROUTED]
    assert "equal here" not in figure.layout.meta["caption"]
    assert [note.text[:6] for note in figure.layout.annotations] == ["oracle", "routed"]
