"""`get`: from the publisher to a folder that opens, through everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_prep.cli import main
from data_prep.download import fetch
from data_prep.publishers import COUNTS, PUBLISHERS
from moleflow_lib.datasets import open_dataset
from moleflow_lib.errors import DataError
from tests import trees
from tests.data_prep.conftest import tar_bytes

WORK = ".download"


def get(into: Path, *more: str) -> int:
    return main(["get", "mvtec", "--into", str(into), "--accept-licence", *more])


def starts(server) -> list[int]:
    """The first byte that each request asked for."""
    return [int(wanted[6:-1]) if wanted else 0 for _, wanted in server.asked]


def holds_nothing_finished(into: Path) -> bool:
    """Neither products nor a whole archive, only unfinished parts."""
    files = [path for path in into.rglob("*") if path.is_file()]
    return all(path.parent.name == WORK and path.suffix in (".part", ".etag") for path in files)


def test_download_to_open_dataset(publish, server, tmp_path, capsys):
    publish()
    assert get(tmp_path / "data") == 0
    assert [product.name for product in open_dataset(tmp_path / "data")] == ["bolt", "nut"]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["bolt", "nut"], (
        "the work is cleared away"
    )
    said = capsys.readouterr().out
    assert "CC TEST 1.0" in said and "python -m data_prep check" in said
    assert server.asked == [("/data.tar.gz", None)]


def test_licence_must_be_accepted(publish, server, tmp_path, capsys):
    publish()
    assert main(["get", "mvtec", "--into", str(tmp_path / "data")]) == 2
    assert "CC TEST 1.0" in (told := capsys.readouterr()).out and "--accept-licence" in told.err
    assert server.asked == [] and not (tmp_path / "data").exists()


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 2), ("", 2)])
def test_licence_can_be_accepted_by_hand(publish, tmp_path, monkeypatch, answer, code):
    publish()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["get", "mvtec", "--into", str(tmp_path / "data")]) == code


def test_a_full_disk_is_told_before_the_download(publish, server, tmp_path, monkeypatch, capsys):
    publish()
    monkeypatch.setattr("data_prep.get.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert get(tmp_path / "data") == 1
    assert "GB free" in capsys.readouterr().err and server.asked == []


def test_cut_connection_is_resumed(publish, server, tmp_path):
    publish()
    server.cuts = [100_000, 70_000]
    assert get(tmp_path / "data") == 0
    first, second, third = starts(server)
    assert first == 0 and 60_000 < second <= 100_000 and second + 30_000 < third <= second + 70_000
    assert len(open_dataset(tmp_path / "data")) == 2


def test_next_run_goes_on_where_the_last_stopped(publish, server, tmp_path, capsys):
    publish()
    server.cuts = [100_000, 0, 50_000, 0, 0]
    assert get(tmp_path / "data") == 1
    kept = (tmp_path / "data" / WORK / "data.tar.gz.part").stat().st_size
    told = capsys.readouterr().err
    assert kept > 90_000 and f"{kept:,} bytes are kept" in told and "--archive" in told
    assert holds_nothing_finished(tmp_path / "data")
    server.asked.clear()
    assert get(tmp_path / "data") == 0
    assert starts(server) == [kept]


def test_server_without_ranges_starts_anew(publish, server, tmp_path):
    publish()
    server.cuts, server.ranges = [100_000], False
    assert get(tmp_path / "data") == 0


def test_halves_of_two_files_are_never_joined(publish, server, tmp_path, archive):
    publish()
    server.cuts = [100_000, 0, 0, 0, 0]
    server.body = bytes(len(archive))
    assert get(tmp_path / "data") == 1
    assert (tmp_path / "data" / WORK / "data.tar.gz.part").stat().st_size > 60_000
    server.body, server.etag = archive, '"two"'
    assert get(tmp_path / "data") == 0, "If-Range made the server send the new file whole"


def test_without_tag_or_hash_nothing_is_resumed(publish, server, tmp_path, archive, capsys):
    publish(sha256=None)
    server.etag, server.cuts = "", [100_000]
    assert get(tmp_path / "data") == 0
    assert [wanted for _, wanted in server.asked] == [None, None]
    said = capsys.readouterr().out
    assert "not checked" in said and hashlib.sha256(archive).hexdigest() in said


def test_part_longer_than_the_file_starts_anew(publish, server, tmp_path, archive):
    publish()
    work = tmp_path / "data" / WORK
    work.mkdir(parents=True)
    (work / "data.tar.gz.part").write_bytes(archive + b"rest of another file")
    assert get(tmp_path / "data") == 0


def test_whole_part_needs_no_further_byte(publish, server, tmp_path, archive):
    publish()
    work = tmp_path / "data" / WORK
    work.mkdir(parents=True)
    (work / "data.tar.gz.part").write_bytes(archive)
    assert get(tmp_path / "data") == 0


def test_wrong_hash_keeps_nothing(publish, server, tmp_path, capsys):
    publish(sha256="0" * 64)
    assert get(tmp_path / "data") == 1
    told = capsys.readouterr().err
    assert "not the archive that was published" in told and "thrown away" in told
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_nothing_at_the_address(publish, server, tmp_path, capsys, status):
    publish()
    server.status = status
    assert get(tmp_path / "data") == 1
    assert_tells_how_to_go_on(capsys.readouterr().err, f"HTTP {status}", tmp_path / "data")
    assert len(server.asked) == 1 and holds_nothing_finished(tmp_path / "data")


def test_a_web_page_is_no_archive(publish, server, tmp_path, capsys):
    publish()
    server.kind, server.body = "text/html; charset=utf-8", b"<html>we have moved</html>"
    assert get(tmp_path / "data") == 1
    assert_tells_how_to_go_on(capsys.readouterr().err, "web page", tmp_path / "data")


def test_a_forwarded_address_is_followed(publish, server, tmp_path):
    publish(url=server.url.replace("/data.tar.gz", "/old"))
    assert get(tmp_path / "data") == 0
    assert [path for path, _ in server.asked] == ["/old", "/data.tar.gz"]


def test_server_in_trouble_is_asked_again(publish, server, tmp_path, capsys):
    publish()
    server.status = 503
    assert get(tmp_path / "data") == 1
    assert len(server.asked) == 5
    assert_tells_how_to_go_on(capsys.readouterr().err, "HTTP 503", tmp_path / "data")


def test_no_network(publish, tmp_path, capsys):
    publish(url="http://127.0.0.1:9/data.tar.gz")
    assert get(tmp_path / "data") == 1
    assert_tells_how_to_go_on(capsys.readouterr().err, "no connection", tmp_path / "data")


def assert_tells_how_to_go_on(told: str, reason: str, into: Path) -> None:
    assert reason in told
    assert "https://publisher.example/test-set" in told, "the page to visit"
    assert f"--into {into} --archive data.tar.gz" in told, "the command to go on with"


def test_archive_fetched_by_hand(publish, server, tmp_path, archive):
    publish()
    (tmp_path / "mine.tar.gz").write_bytes(archive)
    assert get(tmp_path / "data", "--archive", str(tmp_path / "mine.tar.gz")) == 0
    assert server.asked == [] and len(open_dataset(tmp_path / "data")) == 2
    assert (tmp_path / "mine.tar.gz").exists(), "the user's own file stays"


def test_raw_visa_opens_straight_from_its_archive(publish, tmp_path):
    publish(sha256=None)
    raw = trees.visa_raw(tmp_path / "raw")
    (raw / "LICENSE-DATASET").touch()
    (tmp_path / "visa.tar").write_bytes(tar_bytes(raw, prefix="VisA_20220922/"))
    arguments = ["--archive", str(tmp_path / "visa.tar"), "--accept-licence"]
    assert main(["get", "visa", "--into", str(tmp_path / "data"), *arguments]) == 0
    assert [(p.name, len(p.train), len(p.test)) for p in open_dataset(tmp_path / "data")] == [
        ("candle", 3, 4),
        ("pcb1", 3, 4),
    ]
    assert main(["check", str(tmp_path / "data")]) == 0


def test_wrong_archive_by_hand(publish, tmp_path, archive, capsys):
    publish()
    (tmp_path / "mine.tar.gz").write_bytes(archive + b"!")
    assert get(tmp_path / "data", "--archive", str(tmp_path / "mine.tar.gz")) == 1
    assert "expected SHA-256" in capsys.readouterr().err and not (tmp_path / "data").exists()
    assert get(tmp_path / "data", "--archive", str(tmp_path / "absent.tar.gz")) == 1
    assert "found no file" in capsys.readouterr().err


def test_archive_without_a_dataset(publish, tmp_path, capsys):
    publish(sha256=None)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as file:
        file.writestr("photos/a.txt", "a")
    assert get(tmp_path / "data", "--archive", str(tmp_path / "mine.zip")) == 1
    assert "holds no dataset" in capsys.readouterr().err and holds_nothing_finished(tmp_path / "data")


def test_a_folder_in_use_is_left_alone(publish, server, tmp_path, capsys):
    publish()
    trees.mvtec(tmp_path / "data")
    before = sorted((tmp_path / "data").rglob("*"))
    assert get(tmp_path / "data") == 1
    assert "already holds bolt, nut" in capsys.readouterr().err and server.asked == []
    assert sorted((tmp_path / "data").rglob("*")) == before


def test_mpdd_is_explained_and_its_archive_taken(tmp_path, capsys):
    into = tmp_path / "mpdd"
    assert main(["get", "mpdd", "--into", str(into)]) == 1
    told = capsys.readouterr()
    assert (
        "CC BY-NC-SA" in told.out
        and "github.com/stepanje/MPDD" in told.err
        and "--archive MPDD.zip" in told.err
    )
    source = trees.mvtec(tmp_path / "source", "bracket_black", "tubes")
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for path in sorted(source.rglob("*.png")):
            file.write(path, f"MPDD/{path.relative_to(source)}")
            file.writestr(f"__MACOSX/MPDD/{path.relative_to(source).with_name('._' + path.name)}", b"shadow")
    (tmp_path / "MPDD.zip").write_bytes(memory.getvalue())
    arguments = [
        "get",
        "mpdd",
        "--into",
        str(into),
        "--archive",
        str(tmp_path / "MPDD.zip"),
        "--accept-licence",
    ]
    assert main(arguments) == 0
    assert "not checked" in capsys.readouterr().out
    assert [product.name for product in open_dataset(into)] == ["bracket_black", "tubes"]


def test_the_table_of_publishers():
    for publisher in PUBLISHERS.values():
        assert publisher.page.startswith("https://") and publisher.licence
        assert publisher.package or publisher.size > 10**9
        assert publisher.url is None or publisher.url.endswith(publisher.archive)
        assert publisher.sha256 is None or len(bytes.fromhex(publisher.sha256)) == 32
    mvtec, visa = list(COUNTS.values())[:15], list(COUNTS.values())[15:]
    assert [sum(column) for column in zip(*mvtec, strict=True)] == [3629, 467, 1258]
    assert [sum(column) for column in zip(*visa, strict=True)] == [8659, 962, 1200]


def test_an_archive_without_an_address_is_not_asked_for(tmp_path):
    publisher = replace(next(iter(PUBLISHERS.values())), url=None)
    with pytest.raises(DataError, match="has no address; fetch its archive by hand"):
        fetch(publisher, tmp_path / "work")
    assert not (tmp_path / "work").exists()
