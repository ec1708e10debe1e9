"""Notebook 05: what each variation moves, with its interval. Numbers only."""

from __future__ import annotations

from collections import Counter
from statistics import median

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.errors import counted
from moleflow_lib.metrics import HEADLINES, METRICS
from moleflow_lib.reporting.text.parts_verdict import earned_sentence
from moleflow_lib.reporting.text.settings import setting_sentences
from moleflow_lib.reporting.text.words import title
from moleflow_lib.rows import Row, Rows
from moleflow_lib.studies.ablation import (
    PARTS,
    RECORD,
    agreement_rows,
    base_rows,
    class_differences,
    metric_differences,
    order_effect,
    order_rows,
    paired_differences,
    part_costs,
    varied_as,
)
from moleflow_lib.studies.ablation.tail import tail_gap

__all__ = ["ablation_results", "ablation_sentences", "with_interval"]


def ablation_results(rows: Rows, updates: Rows) -> dict[str, object]:
    """Contents of `05_ablations.result.json`; arguments as for `ablation_sentences`."""
    return {
        "classes": list(rows[0]["order"]),
        "rows": list(rows),
        "differences": {metric: paired_differences(rows, metric) for metric in METRICS},
        "differences_per_class": {metric: class_differences(rows, metric) for metric in METRICS},
        "parts": part_costs(rows),
        "lora": list(updates),
        "public_record": agreement_rows(rows),
        "orders": {
            metric: {
                "orders": order_rows(rows, metric),
                "bases": base_rows(rows, metric),
                "effect": order_effect(rows, metric),
            }
            for metric in METRICS
        },
    }


def ablation_sentences(rows: Rows, updates: Rows, config: ExperimentConfig) -> list[str]:
    """Summary of notebook 05.

    Args:
        rows: from `run_ablation`.
        updates: the preset's low-rank updates, from `learned_updates`.
        config: of the runs.
    """
    return [
        earned_sentence(rows),
        _how_sure(rows, config),
        *_parts(rows),
        *_score_parts(rows),
        *setting_sentences(rows, with_interval),
        *_lora(rows, updates),
        *_order(rows),
        *_tail(rows, config.score.unit),
        *_record(rows),
    ]


def with_interval(gap: Row) -> str:
    """A difference and its interval in words.

    >>> with_interval({"difference": 0.1, "low": 0.05, "high": 0.15})
    '+0.100 [+0.050, +0.150]'
    """
    if gap["difference"] is None:
        return "undefined"
    return _signed(gap["difference"]) + (
        "" if gap["low"] is None else f" [{_signed(gap['low'])}, {_signed(gap['high'])}]"
    )


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # adding zero takes the sign off a rounded zero


def _how_sure(rows: Rows, config: ExperimentConfig) -> str:
    gaps = [
        row for row in metric_differences(rows, HEADLINES) if row["difference"] or row["spread"]
    ]  # what it can move at all
    seeds = max((row["seeds"] for row in gaps), default=1)
    length = f"{config.train.steps} steps a task" if config.train.steps else f"{config.train.epochs} epochs"
    start = f"{len(rows)} runs of {length} on {', '.join(rows[0]['order'])}, {seeds} seed{'s' * (seeds > 1)}"
    widths = [row["high"] - row["low"] for row in gaps if row["low"] is not None]
    if not widths:
        given = "one seed gives" if seeds < 2 else "seeds that all take the same step give"
        return (
            f"{start}: {given} differences without intervals, which decide nothing; the rest describes "
            "this run alone."
        )
    clear, wide = sum(bool(row["sign"]) for row in gaps), median(widths)
    return (
        f"{start}; differences are to the preset of the same seed, in brackets their Student-t 95 % interval "
        f"over seeds. Its middle width is {wide:.3f}: smaller effects cannot be resolved with these seeds. "
        f"{clear} of {len(gaps)} intervals exclude zero; {0.05 * len(gaps):.1f} would by chance if nothing "
        "had an effect."
    )


def _parts(rows: Rows) -> list[str]:
    """Which parts raise or lower a metric, one sentence a metric."""
    costs = part_costs(rows)
    sentences = []
    for metric in HEADLINES:
        groups: dict[str, list[Row]] = {"raise it": [], "lower it": [], "undecided": []}
        for row in costs:
            gap = {
                "part": row["part"],
                "difference": row[f"{metric} brings"],
                "low": row[f"{metric} low"],
                "high": row[f"{metric} high"],
            }
            if gap["difference"] is not None:
                groups[_standing(gap)].append(gap)
        if any(groups.values()):
            listed = "; ".join(f"{words}: {_listed(group)}" for words, group in groups.items())
            sentences.append(
                f"{title(metric)}, the preset minus the preset without the part: parts that {listed}."
            )
    return sentences


