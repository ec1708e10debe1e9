"""`python -m data_prep`: get, convert, check, draw and look at datasets.

Exit codes: 0 all is well, 1 a problem was found or met, 2 the command itself was wrong.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep import fault_table
from data_prep.arguments import parser
from data_prep.check import examine
from data_prep.contact_sheet import contact_sheet, save_png
from data_prep.convert import convert_visa
from data_prep.elpv import lay_out_elpv
from data_prep.get import get_dataset, licence_text
from data_prep.publishers import PUBLISHERS
from data_prep.summary import summary_html, summary_rows, summary_text
from moleflow_lib.datasets import Product, open_dataset
from moleflow_lib.errors import MoLEFlowError, counted
from moleflow_lib.storage.disk import write_bytes

__all__ = ["main"]

_OK = 0
_PROBLEM = 1
_MISUSE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments after the program's name; None takes them from the process.

    Returns:
        The exit code: 0 well, 1 problem, 2 misuse.
    """
    _print_whatever_comes()
    options = parser().parse_args(argv)
    try:
        return _COMMANDS[options.command](options)
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
    print(f"{counted(len(tree.folders), 'product')} in {tree.base}: {', '.join(tree.folders)}")
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
    laid = counted(count, "image")
    print(f"{laid} laid out in {options.into}; next: python -m data_prep check {options.into}")
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


def _write(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))
    print(f"written: {path}")


_COMMANDS = {"get": _get, "convert": _convert, "check": _check, "draw": _draw, "summary": _summary}
