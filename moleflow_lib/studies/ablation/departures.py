"""Where a configuration leaves `v5_final`, why, and which variation of the plan puts each departure back."""

from __future__ import annotations

from collections.abc import Sequence

from moleflow_lib.config import ExperimentConfig
from moleflow_lib.presets import REASONS
from moleflow_lib.studies.ablation.grid import AblationRun

__all__ = ["departure_rows"]

_GROUPS = ("features", "flow", "train", "score", "router")


def departure_rows(config: ExperimentConfig, planned: Sequence[AblationRun] = ()) -> list[dict[str, object]]:
    """Every option in which a configuration differs from `v5_final`, with the reason where one is recorded.

    Backbone, image size and seed are the user's and are left out.

    Args:
        config: compared with the defaults.
        planned: the runs of an ablation.

    Returns:
        `option`, `v5_final`, `here`, `put back by` (the variation whose row shows what it is worth; empty if
        none is planned), `why`.

    >>> [row["option"] for row in departure_rows(ExperimentConfig().with_(lr=1e-3, top_k=1))]
    ['lr', 'top_k']
    """
    published = ExperimentConfig().group(*_GROUPS)
    here = config.group(*_GROUPS)
    changed = [name for name in here if here[name] != published[name] and name not in ("backbone", "seed")]
    return [_row(name, published[name], here[name], planned) for name in changed]


def _row(option: str, published: object, here: object, planned: Sequence[AblationRun]) -> dict[str, object]:
    undone = [
        run.variation for run in planned if option in run.changes and _plain(run.changes[option]) == published
    ]
    return {
        "option": option,
        "v5_final": _shown(published),
        "here": _shown(here),
        "put back by": undone[0] if undone else "",
        "why": REASONS.get(option, ""),
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
