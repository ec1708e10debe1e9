"""The order of tasks that a run's folder began with: products that are added come after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.errors import ArtifactError, ConfigError
from moleflow_lib.storage.disk import read_json, write_json

__all__ = ["record_order", "settled_order"]

_FILE = "sequence.json"


def settled_order(store: Path, products: Sequence[str]) -> tuple[str, ...]:
    """All products as tasks: those of earlier runs in their order, then the others as they come.

    Everything rests on the base task, so a folder that sorts first must not become it without being asked to.

    Args:
        store: of the run's folder.
        products: names of all products that are there, in alphabetical order.

    Raises:
        ConfigError: the base task of earlier runs is not there any more.
        ArtifactError: the record is damaged.
    """
    known = _recorded(store)
    kept = [task for task in known if set(task.split("+")) <= set(products)]
    if known and kept[:1] != known[:1]:
        raise ConfigError(
            f"{store.parent} began with the base task {known[0]}, which the dataset does not hold "
            f"({', '.join(products)}). Bring it back, name the order you want "
            "with classes, or give another folder"
        )
    named = {name for task in kept for name in task.split("+")}
    return (*kept, *(name for name in products if name not in named))


def record_order(store: Path, tasks: Sequence[str], replace: bool) -> None:
    """Note the order of tasks that a folder begins with.

    Args:
        store: of the run's folder.
        tasks: their names.
        replace: whether an order that is noted already gives way; it does not to one named for a run.

    Raises:
        DiskError: it cannot be written.
    """
    known = _recorded(store)
    if known == list(tasks) or (known and not replace):
        return
    write_json(store / _FILE, {"tasks": list(tasks)})


def _recorded(store: Path) -> list[str]:
    path = store / _FILE
    if not path.is_file():
        return []
    tasks = read_json(path).get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, str) and task for task in tasks):
        raise ArtifactError(f"{path} is damaged: expected a list of names of tasks; delete it and run again")
    return tasks
