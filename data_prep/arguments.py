"""What can be written behind `python -m data_prep`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from data_prep.drawing.least import LEAST
from data_prep.publishers import PUBLISHERS, Publisher
from moleflow_lib.config.arguments import CommandParser

__all__ = ["parser"]

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


def parser() -> argparse.ArgumentParser:
    """The commands, their arguments and their help."""
    formatter = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(
        prog="python -m data_prep",
        description="Get, convert, check, draw and look at the datasets the notebooks run on.",
        epilog=f"{_LAYOUTS}\nexit codes: 0 all is well, 1 a problem was found or met, 2 the "
        "command was wrong",
        formatter_class=formatter,
    )
    named = {"dest": "command", "required": True, "metavar": "command"}
    commands = made.add_subparsers(**named, parser_class=CommandParser)
    _add_get(commands, formatter)
    _add_convert(commands, formatter)
    _add_check(commands, formatter)
    _add_draw(commands, formatter)
    _add_summary(commands, formatter)
    return made


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
    draw.add_argument("--seed", type=int, default=0, help=f"random seed, {LEAST['seed']} or more (0)")
    for name, usual, unit, what in (
        ("train", 80, "N", "training images a product"),
        ("test-good", 32, "N", "normal test images a product"),
        ("test-defect", 32, "N", "defective ones a product, shared among its kinds of defects"),
        ("size", 256, "PX", "side of an image"),
    ):
        told = f"{what}, {LEAST[name.replace('-', '_')]} or more ({usual})"
        draw.add_argument(f"--{name}", type=_positive, default=usual, metavar=unit, help=told)


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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above zero, got {text}")
    return number


def _way(publisher: Publisher) -> str:
    if publisher.package:
        return f"installed by pip install {publisher.package}"
    return "downloaded" if publisher.url else "fetched by hand"


def _path(text: str) -> Path:
    """A path as a shell means it, also where it left the ~ alone, as in --into=~/data."""
    return Path(os.path.expanduser(text))
