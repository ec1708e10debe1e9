"""Notebook 04: the choice of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moleflow_lib.reporting.tables import number
from moleflow_lib.reporting.text.words import percent

__all__ = ["misrouted_table", "router_sentences", "variant_table"]

Rows = Sequence[Mapping[str, object]]


def variant_table(rows: Rows) -> list[dict[str, object]]:
    """The columns of `study_routers` that fit a page; the result file holds all of them."""
    kept = ("condition_number", "image_auroc_lost", "pixel_ap_lost")
    return [
        {"variant": row["variant"], "accuracy": row["accuracy"], "Wilson interval": _ends(row, "accuracy"),
         **{name: row[name] for name in kept}}
        for row in rows
    ]


def misrouted_table(rows: Rows, metrics: Sequence[str] = ("image_auroc", "image_ap", "pixel_ap")) -> list[dict[str, object]]:
    """What misrouted images cost each task, with intervals."""
    return [
        {"task": row["task"], "test images": row["images"], "misrouted": row["misrouted"],
         **{f"{metric}_lost": _with_ends(row, f"{metric}_lost") for metric in metrics}}
        for row in rows
    ]


def router_sentences(result: Mapping[str, object], used: str) -> list[str]:
    """Summary of notebook 04.

    Args:
        result: contents of `04_router_analysis.result.json`.
        used: the preset's estimate.
    """
    chosen = result["recommendation"]["covariance"]
    kinds = list(dict.fromkeys((used, chosen)))
    sentences = [f"Recommendation. {result['recommendation']['text']}"]
    if _row(result["variants"], used)["accuracy"] is None:
        return [*sentences, "No test image is labelled, so nothing else can be said of the router."]
    sentences.append(_accuracy(result["variants"], used))
    if len(result["classes"]) > 1:
        sentences += [_few(result, kinds), _small(result["small_task"], kinds), _easy(result, kinds), _sure(result, kinds)]
    return [text for text in [*sentences, _unknown(result, kinds), _cost(result, used)] if text]


def _accuracy(rows: Rows, used: str) -> str:
    mine = _row(rows, used)
    return (
        f"The preset's `{used}` sends {percent(mine['accuracy'])} of the test images to their task (95 % Wilson interval "
        f"{_ends(mine, 'accuracy', share=True)}; normal {percent(mine['accuracy_normal'])}, defective "
        f"{percent(mine['accuracy_anomalous'])}); by estimate: "
        + ", ".join(f"`{row['variant']}` {percent(row['accuracy'])}" for row in rows if row is not mine) + "."
    )


def _few(result: Mapping[str, object], kinds: Sequence[str]) -> str:
    rows, sizes = result["sample_size"], sorted({row["images"] for row in result["sample_size"]})
    def told(kind: str) -> str:
        own = {row["images"]: row["accuracy"] for row in rows if row["variant"] == kind}
        return f"`{kind}` {percent(own[sizes[0]])} from {sizes[0]} images a task, {percent(own[sizes[-1]])} from all"

    enough = [f"`{kind}` from {n} on" for kind, n in result["enough_images"].items() if n is not None]
    return (
        f"Number of training images: {'; '.join(map(told, kinds))}. Within one point of the best of all estimates: "
        f"{', '.join(enough) or 'none'}."
    )


def _small(rows: Rows, kinds: Sequence[str]) -> str:
    sizes = sorted({row["images"] for row in rows})
    if not sizes:
        return ""
    texts = []
    for kind in kinds:
        own = [row for row in rows if row["variant"] == kind and row["images"] == sizes[0] and row["kept"] is not None]
        worst = min(own, key=lambda row: row["kept"], default=None)
        if worst:
            fate = f", most of the others go to {worst['lost_to']}" if worst["lost_to"] else ""
            texts.append(f"`{kind}` keeps {percent(worst['kept'])} of {worst['task']}{fate}")
    return f"One task of only {sizes[0]} images among full ones, worst case: {'; '.join(texts)}." if texts else ""


def _easy(result: Mapping[str, object], kinds: Sequence[str]) -> str:
    """Is routing free because the products are easy?"""
    if not result["pairs"]:
        return ""
    pair, reserve = result["pairs"][0], {row["variant"]: row for row in result["reserve"]}
    def told(kind: str) -> str:
        needed = reserve[kind]["gap_needed_99"]
        return f"`{kind}` is below 99 % already" if needed is None else f"`{kind}` needs {percent(needed)} of today's gaps"

    known = {(row["variant"], row["tasks"]): percent(row["accuracy"]) for row in result["number_of_tasks"]}
    most = len(result["classes"])
    added = "; ".join(f"`{kind}` from {known[kind, 2]} with 2 to {known[kind, most]} with {most}" for kind in kinds)
    added = f" As tasks are added: {added}." if most > 2 else ""
    return (
        f"Is routing free because the products are easy? The closest, {' and '.join(pair['tasks'])}, are {pair['separation']:.1f} "
        f"times their own spread apart. Stress test on moved features, gaps shrunk until 99 % of the test images are no longer "
        f"right: {'; '.join(map(told, kinds))}.{added}"
    )


def _sure(result: Mapping[str, object], kinds: Sequence[str]) -> str:
    rows = [_row(result["calibration"], kind) for kind in kinds if result["calibration"]]
    texts = [
        f"`{row['variant']}` states {percent(row['confidence'])} on average and is right for {percent(row['accuracy'])} (expected "
        f"calibration error {row['ece']:.3f}, {row['ece_at_1']:.3f} at temperature 1)" for row in rows
    ]
    return f"Confidence fitted on held-out training images: {'; '.join(texts)}." if texts else ""


def _unknown(result: Mapping[str, object], kinds: Sequence[str]) -> str:
    texts = []
    for row in (_row(result["unknown"], kind) for kind in kinds):
        missed = "nothing to leave out"
        if row["missed"] is not None:
            missed = f"{percent(row['missed'])} of a left-out product's images missed"
        texts.append(
            f"`{row['variant']}` refuses {percent(row['false_alarm_normal'])} of the known products' normal images and "
            f"{percent(row['false_alarm_defective'])} of their defective ones, {missed}; limits from images that the prototype has "
            f"seen would refuse {percent(row['false_alarm_trap'])} of the normal ones{_room(row)}"
        )
    return (
        f"None of these (nominal false alarms {percent(1 - result['router_accept'])}): {'. '.join(texts)}. A refusal says "
        "\"unlike the training images\": whether product or defect, it cannot tell."
    )


def _room(row: Mapping[str, object]) -> str:
    if row["excess_defective"] is None or row["excess_unknown"] is None:
        return ""
    return (f" (95 % of the defective images lie below {row['excess_defective']:.1f} times the limit, 95 % of the unknown "
            f"products' above {row['excess_unknown']:.1f} times)")


def _cost(result: Mapping[str, object], used: str) -> str:
    mine = _row(result["variants"], used)
    text = (
        f"Wrong routes of `{used}` cost {number(mine['image_auroc_lost'])} image AUROC and {number(mine['pixel_ap_lost'])} "
        "pixel AP against being told the task, means over tasks."
    )
    hit = [row for row in result["misrouted"] if row["misrouted"] and row["pixel_ap_lost"] is not None]
    worst = max(hit, key=lambda row: row["pixel_ap_lost"], default=None)
    if worst:
        text += (
            f" Most on {worst['task']}: {worst['misrouted']} of {worst['images']} images misrouted, pixel AP "
            f"{number(worst['pixel_ap_lost'])} lost (95 % interval {_ends(worst, 'pixel_ap_lost')})."
        )
    drops = [_drop(row, result["wrong_route_cost"]) for row in result["wrong_route_cost"]
             if row["task"] != row["sent to"] and row["image_auroc"] is not None]
    if drops:
        drop, pair = max(drops)
        text += f" The dearest wrong route of a whole task, {pair}: {drop:.3f} image AUROC lost."
    return text


def _drop(row: Mapping[str, object], cost: Rows) -> tuple[float, str]:
    own = next(r for r in cost if r["task"] == r["sent to"] == row["task"])
    return own["image_auroc"] - row["image_auroc"], f"{row['task']} to {row['sent to']}"


def _with_ends(row: Mapping[str, object], key: str) -> str:
    ends = _ends(row, key)
    return number(row[key]) + (f" ({ends})" if ends else "")


def _row(rows: Rows, kind: str) -> Mapping[str, object]:
    return next(row for row in rows if row["variant"] == kind)


def _ends(row: Mapping[str, object], key: str, share: bool = False) -> str | None:
    """Both ends of an interval as text; None where it is undefined."""
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    if low is None:
        return None
    return f"{percent(low)} to {percent(high)}" if share else f"{low:.3f} to {high:.3f}"
