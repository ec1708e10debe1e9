"""Product images on disk, as records that pair every image with its own mask by name.

One product is one folder in MVTec AD's layout::

    <product>/train/good/*.png
    <product>/test/good/*.png            normal test images
    <product>/test/<defect>/*.png        defective test images
    <product>/ground_truth/<defect>/<stem>_mask.png   (or <stem>.png)

A product without any `ground_truth` folder is image-level: its pixel metrics are undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from moleflow_lib.errors import DataError, problem_list

__all__ = ["IMAGE_SUFFIXES", "Product", "Record", "Task", "load_image", "load_mask", "make_tasks", "open_dataset"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, kw_only=True)
class Record:
    """One image: where it lies, what it shows, and the mask of its defect, if any."""

    product: str
    split: str  # "train" or "test"
    defect: str  # "good" or the name of the defect folder
    image: Path
    mask: Path | None = None

    @property
    def is_anomalous(self) -> bool:
        """Whether the image shows a defect."""
        return self.defect != "good"


@dataclass(frozen=True, kw_only=True)
class Product:
    """All records of one product class."""

    name: str
    train: tuple[Record, ...]
    test: tuple[Record, ...]

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


def open_dataset(root: str | Path, classes: Sequence[str] = ()) -> tuple[Product, ...]:
    """Read the products below a folder.

    Args:
        root: folder that holds one folder a product.
        classes: product names in the order wanted; empty means all, in alphabetical order.

    Returns:
        One `Product` a class, records sorted by path.

    Raises:
        DataError: the folder is missing or a product is unusable; all problems in one message.
    """
    root = Path(root)
    found = sorted(path.name for path in root.iterdir() if (path / "train").is_dir()) if root.is_dir() else []
    if not found:
        raise DataError(
            f"expected product folders with train/good and test/… below {root}, found none; "
            "give the folder that holds the products with --dataset-root"
        )
    names = list(classes) or found
    problems = [f"{name}: no such product; found: {', '.join(found)}" for name in names if name not in found]
    products = []
    for name in names:
        if name in found:
            product, faults = _scan_product(root / name)
            products.append(product)
            problems += [f"{name}: {fault}" for fault in faults]
    if problems:
        raise DataError(problem_list(f"{len(problems)} problem(s) in {root}:", problems))
    return tuple(products)


def make_tasks(products: Sequence[Product], names: Sequence[str] = ()) -> tuple[Task, ...]:
    """Group products into the sequence of tasks.

    Args:
        products: what `open_dataset` returned.
        names: one entry a task, a product name or several joined by `+`; empty means one task a product.
    """
    by_name = {product.name: product for product in products}
    entries = list(names) or list(by_name)
    return tuple(
        Task(index=i, name=entry, products=tuple(by_name[name] for name in entry.split("+")))
        for i, entry in enumerate(entries)
    )


def load_image(path: Path, size: int, resize: str = "resize", interpolation: str = "bicubic") -> np.ndarray:
    """Read an image as RGB at the network's input size.

    Args:
        path: image file of any mode; grey becomes three equal channels.
        size: side of the square output in pixels.
        resize: `resize` squeezes to a square, `crop` scales the short side and cuts the centre,
            `pad` scales the long side and pads with the edge colour.
        interpolation: `bilinear`, `bicubic`, `lanczos` or `nearest`.

    Returns:
        (size, size, 3) uint8.

    Raises:
        DataError: the file cannot be read as an image.
    """
    return np.asarray(_fit(_read(path).convert("RGB"), size, resize, _FILTERS[interpolation]))


def load_mask(path: Path, size: int, resize: str = "resize") -> np.ndarray:
    """Read a defect mask at the evaluation size: `> 0` is defect, resized by nearest neighbour.

    Returns:
        (size, size) bool.

    Raises:
        DataError: the file cannot be read as an image.
    """
    mask = np.asarray(_read(path))
    mask = (mask.reshape(*mask.shape[:2], -1)[..., :3] > 0).any(axis=-1)
    return np.asarray(_fit(Image.fromarray(mask), size, resize, _FILTERS["nearest"]))


def _scan_product(folder: Path) -> tuple[Product, list[str]]:
    """Read one product folder; faults are collected, not raised."""
    name = folder.name
    train = [Record(product=name, split="train", defect="good", image=p) for p in _images(folder / "train" / "good")]
    test: list[Record] = []
    faults: list[str] = []
    truth = folder / "ground_truth"
    for defect_dir in sorted(path for path in (folder / "test").glob("*") if path.is_dir()):
        masks = {path.stem.removesuffix("_mask"): path for path in _images(truth / defect_dir.name)}
        for image in _images(defect_dir):
            mask = masks.get(image.stem) if defect_dir.name != "good" else None
            if truth.is_dir() and defect_dir.name != "good" and mask is None:
                faults.append(f"{image.relative_to(folder)} has no mask in ground_truth/{defect_dir.name}")
            test.append(Record(product=name, split="test", defect=defect_dir.name, image=image, mask=mask))
    if not train:
        faults.append("no training images in train/good; expected normal images there")
    if not test:
        faults.append("no test images; expected test/good and test/<defect>")
    faults += _file_faults(folder, [*train, *test])
    return Product(name=name, train=tuple(train), test=tuple(test)), faults


def _file_faults(folder: Path, records: Sequence[Record]) -> list[str]:
    """Headers that cannot be read, and masks of another size than their image."""
    faults = []
    for record in records:
        try:
            with Image.open(record.image) as image:
                size = image.size
            if record.mask is not None:
                with Image.open(record.mask) as mask:
                    if mask.size != size:
                        faults.append(
                            f"{record.mask.relative_to(folder)} is {mask.size[0]}x{mask.size[1]}, "
                            f"its image is {size[0]}x{size[1]}; masks must have the image's size"
                        )
        except (OSError, UnidentifiedImageError) as error:
            faults.append(f"{record.image.relative_to(folder)} or its mask is not a readable image ({error})")
    return faults


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f"{path} is not a readable image ({error}); replace or remove it") from error


def _fit(image: Image.Image, size: int, resize: str, resampling: Image.Resampling) -> Image.Image:
    """Bring an image to a square under the named policy, the same geometry for image and mask."""
    width, height = image.size
    if resize == "resize":
        return image.resize((size, size), resampling)
    scale = size / (min if resize == "crop" else max)(width, height)
    image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), resampling)
    width, height = image.size
    left, top = (width - size) // 2, (height - size) // 2
    if resize == "crop":
        return image.crop((left, top, left + size, top + size))
    before, after = (-top, -left), (size - height + top, size - width + left)
    pixels = np.asarray(image)
    padding = [(before[0], after[0]), (before[1], after[1])] + [(0, 0)] * (pixels.ndim - 2)
    return Image.fromarray(np.pad(pixels, padding, mode="constant" if pixels.dtype == bool else "edge"))
