"""Where the products of a dataset folder lie, and what is wrong with their names.

Nothing is decoded here: only names are read, so that a survey of a whole dataset is quick.
Read as they are, `<root>` being the folder that is given:

* `<root>/<product>/train/good/…`: MVTec AD, MPDD, converted VisA, one's own products;
* `<root>/1cls/<product>/train/good/…`: VisA as its publisher's script converts it;
* `<root>/split_csv/1cls.csv` beside `<root>/<product>/Data/…`: raw VisA (see `visa`);
* `<root>/train/good/…`: the folder of one single product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moleflow_lib.datasets import visa
from moleflow_lib.datasets.faults import Fault, FaultLog, stray
from moleflow_lib.datasets.folder_names import near_name, part_meant
from moleflow_lib.datasets.names import LONGEST_NAME, is_unicode, same_name, shown
from moleflow_lib.datasets.product_folder import scan_product
from moleflow_lib.datasets.records import GOOD, Product
from moleflow_lib.datasets.unused_files import Unused, left_out
from moleflow_lib.errors import DataError

__all__ = ["UNFINISHED", "Survey", "Tree", "find_tree", "survey", "unused_files"]

UNFINISHED = ".unfinished"  # a file in a dataset folder that only has some of its products yet
_RENAME = "rename the folder"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Which layout a folder has, and where its products are."""

    layout: str  # "mvtec", "visa-converted", "visa-raw" or "single"
    base: Path  # folder the products lie in
    folders: dict[str, Path]  # product name (composed, NFC) to its folder, in alphabetical order

    def log(self, product: str) -> FaultLog:
        """An empty log for one product, naming files as seen from where its own names start."""
        return FaultLog(product, self.base if self.layout == "visa-raw" else self.folders[product])


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Every product of a dataset, and every fault its names show."""

    tree: Tree
    products: tuple[Product, ...]
    faults: tuple[Fault, ...]
    unused: tuple[Unused, ...]  # files that no record of these products uses, those beside them included


def find_tree(root: str | Path) -> Tree:
    """Recognise the layout of a dataset folder.

    Raises:
        DataError: no product lies there; says what was found instead. Or its products are not all there yet.
    """
    root = Path(root)
    if not is_unicode(str(root)):
        told = f"expected a path of UTF-8 text, got {shown(str(root))}"
        raise DataError(f"{told}; results could not name it: rename the folder, or give a link to it")
    if not root.is_dir():
        told = f"expected a dataset folder at {shown(str(root))}, found none"
        raise DataError(f"{told}; give the folder that holds the products")
    if (root / UNFINISHED).exists():
        told = f"{root} holds some of its products only: `data_prep get` was stopped while it put them there"
        raise DataError(f"{told}; run the same command again, or remove the folder")
    if (root / "train").is_dir():
        real = root.resolve()
        return Tree(layout="single", base=real.parent, folders={same_name(real.name): root})
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
    names = [same_name(name.strip()) for name in classes] or list(tree.folders)
    beside = _beside(tree)
    faults = [
        *_class_faults(names, tree),
        *_twin_faults(tree),
        *_beside_faults(beside, names if classes else ()),
    ]
    known = [name for name in dict.fromkeys(names) if name in tree.folders]
    if tree.layout == "visa-raw":
        products, found = visa.scan_split(tree.base, known)
    else:
        scans = [scan_product(name, tree.folders[name]) for name in known]
        products = [product for product, _ in scans]
        found = [fault for _, log in scans for fault in log]
    unused = [one for product in products for one in product.unused]
    unused += [one for path in beside for one in left_out(path)]
    return Survey(tree=tree, products=tuple(products), faults=tuple(faults + found), unused=tuple(unused))


def unused_files(root: str | Path, classes: Sequence[str] = ()) -> tuple[Unused, ...]:
    """Files of a dataset that a run of these classes leaves out, though they lie where it reads.

    Args:
        root: dataset folder in any layout of this module.
        classes: product names, `a+b` standing for `a, b`; empty means all.

    Raises:
        DataError: as `survey`.
    """
    return survey(root, [name for entry in classes for name in entry.split("+")]).unused


def _products_in(base: Path) -> dict[str, Path]:
    return {same_name(path.name): path for path in _product_folders(base)}


def _product_folders(base: Path) -> list[Path]:
    if not base.is_dir():
        return []
    return sorted(
        path for path in base.iterdir() if (path / "train").is_dir() and not path.name.startswith(".")
    )


def _class_faults(names: Sequence[str], tree: Tree) -> list[Fault]:
    faults = []
    for name in dict.fromkeys(names):
        if name not in tree.folders:
            what = f"is no product of {tree.base}, which holds {', '.join(tree.folders)}"
            faults.append(_fault("no-product", name, what, "correct the class list"))
        elif told := _name_problem(name):
            faults.append(_fault("name", name, *told))
        if names.count(name) > 1:
            what = f"is asked for {names.count(name)} times"
            faults.append(_fault("class-twice", name, what, "name it once"))
    return faults


def _name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with the name of a product, and what to do."""
    if not is_unicode(name):
        return (
            "has a name that is no UTF-8 text",
            f"{_RENAME}; convmv or an unzip with the right encoding helps",
        )
    if any(sign in name for sign in "+,#"):
        return "has a name with +, comma or #", f"{_RENAME}; + and , join classes in a task order"
    if name != name.strip() or shown(name) != name:
        return "has a name with a space at its end, or with a control character", _RENAME
    if (length := len(name.encode())) > LONGEST_NAME:
        what = f"has a name of {length} bytes, too long for the files that are named after it"
        return what, f"{_RENAME} to at most {LONGEST_NAME} bytes"
    return None


