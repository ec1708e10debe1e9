"""Which notebooks there are, and which of them a run takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from moleflow_lib.errors import NotebookError

__all__ = ["NOTEBOOKS", "available_notebooks", "measures"]

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"


def available_notebooks(chosen: Sequence[str] = ()) -> list[Path]:
    """The notebooks to run, in order.

    Args:
        chosen: their numbers or names (`01`, `03_continual_tasks`); empty means all but number 00, which
            explains and measures nothing.

    Raises:
        NotebookError: one is unknown, or the notebooks are not beside the package.
    """
    books = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not books:
        raise NotebookError(
            f"expected the notebooks in {NOTEBOOKS}, found none; install the package with pip install -e ."
        )
    unknown = [name for name in chosen if not any(_named(book, name) for book in books)]
    if unknown:
        raise NotebookError(
            f"no notebook {', '.join(unknown)}; there are {', '.join(book.stem for book in books)}"
        )
    if not chosen:
        return [book for book in books if measures(book)]
    return [book for book in books if any(_named(book, name) for name in chosen)]


def measures(book: Path) -> bool:
    """Whether a notebook answers a question with numbers; number 00 explains.

    >>> measures(Path("00_quickstart.ipynb")), measures(Path("03_continual_tasks.ipynb"))
    (False, True)
    """
    return not _named(book, "00")


def _named(book: Path, name: str) -> bool:
    return book.stem == name or book.stem.split("_")[0] == name.zfill(2)
