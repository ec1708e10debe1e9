"""`python -m data_prep`: get, convert, check, draw and look at datasets.

Exit codes: 0 all is well, 1 a problem was found or met, 2 the command itself was wrong.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep import fault_table
from data_prep.check import examine
from data_prep.contact_sheet import contact_sheet, save_png
from data_prep.convert import convert_visa
from data_prep.elpv import lay_out_elpv
from data_prep.files import write_whole
from data_prep.get import get_dataset, licence_text
from data_prep.publishers import PUBLISHERS, Publisher
from data_prep.summary import summary_html, summary_rows, summary_text
from moleflow_lib.arguments import CommandParser
from moleflow_lib.datasets import Product, open_dataset
from moleflow_lib.errors import MoLEFlowError

__all__ = ["main"]

_OK = 0
_PROBLEM = 1
_MISUSE = 2

_LAYOUTS = """\
folders that are read as they are:
  DIR/<product>/train/good, test/good, test/<defect>, ground_truth/<defect>    MVTec AD, MPDD, your own
  DIR/1cls/<product>/… with good and bad                                       VisA, converted
  DIR/split_csv/1cls.csv beside DIR/<product>/Data/…                           VisA, raw
  DIR/train/good                                                               one single product
Your own product needs train/good and images to score: test/good and test/<defect>, or
test/unlabelled. No ground_truth means labels for whole images. Masks are paired by name: 000.png
has 000_mask.png or 000.png. Photos are read as viewers show them, EXIF orientation included, and a
mask has the size of its photo as shown. Marked is every value above zero; in JPEG and lossy WebP
masks, what is brighter than half.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; None takes them from the process.

    Returns:
        The exit code: 0 well, 1 problem, 2 misuse.
    """
    _print_whatever_comes()
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except (MoLEFlowError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _PROBLEM
    except KeyboardInterrupt:
        print("stopped; what was downloaded is kept and the same command goes on from there", file=sys.stderr)
        return _PROBLEM


def _print_whatever_comes() -> None:
    """A terminal or log that lacks a letter shows a question mark; no command dies of it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # stderr escapes what it lacks by itself


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m data_prep",
        description="Get, convert, check, draw and look at the datasets the notebooks run on.",
        epilog=f"{_LAYOUTS}\nexit codes: 0 all is well, 1 a problem was found or met, 2 the "
        "command was wrong",
        formatter_class=formatter,
    )
    named = {"dest": "command", "required": True, "metavar": "command"}
    commands = parser.add_subparsers(**named, parser_class=CommandParser)
    _add_get(commands, formatter)
    _add_convert(commands, formatter)
    _add_check(commands, formatter)
    _add_draw(commands, formatter)
    _add_summary(commands, formatter)
    return parser


def _add_get(commands: argparse._SubParsersAction, formatter: type) -> None:
    table = "\n".join(
        f"  {name:<6} {p.title:<9} {p.size / 1e9:.1f} GB  {p.licence}; {_way(p)}"
        for name, p in PUBLISHERS.items()
    )
    get = commands.add_parser(
        "get",
        help="fetch a public dataset from its publisher, or unpack its archive",
        description=f"Fetch, hash-check and unpack a public dataset:\n{table}",
        epilog="example: python -m data_prep get mvtec --into data/mvtec --accept-licence\n"
        "A download that breaks off goes on where it stopped when the command is run again.",
        formatter_class=formatter,
    )
    get.add_argument("name", choices=list(PUBLISHERS), help="which dataset")
    get.add_argument(
        "--into", type=_path, required=True, metavar="DIR", help="folder to make for the products"
    )
    get.add_argument("--archive", type=_path, metavar="FILE", help="the archive, if you already have it")
    get.add_argument(
        "--accept-licence", action="store_true", help="you have read and accept the licence shown"
    )
    for name, what in (
        ("train", "training"),
        ("test-good", "normal test"),
        ("test-defect", "defective test"),
    ):
        get.add_argument(
            f"--{name}", type=_positive, metavar="N", help=f"elpv: at most N {what} images a product (all)"
        )
    get.set_defaults(run=_get)


