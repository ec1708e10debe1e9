"""Unpack archives that strangers made: nothing leaves the folder, no link is followed, no bomb goes off."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from tqdm.std import tqdm

from moleflow_lib.errors import DataError

__all__ = ["Limits", "unpack"]

_CHUNK = 1 << 20
_DECOMPRESSORS = {b"\xfd7zXZ\x00": lzma.open, b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an honest image archive stays below (engineering choice).

    >>> Limits(ratio=10, always=100).allowed(50)
    500
    """

    total: int = 64 << 30  # bytes unpacked
    ratio: int = 100  # bytes unpacked for one byte of the archive
    always: int = 64 << 20  # bytes that the ratio never forbids
    members: int = 200_000

    def allowed(self, archive_size: int) -> int:
        """Bytes that an archive of this size may unpack to."""
        return min(self.total, max(self.always, self.ratio * archive_size))


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into a new folder.

    Args:
        archive: the file; its kind is told by its content, not its name.
        into: folder to create; it must not exist. Removed again if anything is wrong.
        limits: what an archive may grow to; generous ones for the published datasets if None.

    Raises:
        DataError: no archive, damaged, or hostile: an absolute path, `..`, a link, a device, a
            name that comes twice, or more bytes or files than `limits` allow.
    """
    limits = limits or Limits()
    into.mkdir(parents=True)
    try:
        _unpack(archive, into, limits)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EEXIST,
            errno.ENOTDIR,
            errno.EISDIR,
        ):
            raise DataError(
                f"{archive} cannot be unpacked into {into}: {error}; nothing of it was kept"
            ) from error
        if isinstance(error, _BROKEN):
            raise DataError(f"{archive} is no whole tar or zip archive ({error}); fetch it again") from error
        raise


def _unpack(archive: Path, into: Path, limits: Limits) -> None:
    budget = _Budget(limits.allowed(archive.stat().st_size), archive)
    with archive.open("rb") as file:
        members = _zip_members if file.read(2) == b"PK" else _tar_members
    for count, (name, content) in enumerate(members(archive, budget), start=1):
        if count > limits.members:
            raise _hostile(archive, name, f"is one of more than {limits.members:,} members")
        target = into / _safe_path(archive, name)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            _write(archive, name, content, target)


def _tar_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, _Readable | None]]:
    """Names and contents of a tar, read once from front to end; folders have no content."""
    with archive.open("rb") as raw:
        opener = next(
            (opener for magic, opener in _DECOMPRESSORS.items() if raw.peek(8).startswith(magic)), None
        )
        with tqdm.wrapattr(raw, "read", total=archive.stat().st_size, desc="unpacking", unit="B") as source:
            plain = opener(source) if opener else source
            counted = _Counted(plain, budget)
            # a stream is only read
            with tarfile.open(fileobj=counted, mode="r|") as tar:  # pyright: ignore[reportArgumentType, reportCallIssue]
                for member in tar:
                    if member.issym() or member.islnk():
                        raise _hostile(archive, member.name, f"is a link to {member.linkname!r}")
                    if not (member.isdir() or member.isreg()) or member.issparse():
                        raise _hostile(archive, member.name, "is neither a file nor a folder")
                    yield member.name, None if member.isdir() else tar.extractfile(member)


def _zip_members(archive: Path, budget: _Budget) -> Iterator[tuple[str, _Readable | None]]:
    """Names and contents of a zip; folders have no content."""
    with zipfile.ZipFile(archive) as file:
        for info in tqdm(file.infolist(), desc="unpacking", unit="file"):
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _hostile(archive, info.filename, "is a link or a device")
            if info.flag_bits & 1:
                raise _hostile(archive, info.filename, "is encrypted")
            if info.is_dir():
                yield info.filename, None
                continue
            with file.open(info) as content:
                yield info.filename, _Counted(content, budget)


@dataclass
class _Budget:
    """Bytes that may still come out of an archive."""

    left: int
    archive: Path

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataError(
                f"{self.archive} unpacks to far more than an image archive of its size would: a "
                "decompression bomb? "
                "nothing of it was kept; fetch the archive again from its publisher"
            )


class _Readable(Protocol):
    """All that an unpacker asks of a stream."""

    def read(self, size: int, /) -> bytes: ...


class _Counted:
    """A readable stream whose every byte is taken from a budget."""

    def __init__(self, stream: _Readable, budget: _Budget) -> None:
        self.stream = stream
        self.budget = budget

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, _CHUNK))
        self.budget.spend(len(data))
        return data


def _safe_path(archive: Path, name: str) -> Path:
    """The member's path below the folder, refused if it could lead elsewhere on any system."""
    posix = PurePosixPath(name)
    windows = PureWindowsPath(name)
    if posix.is_absolute() or windows.is_absolute() or windows.drive or windows.root:
        raise _hostile(archive, name, "is an absolute path")
    if ".." in posix.parts or ".." in windows.parts:
        raise _hostile(archive, name, "leads out of the folder")
    if "\\" in name or "\0" in name:
        raise _hostile(archive, name, "has a backslash or a zero byte in its name")
    return Path(*posix.parts)


def _write(archive: Path, name: str, content: _Readable, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as file:
            while chunk := content.read(_CHUNK):
                file.write(chunk)
    except FileExistsError as error:
        raise _hostile(archive, name, "comes twice, the second over the first") from error


def _hostile(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive}: member {name!r} {what}; nothing of the archive was kept, fetch it again from "
        "its publisher"
    )
