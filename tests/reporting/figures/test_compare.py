"""The figure of runs side by side."""

from __future__ import annotations

import re

from moleflow_lib.reporting.compare.differences import Measured
from moleflow_lib.reporting.figures.compare import difference_intervals
from moleflow_lib.reporting.figures.static import as_svg
from moleflow_lib.studies.baselines.comparison import Estimate

METRICS = ("image_auroc", "aupro")


def _row(metric: str, task: str, *gaps: Estimate) -> Measured:
    value = Estimate(value=0.5, interval=None)
    return Measured(metric=metric, task=task, values=(value,) * (len(gaps) + 1), differences=gaps)


def test_every_interval_and_zero_lie_inside_their_panel() -> None:
    gaps = [Estimate(value=0.1, interval=(0.05, 0.4)), Estimate(value=-0.2, interval=(-0.3, -0.1))]
    undefined = Estimate(value=None, interval=None)
    found = [_row("image_auroc", "nut", *gaps), _row("aupro", "nut", gaps[0], undefined)]
    figure = difference_intervals(found, METRICS, ["a", "b", "c"])
    ends = [figure.layout.xaxis.range, figure.layout.xaxis2.range]
    assert ends[0][0] < -0.3 and ends[0][1] > 0.4 and ends[1][0] < 0 and ends[1][1] > 0.4
    assert [trace.name for trace in figure.data] == ["b", "c", "b", "c"]
    assert len(figure.layout.shapes) == 2, "zero is marked in each panel"


def test_without_any_value_the_figure_is_still_drawn() -> None:
    nothing = Estimate(value=None, interval=None)
    figure = difference_intervals([_row(m, "nut", nothing) for m in METRICS], METRICS, ["a", "b"])
    assert as_svg(figure).count("<circle") == 0


def test_tasks_are_named_once_in_the_picture_and_long_names_cut() -> None:
    gap = Estimate(value=0.1, interval=(0.0, 0.2))
    long = "<b>" + "x" * 40
    picture = as_svg(
        difference_intervals([_row(m, n, gap) for m in METRICS for n in ("nut", long)], METRICS, ["a", "b"])
    )
    assert picture.count(">nut<") == 1 and "x" * 20 not in picture and "<b>" not in picture
    assert len(re.findall("<circle", picture)) == 4
