"""One picture of a dataset: for each product normal images, and defective ones with their mask's outline."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from moleflow_lib.datasets.images import read_image, read_mask
from moleflow_lib.datasets.records import Product, Record
from moleflow_lib.storage.disk import write_bytes

__all__ = ["contact_sheet", "outlined", "save_png"]

_THUMB = 144  # side of a picture in pixels
_GAP = 8
_LABEL = 18  # height of a caption in pixels
_NAMES = 130  # width of the product names in pixels
_OUTLINE = (213, 94, 0)  # vermillion, told apart by colour-blind readers
_INK = (27, 31, 35)
_PAPER = (255, 255, 255)


def contact_sheet(products: Sequence[Product], normal: int = 3, defective: int = 5) -> Image.Image:
    """Draw one row a product.

    Args:
        products: what to show, in order.
        normal: how many normal training images.
        defective: how many test images, spread over the defects; unlabelled where there are none.

    Raises:
        DataError: a file that is to be shown cannot be read.
    """
    step = _THUMB + _GAP
    width = _NAMES + (normal + defective) * step + _GAP
    height = len(products) * (step + _LABEL) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, product in enumerate(products):
        top = _GAP + row * (step + _LABEL)
        pen.text((_GAP, top + _THUMB // 2), product.name, fill=_INK, font=font)
        shown = [*_spread(product.train, normal), *_varied(_interesting(product), defective)]
        for column, record in enumerate(shown):
            left = _NAMES + column * step
            sheet.paste(outlined(record, _THUMB), (left, top))
            caption = "normal" if record.label == 0 else record.defect
            pen.text((left, top + _THUMB + 2), caption[:22], fill=_INK, font=font)
    return sheet


def outlined(record: Record, size: int) -> Image.Image:
    """The whole image on a white square, with the outline of its mask, if it has one.

    Raises:
        DataError: the image or its mask cannot be read.
    """
    image = ImageOps.pad(read_image(record.image), (size, size), color=_PAPER)
    if record.mask is None:
        return image
    mask = Image.fromarray(read_mask(record.mask).astype(np.uint8) * 255)
    small = ImageOps.pad(mask, (size, size), method=Image.Resampling.BOX).point([0] + [255] * 255)
    outer = small.filter(ImageFilter.MaxFilter(5))
    edge = Image.fromarray(np.asarray(outer) - np.asarray(small))
    image.paste(_OUTLINE, mask=edge)
    return image


def _interesting(product: Product) -> list[Record]:
    """Defective test images, or what there is instead."""
    return [record for record in product.test if record.label] or [
        record for record in product.test if record.label is None
    ]


def _spread(records: Sequence[Record], count: int) -> list[Record]:
    """Some records at even steps through all."""
    if len(records) <= count:
        return list(records)
    return [records[index * len(records) // count] for index in range(count)]


def _varied(records: Sequence[Record], count: int) -> list[Record]:
    """Some records, every defect having its turn."""
    kinds = {record.defect: [r for r in records if r.defect == record.defect] for record in records}
    turns = max((len(kind) for kind in kinds.values()), default=0)
    in_turn = [kind[turn] for turn in range(turns) for kind in kinds.values() if turn < len(kind)]
    return in_turn[:count]


def save_png(sheet: Image.Image, path: Path) -> None:
    """Write the sheet as PNG, making its folder.

    Raises:
        DiskError: it cannot be written there.
    """
    memory = io.BytesIO()
    sheet.save(memory, format="PNG", optimize=True)
    write_bytes(path, memory.getvalue())
