"""Products that were learned twice under two names: training images that two of them hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from moleflow_lib.datasets.names import shown
from moleflow_lib.datasets.records import Product
from moleflow_lib.storage.keys import file_sha256

__all__ = ["SHARED_TODO", "shared_line", "shared_training"]

SHARED_TODO = "nothing if that is meant; else remove one of the two, since a router cannot tell them apart"


def shared_training(products: Sequence[Product]) -> dict[tuple[str, str], int]:
    """How many training images of a product are, byte by byte, training images of an earlier one.

    Only files whose size occurs in two products are read.

    Args:
        products: in order of arrival.

    Returns:
        (earlier product, later product) → images of the later one; pairs that share none are left out.

    Raises:
        DiskError: an image cannot be read.
    """
    sizes = {product.name: _sizes(product) for product in products}
    often = Counter(size for own in sizes.values() for size in set(own.values()))
    hashes = {
        name: Counter(file_sha256(path) for path, size in own.items() if often[size] > 1)
        for name, own in sizes.items()
    }
    counts = {
        (one, other): sum(n for sha256, n in hashes[other].items() if sha256 in hashes[one])
        for one, other in combinations(hashes, 2)
    }
    return {pair: count for pair, count in counts.items() if count}


def shared_line(products: Sequence[Product]) -> str:
    """What `shared_training` found, in one line; empty where products share nothing."""
    total = {product.name: len(product.train) for product in products}
    told = [
        f"{count} of {total[other]} training images of {shown(other)} are also those of {shown(one)}"
        for (one, other), count in shared_training(products).items()
    ]
    return f"{'; '.join(told)}: {SHARED_TODO}" if told else ""


def _sizes(product: Product) -> dict[Path, int]:
    images = [record.image for record in product.train]
    return {image: image.stat().st_size for image in images if image.is_file()}
