"""A publisher on this machine: a small HTTP server that behaves well, or badly on request."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_prep.publishers import Publisher
from tests import trees


@dataclass
class Server:
    """What the publisher serves, how it misbehaves, and what it was asked."""

    port: int = 0
    body: bytes = b""
    etag: str = '"one"'
    status: int = 200
    kind: str = "application/x-tar"
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/data.tar.gz"


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.asked.append((self.path, wanted))
            if self.path == "/old":
                self.send_response(301)
                self.send_header("Location", server.url)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif server.status != 200:
                self.send_error(server.status)
            else:
                self._answer(wanted)

        def _answer(self, wanted: str | None) -> None:
            start, total = 0, len(server.body)
            if wanted and server.ranges and self.headers.get("If-Range") in (None, server.etag):
                start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start > total or (start == total and start):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.send_header("Content-Length", str(total - start))
            self.send_header("Content-Type", server.kind)
            if server.etag:
                self.send_header("ETag", server.etag)
            self.end_headers()
            end = start + server.cuts.pop(0) if server.cuts else total
            self.wfile.write(server.body[start:end])

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as http:
        state.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A dataset of some 300 kB as a .tar.gz, products at its top."""
    source = trees.mvtec(tmp_path_factory.mktemp("source"))
    trees.picture(source / "bolt/train/good/large.png", 77, (320, 320))
    return tar_bytes(source)


@pytest.fixture
def publish(server: Server, archive: bytes, monkeypatch: pytest.MonkeyPatch):
    """Put a made-up dataset (as `mvtec` and `visa`) at the local publisher; returns its entry's maker."""
    monkeypatch.setattr("data_prep.download.time.sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.body = archive

    def make(
        url: str | None = server.url, sha256: str | None = hashlib.sha256(archive).hexdigest()
    ) -> Publisher:
        publisher = Publisher(
            title="Test set",
            page="https://publisher.example/test-set",
            archive="data.tar.gz",
            url=url,
            sha256=sha256,
            size=len(archive),
            licence="CC TEST 1.0",
            licence_url="https://publisher.example/licence",
            citation="Nobody, Nothing (2000)",
        )
        monkeypatch.setattr("data_prep.cli.PUBLISHERS", {"mvtec": publisher, "visa": publisher})
        return publisher

    return make


def tar_bytes(folder: Path, prefix: str = "") -> bytes:
    """A folder's content as .tar.gz."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=prefix + path.name)
    return memory.getvalue()
