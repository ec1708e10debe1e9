"""ELPV's solar cells as two products, from the PyPI package that installs them; nothing is downloaded here.

Normal is probability 0, defective is 1; what people were unsure of, 1/3 and 2/3, is left out. Normal cells
are ordered by the SHA-256 of their file names, the first four fifths of a product are for training. There
are no masks. Cells of one solar module may be on both sides: the package does not say which module a cell
is from.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from moleflow_lib.errors import DataError
from moleflow_lib.storage.disk import write_json

__all__ = ["MANIFEST", "MODULE", "Cell", "arranged", "lay_out_elpv", "read_cells"]

MODULE = "elpv_dataset"
MANIFEST = "dataset.json"
_PRODUCTS = {"mono": "solar_mono", "poly": "solar_poly"}
_TRAIN_SHARE = 0.8


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image of a solar cell."""

    image: Path
    probability: float  # that it is defective, as people judged: 0, 1/3, 2/3 or 1
    kind: str  # mono | poly


def lay_out_elpv(into: Path, limits: Mapping[str, int] | None = None) -> dict[str, dict[str, int]]:
    """Copy the cells into `<product>/train/good`, `test/good` and `test/defective`, whole or not at all.

    Args:
        into: folder to make; may be the same arrangement, made before.
        limits: most images of `train/good`, `test/good` and `test/defective` a product; all if left out.

    Returns:
        Images of each product by folder.

    Raises:
        DataError: the package is not installed or damaged, or `into` holds something else.
    """
    cells = read_cells(_package())
    plan = arranged(cells, limits or {})
    counts = {product: {part: len(own) for part, own in parts.items()} for product, parts in plan.items()}
    facts = {
        "dataset": "elpv",
        "counts": counts,
        "left_out": sum(cell.probability not in (0, 1) for cell in cells),
    }
    if _is_there(into, facts):
        return counts
    draft = into.absolute().with_name(f".{into.absolute().name}.unfinished")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for product, parts in plan.items():
            for part, own in parts.items():
                folder = draft / product / part
                folder.mkdir(parents=True)
                for cell in own:
                    shutil.copyfile(cell.image, folder / cell.image.name)
        write_json(draft / MANIFEST, facts)
        if into.exists():
            into.rmdir()
        draft.rename(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return counts


def arranged(cells: Sequence[Cell], limits: Mapping[str, int]) -> dict[str, dict[str, list[Cell]]]:
    """Product → folder → cells, in the order of their hashes, those of another probability left out.

    >>> judged = [(kind, p) for kind in ("mono", "poly") for p in (0, 0, 1, 1 / 3)]
    >>> cells = [Cell(image=Path(f"{n}.png"), probability=p, kind=k) for n, (k, p) in enumerate(judged)]
    >>> {part: len(own) for part, own in arranged(cells, {})["solar_mono"].items()}
    {'train/good': 1, 'test/good': 1, 'test/defective': 1}
    """
    plan = {}
    for kind, product in _PRODUCTS.items():
        own = sorted((cell for cell in cells if cell.kind == kind), key=_order)
        normal = [cell for cell in own if cell.probability == 0]
        defective = [cell for cell in own if cell.probability == 1]
        cut = int(_TRAIN_SHARE * len(normal))
        parts = {"train/good": normal[:cut], "test/good": normal[cut:], "test/defective": defective}
        if lacking := [part for part, found in parts.items() if not found]:
            raise DataError(f"{product}: expected images for {', '.join(lacking)}, found none in the labels")
        plan[product] = {part: found[: limits.get(part)] for part, found in parts.items()}
    return plan


def read_cells(package: Path) -> list[Cell]:
    """Every cell that the package's `data/labels.csv` names: path, probability and kind, between spaces.

    Raises:
        DataError: a line is malformed or its image is missing; all such lines in one message.
    """
    table = package / "data" / "labels.csv"
    if not table.is_file():
        raise DataError(f"expected {table}, found no file; pip install --force-reinstall elpv-dataset")
    cells, problems = [], []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            try:
                cells.append(_cell(line, table.parent))
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(
            f"{table}: {'; '.join(problems[:5])}{more}; pip install --force-reinstall elpv-dataset"
        )
    return cells


def _cell(line: str, folder: Path) -> Cell:
    words = line.split()
    if len(words) != 3:
        raise ValueError(f"expected path, probability and kind, found {line.strip()!r}")
    name, number, kind = words
    probability = float(number)
    image = folder / name
    if kind not in _PRODUCTS or not (math.isfinite(probability) and 0 <= probability <= 1):
        raise ValueError(f"expected a probability and mono or poly, found {number} and {kind}")
    if not image.is_file() or folder.resolve() not in image.resolve().parents:
        raise ValueError(f"no image {name}")
    return Cell(image=image, probability=probability, kind=kind)


def _order(cell: Cell) -> str:
    return hashlib.sha256(cell.image.name.encode()).hexdigest()


def _package() -> Path:
    spec = find_spec(MODULE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "expected the package elpv-dataset, found none; pip install 'moleflow-notebooks[real]' (90 MB)"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _is_there(into: Path, facts: Mapping[str, object]) -> bool:
    """Whether `into` is this very arrangement; refused if it is anything else but absent or empty."""
    if not into.exists() or (into.is_dir() and not any(into.iterdir())):
        return False
    try:
        if json.loads((into / MANIFEST).read_bytes()) == facts:
            return True
    except (OSError, ValueError):
        pass
    raise DataError(
        f"{into} holds something else; expected a new or empty folder, or the same cells: give another --into"
    )
