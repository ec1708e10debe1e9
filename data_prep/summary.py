"""What a dataset holds: a table of its products, and a page with the contact sheet."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from data_prep.page import html_page, html_table, text_table
from data_prep.publishers import published_counts
from moleflow_lib.datasets.geometry import cut_defects
from moleflow_lib.datasets.images import image_size
from moleflow_lib.datasets.names import shown
from moleflow_lib.datasets.records import Product

__all__ = ["summary_html", "summary_rows", "summary_text"]

_HEADERS = (
    "class",
    "train",
    "test good",
    "defective",
    "unlabelled",
    "defects",
    "masks",
    "pixels",
    "not used",
    "cropped",
    "as published",
)
_CAPTION = (
    "Each row is one product: normal training images, then test images by defect, whole and unstretched. "
    "The outline is the edge of the mask; look for outlines that miss what you see, and for "
    "defects without one."
)
_COLUMNS = (
    "not used: images that no split takes, by their place or format. cropped: defects that lose pixels "
    "under resize=crop. as published: whether the three counts agree with the "
    "publisher's. Pixel metrics exist only for products with masks."
)


def summary_rows(products: Sequence[Product]) -> list[tuple[object, ...]]:
    """One row a product, in the columns of the table.

    Raises:
        DataError: a file cannot be read.
    """
    published = published_counts(product.name for product in products)
    return [_row(product, published.get(product.name)) for product in products]


def summary_text(rows: Sequence[Sequence[object]]) -> str:
    """The table for the terminal, and what its columns mean."""
    return f"{text_table(_HEADERS, rows, 30)}\n\n{_COLUMNS}"


def summary_html(root: Path, rows: Sequence[Sequence[object]], sheet: Image.Image) -> str:
    """One self-contained page: the table and the contact sheet."""
    memory = io.BytesIO()
    sheet.save(memory, format="PNG", optimize=True)
    picture = base64.b64encode(memory.getvalue()).decode()
    body = (
        f"{html_table(_HEADERS, rows)}\n<p>{html.escape(_COLUMNS)}</p>\n<figure>"
        f'<img alt="contact sheet" src="data:image/png;base64,{picture}">'
        f"<figcaption>{html.escape(_CAPTION)}</figcaption></figure>"
    )
    return html_page(f"Dataset {shown(root.resolve().name)}", body)


def _row(product: Product, published: tuple[int, int, int] | None) -> tuple[object, ...]:
    labels = Counter(record.label for record in product.test)
    defects = Counter(record.defect for record in product.test if record.label)
    counted = (len(product.train), labels[0], labels[1])
    return (
        product.name,
        *counted,
        labels[None],
        ", ".join(f"{name} {count}" for name, count in sorted(defects.items())) or "none",
        "pixel" if product.has_masks else "image labels only" if labels[1] else "none",
        _sizes(product),
        sum(one.is_image for one in product.unused),
        sum(cut.lost > 0 for cut in cut_defects(product.test, 224, "crop")),
        "not known"
        if published is None
        else "yes"
        if published == counted
        else "no: {}/{}/{}".format(*published),
    )


def _sizes(product: Product) -> str:
    sizes = {image_size(record.image) for record in (*product.train, *product.test)}
    smallest = min(sizes, key=_area)
    largest = max(sizes, key=_area)
    text = "{}x{}".format(*smallest)
    return text if len(sizes) == 1 else "{} … {}x{} ({} sizes)".format(text, *largest, len(sizes))


def _area(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return size[0] * size[1], size
