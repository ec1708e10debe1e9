"""The demo dataset: four products drawn by program, in MVTec AD's layout.

Every picture depends on the seed and its own name alone, so the order of drawing and an interruption
leave no trace.
Within each defect type the severity rises evenly with the picture's number, from hard to see to obvious.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from tqdm.std import tqdm

from data_prep.drawing.least import LEAST
from data_prep.drawing.picture import picture, spoilt_picture
from data_prep.drawing.products import PRODUCTS
from moleflow_lib.errors import ConfigError, DataError, counted, problem_list

__all__ = ["GENERATOR_VERSION", "MANIFEST", "draw_demo"]

GENERATOR_VERSION = 3  # raise it whenever a pixel changes
MANIFEST = "dataset.json"
_FEW = 100  # pictures that are drawn sooner than further processes start


@dataclass(frozen=True, kw_only=True)
class _Item:
    """One picture to draw."""

    product: str
    split: str
    defect: str
    index: int
    severity: float = 0.0

    @property
    def image(self) -> str:
        """Its path below the dataset, which is also its name for the random numbers."""
        return f"{self.product}/{self.split}/{self.defect}/{self.index:03d}.png"

    @property
    def mask(self) -> str:
        """The path of its mask."""
        return f"{self.product}/ground_truth/{self.defect}/{self.index:03d}_mask.png"


def draw_demo(
    into: Path, *, seed: int = 0, train: int = 80, test_good: int = 32, test_defect: int = 32, size: int = 256
) -> Path:
    """Draw the demo dataset, complete an interrupted drawing, or find it already there.

    The pictures are drawn into a hidden folder beside `into`, which gets its name when all is done.

    Args:
        into: folder of the dataset; must not exist, be empty, or hold this very dataset.
        seed: seed of all pictures, 0 or more.
        train: normal training pictures a product.
        test_good: normal test pictures a product.
        test_defect: defective test pictures a product, shared evenly among its defect types.
        size: side of the pictures in pixels.

    Returns:
        The folder.

    Raises:
        ConfigError: a number is out of range.
        DataError: the folder holds something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     demo = draw_demo(Path(folder) / "demo", train=1, test_good=1, test_defect=4, size=64)
    ...     sorted(path.name for path in demo.iterdir())
    ['board', 'dataset.json', 'grid', 'leather', 'nut']
    """
    into = Path(into)
    _check_numbers(seed=seed, train=train, test_good=test_good, test_defect=test_defect, size=size)
    plan = list(_plan(train, test_good, test_defect))
    manifest = _manifest(
        plan, seed=seed, train=train, test_good=test_good, test_defect=test_defect, size=size
    )
    if _is_drawn(into, manifest):
        return into
    draft = into.absolute().with_name(f".{into.absolute().name}.drawing")
    _prepare(draft, manifest)
    missing = [item for item in plan if not (draft / item.image).exists()]
    drawn = joblib.Parallel(n_jobs=1 if len(missing) < _FEW else -1, return_as="generator_unordered")(
        joblib.delayed(_draw_item)(item, draft, seed, size) for item in missing
    )
    done = len(plan) - len(missing)
    with tqdm(total=len(plan), initial=done, desc="drawing the demo products", unit="picture") as shown:
        for _ in drawn:
            shown.update()
    if into.exists():
        into.rmdir()
    draft.rename(into)
    return into


def _check_numbers(**numbers: int) -> None:
    problems = [
        f"{name} must be {LEAST[name]} or more, not {value}"
        for name, value in numbers.items()
        if value < LEAST[name]
    ]
    if problems:
        raise ConfigError(
            problem_list(f"{counted(len(problems), 'problem')} with the demo dataset asked for:", problems)
        )


def _plan(train: int, test_good: int, test_defect: int) -> Iterator[_Item]:
    """All pictures, product by product."""
    for name, product in PRODUCTS.items():
        yield from (_Item(product=name, split="train", defect="good", index=k) for k in range(train))
        yield from (_Item(product=name, split="test", defect="good", index=k) for k in range(test_good))
        for place, defect in enumerate(product.defects):
            count = (test_defect - place - 1) // len(product.defects) + 1
            for k in range(count):
                yield _Item(product=name, split="test", defect=defect, index=k, severity=(k + 0.5) / count)


def _manifest(plan: list[_Item], **numbers: int) -> dict[str, object]:
    """What the dataset is, as stored beside it."""
    folders: dict[str, dict[str, int]] = {name: {} for name in PRODUCTS}
    for item in plan:
        counts = folders[item.product]
        folder = f"{item.split}/{item.defect}"
        counts[folder] = counts.get(folder, 0) + 1
    about = {
        "name": "demo",
        "licence": "CC0-1.0",
        "generator": "data_prep.draw",
        "generator_version": GENERATOR_VERSION,
    }
    return {**about, **numbers, "products": folders}


def _is_drawn(into: Path, manifest: dict[str, object]) -> bool:
    """Whether the folder holds this very dataset; False if there is nothing yet."""
    if not into.exists() or (into.is_dir() and not any(into.iterdir())):
        return False
    found = _read_manifest(into)
    if found is None:
        raise DataError(
            f"expected {into} to be new, empty, or a drawn demo dataset with its {MANIFEST}; "
            "it holds something else; choose another folder"
        )
    differing = [name for name in manifest if found.get(name) != manifest[name]]
    if differing:
        wanted = [f"{name}: there {found.get(name)}, asked for {manifest[name]}" for name in differing]
        headline = f"{into} holds another demo dataset; remove it or choose another folder:"
        raise DataError(problem_list(headline, wanted))
    return True


def _read_manifest(folder: Path) -> dict[str, object] | None:
    """The manifest of a demo dataset, or None if the folder is not one."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("generator") == "data_prep.draw" else None


def _prepare(draft: Path, manifest: dict[str, object]) -> None:
    """Open the hidden folder: keep what the same call left there, and clear what another one left."""
    if draft.exists() and (not draft.is_dir() or any(draft.iterdir())):
        found = _read_manifest(draft) if draft.is_dir() else None
        if found is None:
            raise DataError(
                f"expected {draft} to be an interrupted drawing; it holds something else; move it away"
            )
        if found == manifest:
            return
        shutil.rmtree(draft)
    draft.mkdir(parents=True, exist_ok=True)
    scratch = draft.with_name(f"{draft.name}.json")
    scratch.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    os.replace(scratch, draft / MANIFEST)


def _draw_item(item: _Item, root: Path, seed: int, size: int) -> None:
    """Draw one picture; its mask is stored first, so that a picture is never without."""
    if item.defect == "good":
        _save(picture(item.image, item.product, seed=seed, size=size), root / item.image)
        return
    image, mask = spoilt_picture(item.image, item.product, item.defect, item.severity, seed=seed, size=size)
    _save(mask.astype(np.uint8) * 255, root / item.mask)
    _save(image, root / item.image)


def _save(pixels: np.ndarray, path: Path) -> None:
    """Store a PNG under a temporary name, then give it its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    Image.fromarray(pixels).save(scratch, format="PNG", compress_level=1)
    os.replace(scratch, path)
