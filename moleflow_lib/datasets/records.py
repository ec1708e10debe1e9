"""Products, their images, and the tasks they form: the one interface every dataset is read through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moleflow_lib.datasets.names import same_name
from moleflow_lib.datasets.unused_files import Unused
from moleflow_lib.errors import DataError, problem_list

__all__ = ["GOOD", "UNLABELLED", "Product", "Record", "Task", "make_tasks", "task_order"]

GOOD = "good"  # the folder of normal images
UNLABELLED = "unlabelled"  # images to score that have no label


@dataclass(frozen=True, kw_only=True)
class Record:
    """One image: where it lies, what it shows, and the mask of its defect, if any."""

    product: str
    split: str  # "train" or "test"
    defect: str  # "good", the name of the defect folder, or "unlabelled"
    image: Path
    mask: Path | None = None

    @property
    def label(self) -> int | None:
        """0 for a normal image, 1 for a defective one, None without a label."""
        if self.defect == UNLABELLED:
            return None
        return int(self.defect != GOOD)


@dataclass(frozen=True, kw_only=True)
class Product:
    """All records of one product class."""

    name: str
    train: tuple[Record, ...]
    test: tuple[Record, ...]
    unused: tuple[Unused, ...] = ()  # files in its folder that no record uses

    @property
    def has_masks(self) -> bool:
        """Whether defects are marked pixel by pixel; if not, pixel metrics are undefined."""
        return any(record.mask is not None for record in self.test)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What arrives at one moment of the continual sequence: one product, or several at once."""

    index: int
    name: str
    products: tuple[Product, ...]

    @property
    def train(self) -> tuple[Record, ...]:
        """Training records of all its products, in order."""
        return tuple(record for product in self.products for record in product.train)

    @property
    def test(self) -> tuple[Record, ...]:
        """Test records of all its products, in order."""
        return tuple(record for product in self.products for record in product.test)


def task_order(source: str | Path | Sequence[str | Sequence[str]]) -> tuple[str, ...]:
    """Read a task order: one entry a task, classes that arrive together joined by `+`.

    Args:
        source: a list of names or of lists of names, or a text file with one task a line, its
            classes joined by `+` or commas; `#` starts a comment. Names that look alike are equal,
            however their accents are composed.

    Raises:
        DataError: the file cannot be read or names no class, or an entry is empty.

    >>> task_order(["bottle", ["cable", "capsule"]])
    ('bottle', 'cable+capsule')
    """
    if isinstance(source, (str, Path)):
        entries = _lines(Path(source))
    else:
        entries = [entry.split("+") if isinstance(entry, str) else list(entry) for entry in source]
    cleaned = [[same_name(name.strip()) for name in entry] for entry in entries]
    if not cleaned or not all(name for entry in cleaned for name in entry) or not all(cleaned):
        raise DataError(
            f"expected one task an entry, class names joined by +; got an empty name in {source!r}"
        )
    return tuple("+".join(entry) for entry in cleaned)


def _lines(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected a text file with one task a line at {path}, got {error}") from error
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [line.replace(",", "+").split("+") for line in lines if line]


def make_tasks(products: Sequence[Product], names: Sequence[str | Sequence[str]] = ()) -> tuple[Task, ...]:
    """Group products into the sequence of tasks.

    Args:
        products: what `open_dataset` returned.
        names: one entry a task, a product name or several joined by `+` (or a list of them);
            empty means one task a product, in the order given.

    Raises:
        DataError: a name is unknown or appears twice, all of them in one message.
    """
    by_name = {product.name: product for product in products}
    entries = task_order(names) if names else tuple(by_name)
    problems = _order_problems(entries, by_name)
    if problems:
        raise DataError(problem_list("the task order does not fit the products:", problems))
    return tuple(
        Task(index=index, name=entry, products=tuple(by_name[name] for name in entry.split("+")))
        for index, entry in enumerate(entries)
    )


def _order_problems(entries: Sequence[str], by_name: Mapping[str, Product]) -> list[str]:
    counts = Counter(name for entry in entries for name in entry.split("+"))
    unknown = [
        f"{name}: no such product; found: {', '.join(by_name)}" for name in counts if name not in by_name
    ]
    twice = [
        f"{name}: named {count} times; a product arrives once" for name, count in counts.items() if count > 1
    ]
    return unknown + twice