def _standing(gap: Row) -> str:
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        return "undecided"
    return "raise it" if gap["low"] > 0 else "lower it"


def _listed(gaps: Rows) -> str:
    ordered = sorted(gaps, key=lambda gap: -abs(gap["difference"]))
    return ", ".join(f"{gap['part']} {with_interval(gap)}" for gap in ordered) or "none"


def _moves(rows: Rows, name: str) -> str:
    """What a variation moves, metric by metric; empty where nothing is defined."""
    gaps = {
        metric: gap
        for metric in HEADLINES
        for gap in paired_differences(rows, metric)
        if gap["variation"] == name and gap["difference"] is not None
    }
    return ", ".join(f"{title(metric)} {with_interval(gap)}" for metric, gap in gaps.items())


def _score_parts(rows: Rows) -> list[str]:
    """What each part of the score is worth beside the others, where it was taken out."""
    named = {part.name: part.varied_as(rows) for part in PARTS if "score_parts" in part.without}
    found = [f"without {part} {_moves(rows, name)}" for part, name in named.items() if name]
    return [f"Score parts, {'; '.join(found)}."] if found else []


def _lora(rows: Rows, updates: Rows) -> list[str]:
    """How large the low-rank updates are, and what training without them moves."""
    if not updates:
        return ["The preset has no low-rank updates."]
    norms = [row["relative_norm"] for row in updates]
    ranks = [row["effective_rank"] for row in updates if row["effective_rank"]]
    size = (
        f"Low-rank updates: α/r = {updates[0]['scale']:.3g}; they are {100 * median(norms):.2g} % of the "
        f"weights they change (median of {len(norms)} layers and tasks, largest {100 * max(norms):.2g} %)"
        + (f", with an effective rank of {median(ranks):.1f} of {updates[0]['rank']}. " if ranks else ". ")
    )
    name = varied_as(rows, {"lora_rank": 0})
    moves = _moves(rows, name) if name else ""
    return [size + (f"Without them: {moves}." if moves else "Training without them was not run.")]


def _order(rows: Rows) -> list[str]:
    """Does the order of tasks matter?"""
    effects = {metric: effect for metric in HEADLINES if (effect := order_effect(rows, metric))}
    if not effects:
        return [
            "One order of tasks was run; whether the order or the base task matters is open "
            "(`ablation_orders`)."
        ]
    sentences = []
    for metric, effect in effects.items():
        beside = (
            ""
            if effect["between_seeds"] is None
            else f" beside {effect['between_seeds']:.3f} between seeds of one order"
        )
        verdict = {None: "one seed, no interval", 0: "the interval holds zero"}.get(
            effect["sign"], "the interval excludes zero"
        )
        sentences.append(
            f"Order, {title(metric)}: {effect['orders']} orders, standard deviation "
            f"{effect['between_orders']:.3f} between them{beside}; "
            f"best {effect['best']}, worst {effect['worst']}, apart by {with_interval(effect)} (picked after "
            f"looking): {verdict}."
        )
    return sentences


def _tail(rows: Rows, unit: str) -> list[str]:
    """What the tail loss does to the tail."""
    tried = ({"tail_weight": 0.0}, {"tail_weight": 0.3}, {"tail_weight": 0.7})
    other = next((name for changes in tried if (name := varied_as(rows, changes))), "")
    if not other:
        return []
    width, reach, beyond = (
        with_interval(tail_gap(rows, other, number)) for number in ("width", "reach", "beyond")
    )
    return [
        f"Score tail, the preset minus `{other}`: the scores of normal test patches spread by {width} {unit} "
        "from the median to the 95 % quantile; measured in that spread, the 99.9 % quantile lies further "
        f"out by {reach}; the share of defect patches beyond it changes by {beyond}."
    ]


def _record(rows: Rows) -> list[str]:
    """Where we disagree with the public record."""
    found = agreement_rows(rows)
    if not found:
        return []
    words = {"opposite": "the other sign", "differs": "another size"}
    apart = [
        f"{row['variation']}, {title(row['metric'])}: record {_published(row)}, here {with_interval(row)} "
        f"({words[row['verdict']]})"
        for row in found
        if row["verdict"] in words
    ]
    counts = ", ".join(
        f"{verdict} {count}" for verdict, count in Counter(row["verdict"] for row in found).items()
    )
    return [
        f"Public record ({RECORD}), {counted(len(found), 'effect')}: {counts}. "
        + (
            "We disagree on " + "; ".join(apart) + "."
            if apart
            else "No interval of ours excludes a published value."
        )
    ]


def _published(row: Row) -> str:
    return row["record"] if row["published"] is None else _signed(row["published"])