def _add_convert(commands: argparse._SubParsersAction, formatter: type) -> None:
    convert = commands.add_parser(
        "convert",
        help="raw VisA to MVTec AD's layout",
        description="Lay out raw VisA in MVTec AD's folders, for other tools: the library reads "
        "raw VisA as it is.",
        epilog="example: python -m data_prep convert visa data/visa --into data/visa_mvtec --mode copy",
        formatter_class=formatter,
    )
    convert.add_argument("name", choices=["visa"], help="which dataset")
    convert.add_argument("source", type=_path, metavar="DIR", help="raw VisA, with split_csv/1cls.csv")
    convert.add_argument("--into", type=_path, required=True, metavar="DIR", help="folder to make")
    convert.add_argument(
        "--mode", choices=["link", "copy"], default="link", help="symbolic links (default) or copies"
    )
    convert.set_defaults(run=_convert)


def _add_check(commands: argparse._SubParsersAction, formatter: type) -> None:
    check = commands.add_parser(
        "check",
        help="find every problem of a dataset folder",
        description="Read every name, image and mask of a dataset and print one table of what is "
        "wrong and what\nto do. Errors make the data fail or lie; notes are worth knowing and need no hand.",
        epilog=f"{_LAYOUTS}\nexit codes: 0 no error (notes allowed), 1 errors, 2 no such folder",
        formatter_class=formatter,
    )
    check.add_argument("root", type=_path, metavar="DIR", help="dataset folder")
    check.add_argument("--html", type=_path, metavar="FILE", help="write the table as one HTML page too")
    check.add_argument("--json", type=_path, metavar="FILE", help="write it as JSON too")
    check.add_argument(
        "--image-size", type=_positive, default=224, metavar="PX", help="network input size (224)"
    )
    check.set_defaults(run=_check)


def _add_draw(commands: argparse._SubParsersAction, formatter: type) -> None:
    draw = commands.add_parser(
        "draw",
        help="draw the procedural demo set",
        description="Draw the demo set: products made by a program, the same bytes for the same seed.",
        epilog="example: python -m data_prep draw demo --into data/demo",
        formatter_class=formatter,
    )
    draw.add_argument("name", choices=["demo"], help="which set")
    draw.add_argument(
        "--into", type=_path, default=Path("data/demo"), metavar="DIR", help="folder (data/demo)"
    )
    draw.add_argument("--seed", type=int, default=0, help="random seed (0)")
    draw.add_argument(
        "--train", type=_positive, default=80, metavar="N", help="training images a product (80)"
    )
    draw.add_argument(
        "--test-good", type=_positive, default=32, metavar="N", help="normal test images a product (32)"
    )
    draw.add_argument(
        "--test-defect", type=_positive, default=32, metavar="N", help="defective ones a product (32)"
    )
    draw.add_argument("--size", type=_positive, default=256, metavar="PX", help="side of an image (256)")
    draw.set_defaults(run=_draw)


def _add_summary(commands: argparse._SubParsersAction, formatter: type) -> None:
    summary = commands.add_parser(
        "summary",
        help="table and contact sheet of a dataset",
        description="Print what a dataset holds; draw normal images and defective ones with "
        "their mask's outline.",
        epilog="example: python -m data_prep summary data/mvtec --html mvtec.html --png mvtec.png",
        formatter_class=formatter,
    )
    summary.add_argument("root", type=_path, metavar="DIR", help="dataset folder")
    summary.add_argument("--html", type=_path, metavar="FILE", help="write table and sheet as one HTML page")
    summary.add_argument("--png", type=_path, metavar="FILE", help="write the contact sheet as a picture")
    summary.set_defaults(run=_summary)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above zero, got {text}")
    return number


def _way(publisher: Publisher) -> str:
    if publisher.package:
        return f"installed by pip install {publisher.package}"
    return "downloaded" if publisher.url else "fetched by hand"


