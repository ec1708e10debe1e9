"""Notebook 05: what each part earns, said with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.metrics import METRICS
from moleflow_lib.reporting.text.flow_and_memory import flow_and_memory_sentences
from moleflow_lib.reporting.text.settings import setting_sentences
from moleflow_lib.studies.ablation.agreement import agreement_rows
from moleflow_lib.studies.ablation.cost import part_costs
from moleflow_lib.studies.ablation.differences import class_differences, metric_differences, paired_differences
from moleflow_lib.studies.ablation.orders import base_rows, order_effect, order_rows
from moleflow_lib.studies.ablation.switches import RECORD, SWITCHES
from moleflow_lib.studies.ablation.tail import tail_gap

__all__ = ["ablation_results", "ablation_sentences", "with_interval"]

Row = Mapping[str, object]
_NEGLIGIBLE = 0.005  # of a metric: a part that does less is not worth its values, however sure
_METRICS = ("image_auroc", "pixel_ap", "aupro")
_PARTS = {"lora": "LoRA", "dia": "DIA", "base": "coupling blocks", "task_bias": "task bias", "stored_patches": "stored patches"}


def ablation_results(rows: Sequence[Row], updates: Sequence[Row]) -> dict[str, object]:
    """Contents of `05_ablations.result.json`; arguments as for `ablation_sentences`."""
    return {
        "classes": list(rows[0]["order"]), "rows": list(rows),
        "differences": {metric: paired_differences(rows, metric) for metric in METRICS},
        "differences_per_class": {metric: class_differences(rows, metric) for metric in METRICS},
        "parts": part_costs(rows), "lora": list(updates), "public_record": agreement_rows(rows),
        "orders": {
            metric: {"orders": order_rows(rows, metric), "bases": base_rows(rows, metric), "effect": order_effect(rows, metric)}
            for metric in METRICS
        },
    }


def ablation_sentences(rows: Sequence[Row], updates: Sequence[Row], config: ExperimentConfig) -> list[str]:
    """Summary of notebook 05.

    Args:
        rows: from `run_ablation`.
        updates: the preset's low-rank updates, from `learned_updates`.
        config: of the runs.
    """
    flow = flow_and_memory_sentences(rows, with_interval)
    tail = _tail(rows, config.score.unit)
    parts, settings = _parts(rows), setting_sentences(rows, with_interval)
    return [_how_sure(rows, config), *parts, *flow, *settings, *_lora(rows, updates), *_order(rows), *tail, *_record(rows)]


def with_interval(gap: Row) -> str:
    """A difference and its interval in words.

    >>> with_interval({"difference": 0.1, "low": 0.05, "high": 0.15})
    '+0.100 [+0.050, +0.150]'
    """
    if gap["difference"] is None:
        return "undefined"
    return _signed(gap["difference"]) + ("" if gap["low"] is None else f" [{_signed(gap['low'])}, {_signed(gap['high'])}]")


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # adding zero takes the sign off a rounded zero


def _how_sure(rows: Sequence[Row], config: ExperimentConfig) -> str:
    gaps = [row for row in metric_differences(rows, _METRICS) if row["difference"] or row["spread"]]  # what it can move at all
    seeds = max((row["seeds"] for row in gaps), default=1)
    length = f"{config.train.steps} steps a task" if config.train.steps else f"{config.train.epochs} epochs"
    start = f"{len(rows)} runs of {length} on {', '.join(rows[0]['order'])}, {seeds} seed{'s' * (seeds > 1)}"
    widths = [row["high"] - row["low"] for row in gaps if row["low"] is not None]
    if not widths:
        given = "one seed gives" if seeds < 2 else "seeds that all take the same step give"
        return f"{start}: {given} differences without intervals, which decide nothing; the rest describes this run alone."
    clear, wide = sum(bool(row["sign"]) for row in gaps), median(widths)
    return (
        f"{start}; differences are to the preset of the same seed, in brackets their Student-t 95 % interval over seeds. Its "
        f"middle width is {wide:.3f}: smaller effects stay in the dark. {clear} of {len(gaps)} intervals exclude zero; "
        f"{0.05 * len(gaps):.1f} would by chance if nothing had an effect."
    )


def _parts(rows: Sequence[Row]) -> list[str]:
    """Which parts earn their place, metric by metric."""
    costs, sentences = part_costs(rows), []
    for metric in _METRICS:
        groups: dict[str, list[Row]] = {"earn their place": [], "do harm": [], "undecided": []}
        for row in costs:
            gap = {"part": _PARTS.get(row["part"], row["part"]), "difference": row[f"{metric} brings"],
                   "low": row[f"{metric} low"], "high": row[f"{metric} high"]}
            if gap["difference"] is not None:
                groups[_standing(gap)].append(gap)
        if any(groups.values()):
            said = "; ".join(f"{words}: {_listed(group)}" for words, group in groups.items())
            sentences.append(f"By {metric} (the preset minus the preset without the part) these parts {said}.")
    return sentences


def _standing(gap: Row) -> str:
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        return "undecided"
    return "earn their place" if gap["low"] > 0 else "do harm"


def _listed(gaps: Sequence[Row]) -> str:
    ordered = sorted(gaps, key=lambda gap: -abs(gap["difference"]))
    return ", ".join(f"{gap['part']} {with_interval(gap)}" for gap in ordered) or "none"


def _lora(rows: Sequence[Row], updates: Sequence[Row]) -> list[str]:
    """Does LoRA do anything?"""
    if not updates:
        return ["The preset has no low-rank updates."]
    norms, ranks = [row["relative_norm"] for row in updates], [row["effective_rank"] for row in updates if row["effective_rank"]]
    size = (
        f"Low-rank updates: α/r = {updates[0]['scale']:.3g}; they are {100 * median(norms):.2g} % of the weights they change "
        f"(median of {len(norms)} layers and tasks, largest {100 * max(norms):.2g} %)"
        + (f", with an effective rank of {median(ranks):.1f} of {updates[0]['rank']}. " if ranks else ". ")
    )
    gaps = {metric: gap for metric in _METRICS for gap in paired_differences(rows, metric)
            if gap["switch"] == "no LoRA" and gap["difference"] is not None}
    if not gaps:
        return [size + "Training without them was not run, so what they do for detection is open."]
    moves = ", ".join(f"{metric} {with_interval(gap)}" for metric, gap in gaps.items())
    return [f"{size}Training without them moves {moves}: {_lora_verdict(list(gaps.values()))}."]


def _lora_verdict(gaps: Sequence[Row]) -> str:
    signs, sure = [gap["sign"] for gap in gaps], [abs(gap["difference"]) for gap in gaps if gap["sign"]]
    if None in signs:
        return "one seed, or the same step in all of them: no verdict"
    if not any(signs):
        return "nothing that these seeds can tell from zero; LoRA has not been seen to do anything here"
    if max(sure) < _NEGLIGIBLE:
        return f"sure, and less than {_NEGLIGIBLE:g}: nothing that would justify it"
    if min(signs) < 0 < max(signs):
        return "it helps one metric and hurts another"
    return "LoRA earns its place" if min(signs) < 0 else "the preset is better without LoRA"


def _order(rows: Sequence[Row]) -> list[str]:
    """Does the order of tasks matter?"""
    effects = {metric: effect for metric in _METRICS if (effect := order_effect(rows, metric))}
    if not effects:
        return ["One order of tasks was run; whether the order or the base task matters is open (`ablation_orders`)."]
    sentences = []
    for metric, effect in effects.items():
        beside = "" if effect["between_seeds"] is None else f" beside {effect['between_seeds']:.3f} between seeds of one order"
        verdict = {None: "one seed, no verdict", 0: "not told apart from seed noise"}.get(effect["sign"], "the order matters")
        sentences.append(
            f"Order, {metric}: {effect['orders']} orders, standard deviation {effect['between_orders']:.3f} between them{beside}; "
            f"best {effect['best']}, worst {effect['worst']}, apart by {with_interval(effect)} (picked after looking): {verdict}."
        )
    return sentences


def _tail(rows: Sequence[Row], unit: str) -> list[str]:
    """What the tail loss does to the tail."""
    other = next((name for name in ("no tail loss", "tail 0.3", "tail 0.7") if any(row["switch"] == name for row in rows)), "")
    if not other:
        return []
    width, reach, beyond = (with_interval(tail_gap(rows, other, number)) for number in ("width", "reach", "beyond"))
    return [
        f"Score tail, the preset minus `{other}`: the scores of normal test patches spread by {width} {unit} from the median to "
        f"the 95 % quantile; measured in that spread, the 99.9 % quantile lies further out by {reach}; the share of defect patches "
        f"beyond it changes by {beyond}."
    ]


def _record(rows: Sequence[Row]) -> list[str]:
    """Where we disagree with the public record."""
    found = agreement_rows(rows)
    if not found:
        return []
    words = {"opposite": "the other sign", "differs": "another size"}
    apart = [f"{row['switch']}, {row['metric']}: record {_published(row)}, here {with_interval(row)} ({words[row['verdict']]})"
             for row in found if row["verdict"] in words]
    counts = ", ".join(f"{verdict} {count}" for verdict, count in Counter(row["verdict"] for row in found).items())
    return [
        f"Public record ({RECORD}), {len(found)} effect(s): {counts}. "
        + ("We disagree on " + "; ".join(apart) + "." if apart else "No interval of ours excludes a published value.")
    ]


def _published(row: Row) -> str:
    return SWITCHES[row["switch"]].published[0].words if row["published"] is None else _signed(row["published"])
