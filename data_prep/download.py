"""Fetch a publisher's archive: resumed where it broke off, and kept only if its hash is right."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import pooch
import requests
from tqdm.std import tqdm

from data_prep.publishers import Publisher
from moleflow_lib.errors import DataError

__all__ = ["ResumingDownloader", "fetch"]

_CHUNK = 1 << 15  # a cut connection loses less than this
_TIMEOUT = (15, 60)  # seconds to connect, seconds without a byte


def fetch(publisher: Publisher, folder: Path, *, pause: float = 2.0) -> Path:
    """Download the publisher's archive into a folder, or go on with a download that broke off.

    Args:
        publisher: whose archive.
        folder: where the archive and its unfinished part lie.
        pause: seconds before the first retry; doubled for each further one.

    Returns:
        The archive, its hash checked where one is known.

    Raises:
        DataError: no address, no network, nothing at the address, or a wrong hash; nothing that looks
            finished is left.
    """
    if publisher.url is None:
        raise DataError(f"{publisher.title} has no address; fetch its archive by hand")
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)
    part = folder / f"{publisher.archive}.part"
    _forget_others(folder, publisher.archive)
    downloader = ResumingDownloader(part, checked=publisher.sha256 is not None, pause=pause)
    try:
        path = pooch.retrieve(
            publisher.url,
            known_hash=publisher.sha256,
            fname=publisher.archive,
            path=folder,
            downloader=downloader,  # pyright: ignore[reportArgumentType]  # pooch names other arguments than it gives
        )
    except ValueError as error:  # how pooch reports a wrong hash
        raise DataError(
            f"the file at {publisher.url} is not the archive that was published ({error}); it was thrown away"
        ) from error
    except requests.RequestException as error:
        raise DataError(f"no answer that can be used from {publisher.url} ({error})") from error
    return Path(path)


def _forget_others(folder: Path, archive: str) -> None:
    """Remove the nameless files of a download that was killed between its end and its check."""
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith(archive):
            path.unlink(missing_ok=True)


class ResumingDownloader:
    """A pooch downloader that keeps what it has in a part file and asks for the rest.

    The server's ETag is kept beside the part, so that the halves of two different files are never
    joined. Where neither an ETag nor a hash could tell, the download starts anew.
    """

    def __init__(self, part: Path, *, checked: bool, attempts: int = 5, pause: float = 2.0) -> None:
        self.part = part
        self.tag = part.with_name(part.name + ".etag")
        self.checked = checked
        self.attempts = attempts
        self.pause = pause

    def __call__(self, url: str, output_file: str, pooch_object: object) -> None:
        """Download `url` to `output_file`; the signature is pooch's."""
        for attempt in range(self.attempts):
            try:
                self._attempt(url)
                break
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                if attempt + 1 == self.attempts:
                    kept = self.part.stat().st_size if self.part.exists() else 0
                    raise DataError(
                        f"no connection to {url} ({_root_cause(error)}), or it broke off "
                        f"{self.attempts} times; "
                        f"{kept:,} bytes are kept and the same command goes on from there"
                    ) from error
                wait = self.pause * 2**attempt
                print(f"no connection ({_root_cause(error)}); trying again in {wait:g} s", file=sys.stderr)
                time.sleep(wait)
        self.part.replace(output_file)
        self.tag.unlink(missing_ok=True)

    def _attempt(self, url: str) -> None:
        """Ask for the bytes still missing, and append them."""
        have = self._resumable_bytes()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.tag.exists():
                headers["If-Range"] = self.tag.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{have}":
                return
            if response.status_code == 416:
                self.part.unlink()
                raise requests.ConnectionError("the part kept here is longer than the file; starting anew")
            _require_archive(response, url)
            start = have if _continues(response, have) else 0
            self._remember_tag(response)
            self._append(response, start)

    def _resumable_bytes(self) -> int:
        if not self.part.exists() or not (self.checked or self.tag.exists()):
            return 0
        return self.part.stat().st_size

    def _remember_tag(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
            self.tag.write_text(tag)
        else:
            self.tag.unlink(missing_ok=True)

    def _append(self, response: requests.Response, start: int) -> None:
        length = int(response.headers.get("Content-Length", 0))
        total = start + length if length else None
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=self.part.stem) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and self.part.stat().st_size != total:
            raise requests.ConnectionError(f"{self.part.stat().st_size:,} of {total:,} bytes came")


def _continues(response: requests.Response, have: int) -> bool:
    """Whether the answer goes on where the part ends, and is not the whole file again."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )


def _require_archive(response: requests.Response, url: str) -> None:
    if response.status_code >= 500:
        raise requests.ConnectionError(f"the server answers HTTP {response.status_code}")
    if not response.ok:
        raise DataError(f"nothing at {url} (HTTP {response.status_code}); the publisher may have moved it")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DataError(f"{url} answers with a web page, not an archive; the publisher may have moved it")


def _root_cause(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error)
