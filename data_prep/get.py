"""From a publisher's archive to a folder that the library can open."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pooch

from data_prep.download import fetch
from data_prep.publishers import Publisher
from data_prep.unpack import unpack
from moleflow_lib.datasets.layouts import UNFINISHED, Tree, find_tree
from moleflow_lib.errors import DataError
from moleflow_lib.storage import disk

__all__ = ["get_dataset", "licence_text", "manual_steps"]

_WORK = ".download"  # inside the target folder; hidden, so that no survey sees it
_UNPACKED = "unpacked"  # inside the work folder


def licence_text(publisher: Publisher) -> str:
    """What a user agrees to before the archive is fetched."""
    return (
        f"{publisher.title} is published under {publisher.licence}\n  {publisher.licence_url}\n"
        f"  cite: {publisher.citation}\n  page: {publisher.page}"
    )


def manual_steps(name: str, publisher: Publisher, into: Path) -> str:
    """How to go on by hand: the page, the file, and the command that takes it."""
    command = f"python -m data_prep get {name} --into {shlex.quote(str(into))} --archive {publisher.archive}"
    return (
        f"To go on by hand:\n  1. visit {publisher.page}\n"
        f"  2. download {publisher.archive} ({publisher.size / 1e9:.1f} GB)\n"
        f"  3. {command} --accept-licence\n     (with the path where your browser saved the file "
        "after --archive)"
    )


def get_dataset(name: str, publisher: Publisher, into: Path, archive: Path | None = None) -> Tree:
    """Fetch, check and unpack one public dataset, or go on with what a killed call left.

    The products are unpacked in a hidden folder and then renamed, one by one. Meanwhile the file
    `.unfinished` in `into` says so: the library opens no folder that has it.

    Args:
        name: the publisher's key on the command line.
        publisher: its entry in the table.
        into: dataset folder to make; may hold an unfinished download of the same archive.
        archive: an archive that is already here; None downloads it.

    Returns:
        Where the products lie now.

    Raises:
        DataError: says what happened and, where the network is to blame, how to go on by hand.
    """
    work = into / _WORK
    if (into / UNFINISHED).exists():
        return _finished(into)
    _require_free(into)
    disk.clean_up(into)
    if archive is None and publisher.url is None:
        steps = manual_steps(name, publisher, into)
        raise DataError(f"{publisher.title} cannot be fetched by a program.\n{steps}")
    if archive is None:
        _require_space(into, 2 * publisher.size - sum(path.stat().st_size for path in work.glob("*.*")))
        try:
            archive = fetch(publisher, work)
        except DataError as error:
            raise DataError(f"{error}\n{manual_steps(name, publisher, into)}") from error
    _check_hash(archive, publisher)
    _unpack_products(archive, work / _UNPACKED, into)
    return _finished(into)


def _require_free(into: Path) -> None:
    """The target must be absent, empty, or hold nothing but our own unfinished work."""
    if into.exists() and not into.is_dir():
        raise DataError(f"{into} is a file; expected a folder to make or to fill, give another --into")
    ours = (_WORK, disk.UNFINISHED)  # the second begins the name of a marker that was never finished
    if into.is_dir() and (
        held := sorted(path.name for path in into.iterdir() if not path.name.startswith(ours))
    ):
        raise DataError(
            f"{into} already holds {', '.join(held[:5])}{' …' if len(held) > 5 else ''}; expected "
            "a new or empty "
            "folder: give another --into, or use this one as it is (python -m data_prep check)"
        )


def _require_space(into: Path, need: int) -> None:
    there = next(path for path in (into, *into.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(there).free) < need:
        raise DataError(
            f"expected {need / 1e9:.1f} GB free at {there} for the archive and its content, found "
            f"{free / 1e9:.1f} GB; "
            "give --into on a larger disk"
        )


def _check_hash(archive: Path, publisher: Publisher) -> None:
    if not archive.is_file():
        raise DataError(
            f"expected the archive {publisher.archive} at {archive}, found no file; correct --archive"
        )
    print(f"hashing {archive} …", file=sys.stderr)
    found = pooch.file_hash(str(archive))
    if publisher.sha256 is None:
        print(f"No hash of {publisher.archive} is known, so it was not checked. It has SHA-256 {found}")
    elif found != publisher.sha256:
        raise DataError(
            f"{archive} is not the published {publisher.archive}: expected SHA-256 "
            f"{publisher.sha256}, got {found}; "
            f"download it again from {publisher.page}, or, if you trust this file, unpack it "
            "yourself and run check"
        )


def _unpack_products(archive: Path, unpacked: Path, into: Path) -> None:
    """Unpack, find the products under whatever wrapper folder, and note what is to be put in place."""
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(archive, unpacked)
    try:
        holder = _holder(unpacked, archive)
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    plan = {
        "holder": holder.relative_to(into).as_posix(),
        "names": sorted(path.name for path in holder.iterdir()),
    }
    disk.write_json(into / UNFINISHED, plan)


def _finished(into: Path) -> Tree:
    """Put in place what the plan names and is not there yet; the marker goes when all of it is."""
    holder, names = _plan(into)
    missing = [name for name in names if not (into / name).exists() and not (holder / name).exists()]
    if missing:
        told = f"{into} is half unpacked, and {', '.join(missing[:5])} is gone from {holder}"
        raise DataError(f"{told}; remove {into} and get it again")
    for name in names:
        if (holder / name).exists():
            (holder / name).rename(into / name)
    shutil.rmtree(into / _WORK, ignore_errors=True)
    (into / UNFINISHED).unlink()
    return find_tree(into)


def _plan(into: Path) -> tuple[Path, list[str]]:
    """Where the products lie that are to be put in place, and their names."""
    marker = into / UNFINISHED
    try:
        plan = json.loads(marker.read_bytes())
        holder = plan["holder"]
        names = plan["names"]
        if not holder.startswith(f"{_WORK}/{_UNPACKED}") or any(
            "/" in name or name in ("", "..") for name in names
        ):
            raise ValueError("it names other folders")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{marker} is not what `data_prep get` writes ({error})"
        raise DataError(f"{told}; remove {into} and get it again") from error
    return into / holder, names


def _holder(unpacked: Path, archive: Path) -> Path:
    """The folder that holds the products: the archive's top, or one wrapper folder or two below."""
    candidates = [unpacked, *sorted(unpacked.glob("*/")), *sorted(unpacked.glob("*/*/"))]
    for folder in candidates:
        if "__MACOSX" in folder.parts:  # shadow files that macOS adds to a zip
            continue
        try:
            if folder.is_dir() and find_tree(folder).layout != "single":
                return folder
        except DataError:
            continue
    raise DataError(
        f"{archive} holds no dataset that is known here: expected <product>/train/good or raw VisA in it"
    )