def _get(options: argparse.Namespace) -> int:
    publisher = PUBLISHERS[options.name]
    limits = {
        "train/good": options.train,
        "test/good": options.test_good,
        "test/defective": options.test_defect,
    }
    limits = {part: most for part, most in limits.items() if most is not None}
    if misplaced := [] if publisher.package else [*limits]:
        print(
            f"error: --train, --test-good and --test-defect are for elpv; {options.name} is laid out whole "
            f"(found limits for {', '.join(misplaced)})",
            file=sys.stderr,
        )
        return _MISUSE
    if publisher.package and options.archive is not None:
        print(f"error: {options.name} comes from an installed package; leave --archive out", file=sys.stderr)
        return _MISUSE
    print(licence_text(publisher))
    if options.archive is None and publisher.url is None and not publisher.package:
        get_dataset(options.name, publisher, options.into)  # says how to fetch it by hand
    if not (options.accept_licence or _accepted_by_hand()):
        print(
            "\nnothing was fetched: read the licence and add --accept-licence if you accept it",
            file=sys.stderr,
        )
        return _MISUSE
    if publisher.package:
        return _get_installed(options.into, limits)
    tree = get_dataset(options.name, publisher, options.into, options.archive)
    print(f"{len(tree.folders)} product(s) in {tree.base}: {', '.join(tree.folders)}")
    print(f"next: python -m data_prep check {tree.base}")
    return _OK


def _get_installed(into: Path, limits: dict[str, int]) -> int:
    for product, parts in lay_out_elpv(into, limits).items():
        print(f"{product}: {', '.join(f'{count} in {part}' for part, count in parts.items())}")
    print("left out: cells that people were unsure of (probability 1/3 or 2/3)")
    print(f"next: python -m data_prep check {into}")
    return _OK


def _accepted_by_hand() -> bool:
    return sys.stdin.isatty() and input("Do you accept this licence? Type yes: ").strip().lower() == "yes"


def _convert(options: argparse.Namespace) -> int:
    count = convert_visa(options.source, options.into, options.mode)
    print(f"{count} image(s) laid out in {options.into}; next: python -m data_prep check {options.into}")
    return _OK


def _check(options: argparse.Namespace) -> int:
    if not options.root.is_dir():
        print(f"error: no folder at {options.root}; give the folder that holds the products", file=sys.stderr)
        return _MISUSE
    found = examine(options.root, options.image_size)
    try:
        for path, text in ((options.html, fault_table.as_html), (options.json, fault_table.as_json)):
            if path is not None:
                _write(path, text(found))
    finally:
        print(fault_table.as_text(found))
    return _PROBLEM if found.errors else _OK


def _draw(options: argparse.Namespace) -> int:
    from data_prep.draw import draw_demo  # scipy and the drawing code are needed by this command alone

    into = draw_demo(
        options.into,
        seed=options.seed,
        train=options.train,
        test_good=options.test_good,
        test_defect=options.test_defect,
        size=options.size,
    )
    print(f"the demo set is in {into}; next: python -m data_prep summary {into}")
    return _OK


def _summary(options: argparse.Namespace) -> int:
    products = open_dataset(options.root)
    rows = summary_rows(products)
    try:
        _write_sheet(options, products, rows)
    finally:
        print(summary_text(rows))
    return _OK


def _write_sheet(
    options: argparse.Namespace, products: Sequence[Product], rows: Sequence[Sequence[object]]
) -> None:
    if options.html is None and options.png is None:
        return
    sheet = contact_sheet(products)
    if options.png is not None:
        save_png(sheet, options.png)
    if options.html is not None:
        _write(options.html, summary_html(options.root, rows, sheet))


def _path(text: str) -> Path:
    """A path as a shell means it, also where it left the ~ alone, as in --into=~/data."""
    return Path(os.path.expanduser(text))


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode("utf-8"))
    print(f"written: {path}")
