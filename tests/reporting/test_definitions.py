"""Every number has its definition."""

from __future__ import annotations

import numpy as np
import pytest

from moleflow_lib.config import BASELINES
from moleflow_lib.errors import ConfigError
from moleflow_lib.metrics import METRICS, continual_summary, routing_summary
from moleflow_lib.reporting.definitions import all_definitions, definition_of, link_cells, link_words
from moleflow_lib.reporting.text.words import title


def test_every_metric_summary_and_routing_name_is_defined() -> None:
    routing = routing_summary(np.zeros(1, int), np.zeros(1, int), 1, np.zeros(1, int))
    names = [
        *METRICS,
        *continual_summary([[0.5]]),
        "oracle",
        "routed",
        *(name for name in routing if name != "confusion"),
    ]
    assert len(names) == 7 + 5 + 2 + 4
    for name in names:
        assert definition_of(name).name == name


def test_names_and_anchors_are_unique_and_texts_are_sentences() -> None:
    entries = all_definitions()
    assert len({entry.anchor for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.source and entry.text.endswith(".") and len(entry.text) > 40


def test_heads_are_known_in_the_forms_tables_use() -> None:
    for head in ("image_auroc", "image AUROC", "image_auroc (oracle)", "image_auroc_lost", "Image AUROC"):
        assert definition_of(head).name == "image_auroc"
    assert definition_of("FM_max").name == "fm_max" and definition_of("routing").name == "accuracy"
    assert definition_of("auroc") is definition_of("") is definition_of("task") is None


def test_cells_are_linked_and_nothing_else() -> None:
    html = '<th title="x">pixel_ap</th><td class="number">0.5</td><td>aupro</td><td>nut</td><p>aupro</p>'
    linked = link_cells(html)
    assert linked.count("<a ") == 2
    assert linked.startswith('<th title="x">pixel_ap<a class="definition" href="#definition-pixel_ap"')
    assert (
        linked.endswith("<td>nut</td><p>aupro</p>")
        and link_cells("<td>&lt;b&gt;</td>") == "<td>&lt;b&gt;</td>"
    )


def test_words_are_linked_where_they_stand_alone() -> None:
    assert link_words("FM_max of image_auroc, not image_auroc_lost").count("<a ") == 2


def test_every_method_of_the_comparison_and_its_costs_are_defined() -> None:
    for name in ("moleflow", *BASELINES):
        found = definition_of(name)
        assert found.name == name and definition_of(found.title) is found, "tables show the title"
    heads = (
        "k values a task",
        "MB a task",
        "k shared",
        "s to learn",
        "ms an image",
        "FM_max (oracle)",
        "FM_max (routed)",
    )
    assert all(definition_of(head) for head in heads)


def test_a_title_without_a_definition_is_refused() -> None:
    with pytest.raises(ConfigError, match="'no_such_metric' has no definition"):
        title("no_such_metric")
