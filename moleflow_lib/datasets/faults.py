"""What is wrong with a dataset folder: one fault, one line, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moleflow_lib.datasets.names import shown
from moleflow_lib.datasets.unused_files import Unused, left_out, reason_text
from moleflow_lib.errors import DataError, counted, problem_list

__all__ = ["ERROR", "NOTE", "Fault", "FaultLog", "file_name", "raise_errors", "stray"]

ERROR = "error"  # the data would fail to load, or give wrong numbers without a word
NOTE = "note"  # worth knowing; nothing has to be done


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One line of the table of problems; names of foreign bytes or control characters are escaped.

    >>> print(Fault(kind="mask-missing", product="bottle", file="test/crack/000.png",
    ...             what="has no mask", todo="add it or remove the image"))
    bottle: test/crack/000.png has no mask; add it or remove the image
    """

    kind: str  # stable name of the sort of fault, e.g. "mask-missing"
    product: str  # product class, or "" when the fault is the folder's
    file: str  # path inside the product folder, or "" when the fault is the product's
    what: str
    todo: str
    severity: str = ERROR

    def __post_init__(self) -> None:
        for name in ("product", "file", "what"):
            object.__setattr__(self, name, shown(getattr(self, name)))

    def __str__(self) -> str:
        text = " ".join(part for part in (self.file, self.what) if part)
        return f"{self.product}: {text}; {self.todo}" if self.product else f"{text}; {self.todo}"

    def to_dict(self) -> dict[str, str]:
        """All fields, as plain JSON values."""
        return asdict(self)


@dataclass
class FaultLog:
    """Collects the faults of one product, so that all of them can be told at once."""

    product: str
    folder: Path
    faults: list[Fault] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)  # files that no record uses

    def error(self, kind: str, path: Path | None, what: str, todo: str) -> None:
        """Note something that makes the data fail or lie."""
        self._add(kind, path, what, todo, ERROR)

    def note(self, kind: str, path: Path | None, what: str, todo: str) -> None:
        """Note something worth knowing."""
        self._add(kind, path, what, todo, NOTE)

    def fresh(self) -> FaultLog:
        """An empty log of the same product, for one thread."""
        return FaultLog(self.product, self.folder)

    def leave_out(self, paths: Iterable[Path]) -> None:
        """Note files and folders that nothing uses, and count what is in them."""
        for path in sorted(paths):
            unused = left_out(path)
            self.unused += unused
            self.faults.append(stray(self.product, file_name(path, self.folder), path, unused))

    def _add(self, kind: str, path: Path | None, what: str, todo: str, severity: str) -> None:
        file = "" if path is None else file_name(path, self.folder)
        fault = Fault(kind=kind, product=self.product, file=file, what=what, todo=todo, severity=severity)
        self.faults.append(fault)


def stray(product: str, file: str, path: Path, unused: Iterable[Unused]) -> Fault:
    """The note of one file or folder that nothing uses."""
    what, todo = reason_text(path, tuple(unused))
    return Fault(kind="stray", product=product, file=file, what=what, todo=todo, severity=NOTE)


def file_name(path: Path, folder: Path) -> str:
    """The path as seen from a folder, with forward slashes, as it is shown; whole if it lies elsewhere."""
    return shown(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix())


def raise_errors(root: Path, faults: Iterable[Fault]) -> None:
    """Raise every fault that is an error, all in one message.

    Raises:
        DataError: at least one fault is an error.
    """
    errors = [str(fault) for fault in faults if fault.severity == ERROR]
    if errors:
        raise DataError(problem_list(f"{counted(len(errors), 'problem')} in {shown(str(root))}:", errors))
