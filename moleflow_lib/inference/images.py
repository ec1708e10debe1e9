"""Images to be scored, from wherever they come: folders, files, Pillow images, arrays.

They are read on a few threads, a batch ahead of the network. What cannot be read is an entry with an error
and stops nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from moleflow_lib.datasets import IMAGE_SUFFIXES, load_image
from moleflow_lib.datasets.geometry import fit_square
from moleflow_lib.datasets.images import read_picture
from moleflow_lib.errors import DataError
from moleflow_lib.runtime import progress

__all__ = ["Geometry", "Images", "NamedImage", "ReadImage", "named_images", "read_batches"]

_DECODERS = 4


@dataclass(frozen=True, kw_only=True)
class NamedImage:
    """An image to be read, under the name that its result carries."""

    name: str
    source: str | Path | Image.Image | np.ndarray


ImageLike = NamedImage | str | Path | Image.Image | np.ndarray
Images = ImageLike | Iterable[ImageLike]


@dataclass(frozen=True, kw_only=True)
class ReadImage:
    """An image as the backbone sees it (S, S, 3) uint8, or why it cannot be read."""

    name: str
    pixels: np.ndarray | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How images become square, as in training; see `load_image`."""

    size: int
    resize: str
    interpolation: str


def named_images(images: Images) -> Iterable[NamedImage]:
    """Name everything that is to be scored; folders are searched with their subfolders, in order of path.

    In one folder images are named by their path within it; where several things are given, by their whole
    path.

    Args:
        images: a folder, a file, a Pillow image, an array (H, W), (H, W, 3) or a batch (N, H, W, 3) of uint8,
            or any iterable of these, named before or not; a generator is consumed as images are scored.

    Returns:
        A list, or a generator where a generator was given.

    Raises:
        DataError: the one path given does not exist, or a folder holds no image.

    >>> [image.name for image in named_images([np.zeros((4, 4), np.uint8), "photos/a.png"])]
    ['image 0', 'photos/a.png']
    """
    if isinstance(images, (str, Path)):
        if not Path(images).exists():
            raise DataError(f"expected a folder of images or an image file at {images}, found nothing there")
        folder = Path(images)
        return [
            NamedImage(
                name=path.relative_to(folder).as_posix() if folder != path else str(images), source=path
            )
            for path in _files(folder)
        ]
    if isinstance(images, (Image.Image, NamedImage)) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return list(_named(images, 0))
    lazy = (one for position, source in enumerate(images) for one in _named(source, position))
    return lazy if isinstance(images, Iterator) else list(lazy)


def read_batches(
    images: Iterable[NamedImage], geometry: Geometry, batch_size: int
) -> Iterator[list[ReadImage]]:
    """Read images batch by batch, one batch ahead; at most two batches are in memory.

    Args:
        images: from `named_images`.
        geometry: how they become square.
        batch_size: images a batch.
    """
    total = len(images) if isinstance(images, list) else None
    waiting = iter(images)
    with ThreadPoolExecutor(_DECODERS) as pool, progress((), "scoring", total=total, unit="image") as bar:

        def load() -> list[Future]:
            return [pool.submit(_read, image, geometry) for image in islice(waiting, batch_size)]

        ahead = load()
        while ahead:
            batch = ahead
            ahead = load()
            read = [future.result() for future in batch]
            bar.update(len(batch))
            yield read


def _named(source: ImageLike, position: int) -> Iterator[NamedImage]:
    if isinstance(source, NamedImage):
        yield source
    elif not isinstance(source, (str, Path)):
        name = Path(getattr(source, "filename", "") or "").name or f"image {position}"
        yield NamedImage(name=name, source=source)
    else:
        yield from (NamedImage(name=str(path), source=path) for path in _files(Path(source)))


def _files(folder: Path) -> list[Path]:
    """Image files below a folder, or the one file; hidden files and folders are nobody's business."""
    if not folder.is_dir():
        return [folder]
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(
            f"{folder} holds no image ({kinds}), nor does any folder in it; give the folder of the photos"
        )
    return found


def _read(image: NamedImage, geometry: Geometry) -> ReadImage:
    try:
        return ReadImage(name=image.name, pixels=_square(image, geometry))
    except Exception as error:  # Pillow's plugins raise a dozen kinds; one bad image must not stop the rest
        return ReadImage(name=image.name, error=str(error) or type(error).__name__)


def _square(image: NamedImage, geometry: Geometry) -> np.ndarray:
    source = image.source
    if isinstance(source, Path):
        return load_image(source, geometry.size, geometry.resize, geometry.interpolation)
    picture = source if isinstance(source, Image.Image) else _picture(source)
    resampling = Image.Resampling[geometry.interpolation.upper()]
    upright = read_picture(picture, image.name)
    return np.asarray(fit_square(upright, geometry.size, geometry.resize, resampling))


def _picture(pixels: object) -> Image.Image:
    if not isinstance(pixels, np.ndarray):
        raise DataError(f"expected a path, a Pillow image or a uint8 array, got {type(pixels).__name__}")
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not shaped or not pixels.size:
        raise DataError(
            f"expected an array (H, W), (H, W, 3) or (H, W, 4) of uint8, got {pixels.shape} of "
            f"{pixels.dtype}; scale values to 0 … 255 and convert them"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))