def _twin_faults(tree: Tree) -> list[Fault]:
    """Folders whose names look alike and are composed of other code points."""
    alike = defaultdict(list)
    for path in _product_folders(tree.base) if tree.layout != "single" else ():
        alike[same_name(path.name)].append(path)
    what = "is the name of {} folders that differ in how accents are composed (NFC, NFD)"
    return [
        _fault("name", name, what.format(len(paths)), "keep one of them")
        for name, paths in alike.items()
        if len(paths) > 1
    ]


def _fault(kind: str, product: str, what: str, todo: str) -> Fault:
    return Fault(kind=kind, product=product, file="", what=what, todo=todo)


def _beside(tree: Tree) -> list[Path]:
    """Entries beside the products that belong to no layout; hidden ones are nobody's business."""
    if tree.layout == "single":
        return []
    known = {*tree.folders, *(("split_csv",) if tree.layout == "visa-raw" else ())}
    entries = sorted(path for path in tree.base.iterdir() if not path.name.startswith("."))
    return [path for path in entries if same_name(path.name) not in known]


def _beside_faults(paths: Iterable[Path], classes: Sequence[str]) -> list[Fault]:
    """Notes of strays; a product that lost its `train` to a misspelling is an error where it is wanted.

    Args:
        paths: what lies beside the products.
        classes: the products wanted; empty means all.
    """
    faults = []
    for path in paths:
        wanted = path.is_dir() and (not classes or same_name(path.name) in classes)
        if near := _misspelt_train(path) if wanted else "":
            what, todo = near_name("train")
            faults.append(
                Fault(kind="name", product="", file=shown(f"{path.name}/{near}"), what=what, todo=todo)
            )
        else:
            name = path.name + ("/" if path.is_dir() else "")
            faults.append(stray("", name, path, left_out(path)))
    return faults


def _misspelt_train(folder: Path) -> str:
    """The folder that was meant to be `train`, where its content or its neighbours say so; else ""."""
    parts = {path.name: part_meant(path.name) for path in sorted(folder.iterdir()) if path.is_dir()}
    near = next((name for name, meant in parts.items() if meant == "train"), "")
    is_product = bool({"test", "ground_truth"} & set(parts.values())) or (folder / near / GOOD).is_dir()
    return near if near and is_product else ""


def _nothing_found(root: Path) -> str:
    expected = f"expected <product>/train/good below {root}, or raw VisA with {visa.SPLIT_FILE}"
    children = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    inner = [path for path in children if _products_in(path) or (path / visa.SPLIT_FILE).is_file()]
    if inner:
        return f"{expected}; found products one folder deeper: give {' or '.join(map(str, inner))}"
    if any((path / "Data").is_dir() for path in children):
        seen = "VisA's product folders but no split file"
        return f"{expected}; found {seen}: bring it from the publisher's archive"
    if capital := _near_train([root, *children]):
        return (
            f"{expected}; found {capital}: rename its folders to train, test and ground_truth, in lower case"
        )
    seen = ", ".join(shown(path.name) for path in children[:8]) or "no folder at all"
    return f"{expected}; found {seen}; give the folder that holds the products"


def _near_train(folders: Iterable[Path]) -> str:
    """The first folder that is called train but for its case; "" if there is none."""
    found = (path for folder in folders for path in sorted(folder.iterdir()) if path.is_dir())
    return next((shown(str(path)) for path in found if path.name.casefold() == "train"), "")
