"""Where the products of a dataset folder lie, and what is wrong with their names.

Nothing is decoded here: only names are read, so that a survey of a whole dataset is quick.
Read as they are, `<root>` being the folder that is given:

* `<root>/<product>/train/good/…`: MVTec AD, MPDD, converted VisA, one's own products;
* `<root>/1cls/<product>/train/good/…`: VisA as its publisher's script converts it;
* `<root>/split_csv/1cls.csv` beside `<root>/<product>/Data/…`: raw VisA (see `visa`);
* `<root>/train/good/…`: the folder of one single product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moleflow_lib.datasets import visa
from moleflow_lib.datasets.faults import NOTE, Fault, FaultLog
from moleflow_lib.datasets.product_folder import scan_product
from moleflow_lib.datasets.records import Product
from moleflow_lib.errors import DataError

__all__ = ["Survey", "Tree", "find_tree", "survey"]

_FIX_NAME = "rename the folder; + and , join classes in a task order"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Which layout a folder has, and where its products are."""

    layout: str  # "mvtec", "visa-converted", "visa-raw" or "single"
    base: Path  # folder the products lie in
    folders: dict[str, Path]  # product name to its folder, in alphabetical order

    def log(self, product: str) -> FaultLog:
        """An empty log for one product, naming files as seen from where its own names start."""
        return FaultLog(product, self.base if self.layout == "visa-raw" else self.folders[product])


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Every product of a dataset, and every fault its names show."""

    tree: Tree
    products: tuple[Product, ...]
    faults: tuple[Fault, ...]


def find_tree(root: str | Path) -> Tree:
    """Recognise the layout of a dataset folder.

    Raises:
        DataError: no product lies there; says what was found instead.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"expected a dataset folder at {root}, found none; give the folder that holds the products")
    if (root / "train").is_dir():
        return Tree(layout="single", base=root.resolve().parent, folders={root.resolve().name: root})
    for layout, base in (("mvtec", root), ("visa-converted", root / "1cls")):
        if folders := _products_in(base):
            return Tree(layout=layout, base=base, folders=folders)
    if (root / visa.SPLIT_FILE).is_file():
        return Tree(layout="visa-raw", base=root, folders=visa.product_folders(root))
    raise DataError(_nothing_found(root))


def survey(root: str | Path, classes: Sequence[str] = ()) -> Survey:
    """Read the names of a dataset: its products in order, and every fault.

    Args:
        root: dataset folder in any layout of this module.
        classes: product names in the order wanted; empty means all, in alphabetical order.

    Raises:
        DataError: no product lies there, or raw VisA's split file cannot be read.
    """
    tree = find_tree(root)
    names = list(classes) or list(tree.folders)
    faults = _class_faults(names, tree) + _root_strays(tree)
    known = [name for name in dict.fromkeys(names) if name in tree.folders]
    if tree.layout == "visa-raw":
        products, found = visa.scan_split(tree.base, known)
    else:
        scans = [scan_product(name, tree.folders[name]) for name in known]
        products = [product for product, _ in scans]
        found = [fault for _, log in scans for fault in log]
    return Survey(tree=tree, products=tuple(products), faults=tuple(faults + found))


def _products_in(base: Path) -> dict[str, Path]:
    if not base.is_dir():
        return {}
    folders = sorted(path for path in base.iterdir() if (path / "train").is_dir() and not path.name.startswith("."))
    return {path.name: path for path in folders}


def _class_faults(names: Sequence[str], tree: Tree) -> list[Fault]:
    faults = []
    for name in dict.fromkeys(names):
        if name not in tree.folders:
            found = ", ".join(tree.folders)
            what = f"is no product of {tree.base}, which holds {found}"
            faults.append(Fault(kind="no-product", product=name, file="", what=what, todo="correct the class list"))
        elif any(sign in name for sign in "+,#"):
            what = "has a name with +, comma or #"
            faults.append(Fault(kind="name", product=name, file="", what=what, todo=_FIX_NAME))
        if names.count(name) > 1:
            what = f"is asked for {names.count(name)} times"
            faults.append(Fault(kind="class-twice", product=name, file="", what=what, todo="name it once"))
    return faults


def _root_strays(tree: Tree) -> list[Fault]:
    """Entries beside the products that belong to no layout; hidden ones are nobody's business."""
    if tree.layout == "single":
        return []
    known = {*tree.folders, *(("split_csv",) if tree.layout == "visa-raw" else ())}
    strays = sorted(path for path in tree.base.iterdir() if path.name not in known and not path.name.startswith("."))
    return [
        Fault(
            kind="stray",
            product="",
            file=path.name + ("/" if path.is_dir() else ""),
            what="is no product folder" if path.is_dir() else "is no part of the dataset",
            todo="nothing, it is ignored",
            severity=NOTE,
        )
        for path in strays
    ]


def _nothing_found(root: Path) -> str:
    expected = f"expected <product>/train/good below {root}, or raw VisA with {visa.SPLIT_FILE}"
    children = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    inner = [path for path in children if _products_in(path) or (path / visa.SPLIT_FILE).is_file()]
    if inner:
        return f"{expected}; found products one folder deeper: give {' or '.join(map(str, inner))}"
    if any((path / "Data").is_dir() for path in children):
        return f"{expected}; found VisA's product folders but no split file: bring it from the publisher's archive"
    seen = ", ".join(path.name for path in children[:8]) or "no folder at all"
    return f"{expected}; found {seen}; give the folder that holds the products"
