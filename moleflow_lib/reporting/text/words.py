"""Words that several notebooks use."""

from __future__ import annotations

from collections.abc import Sequence

from moleflow_lib.config import ScoreOptions
from moleflow_lib.errors import ConfigError
from moleflow_lib.reporting.definitions import definition_of
from moleflow_lib.reporting.tables import number
from moleflow_lib.studies.baselines.comparison import Estimate

__all__ = ["listed", "percent", "score_words", "title", "within"]

_PARTS = {
    "flow": "the flow's likelihood",
    "gaussian": "the whitening's Gaussian energy",
    "memory": "the distance to stored patches",
}


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def percent(share: float | None) -> str:
    """A share in percent, a dash where it is undefined.

    >>> percent(0.9876), percent(None)
    ('98.8 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f} %"


def score_words(options: ScoreOptions) -> str:
    """What maps and image scores are made of, in a sentence.

    >>> score_words(ScoreOptions())
    "Maps and image scores are made of the flow's likelihood."
    >>> score_words(ScoreOptions(image_parts=("memory",)))
    "Maps are made of the flow's likelihood; image scores of the distance to stored patches."
    """
    of_map, of_image = (
        listed([_PARTS[part] for part in parts])
        for parts in (options.score_parts, options.image_parts or options.score_parts)
    )
    if of_map == of_image:
        return f"Maps and image scores are made of {of_map}."
    return f"Maps are made of {of_map}; image scores of {of_image}."


def title(name: str) -> str:
    """What a metric or method of result files is called in prose.

    >>> title("image_auroc"), title("fine_tune")
    ('image AUROC', 'fine-tuned flow')
    """
    found = definition_of(name)
    if found is None:
        raise ConfigError(f"{name!r} has no definition; add one to moleflow_lib/reporting/definitions")
    return found.title


def within(estimate: Estimate, sign: str = "") -> str:
    """A value and its interval; `sign` "+" marks differences.

    >>> within(Estimate(value=0.5, interval=(0.25, 0.75))), within(Estimate(value=0.5, interval=None), "+")
    ('0.500 [0.250, 0.750]', '+0.500')
    """
    if estimate.value is None:
        return number(None)
    shown = f"{estimate.value:{sign}.3f}"
    return (
        f"{shown} [{estimate.interval[0]:{sign}.3f}, {estimate.interval[1]:{sign}.3f}]"
        if estimate.interval
        else shown
    )
