"""A cache of values computed from tensors, such as merged weights; what a task keeps is `TaskParts`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch

__all__ = ["TASKS_KEPT", "TensorCache"]

TASKS_KEPT = 16  # tasks whose values stay in memory; the one used longest ago goes first

Made = TypeVar("Made")


class TensorCache(Generic[Made]):
    """Values made from tensors, for the tasks used last; made anew once one of the tensors has changed.

    A change is what autograd counts as one: another tensor, or an operation in place, such as an optimiser's
    step or `load_state_dict`. What is written through `.data` is not seen.

    >>> kept, source = TensorCache(), torch.ones(2)
    >>> first = kept([source], lambda: source.sum())
    >>> _ = source.add_(1)
    >>> first.item(), kept([source], lambda: source.sum()).item()
    (2.0, 4.0)
    """

    def __init__(self, tasks: int = TASKS_KEPT) -> None:
        self.tasks = tasks
        self._entries: OrderedDict[tuple[int, ...], tuple[list[int], list[torch.Tensor], Made]] = (
            OrderedDict()
        )

    def __call__(self, sources: Sequence[torch.Tensor], make: Callable[[], Made]) -> Made:
        """What `make` gives for these tensors, without gradients; inference tensors count no changes, so
        nothing made of them is kept.
        """
        if any(source.is_inference() for source in sources):
            return make()
        name = tuple(map(id, sources))  # of living tensors: an entry holds its own
        versions = [source._version for source in sources]
        if name not in self._entries or self._entries[name][0] != versions:
            with torch.inference_mode(False), torch.no_grad():
                self._entries[name] = versions, list(sources), make()
        self._entries.move_to_end(name)
        if len(self._entries) > self.tasks:
            self._entries.popitem(last=False)
        return self._entries[name][2]

    def __deepcopy__(self, memo: dict[int, Any]) -> TensorCache[Made]:
        """An empty one: a copied module has tensors of its own."""
        return TensorCache(self.tasks)
