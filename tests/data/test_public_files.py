"""``segwright data get``: downloads that are resumed, verified and unpacked safely, against a local server."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from segwright.cli.main import main
from segwright.data import archives, public_files
from segwright.data.archives import unpack
from segwright.data.download import DOWNLOADS
from segwright.data.http import DownloadError, download
from segwright.data.public_files import PUBLIC_FILES, PublicFile, download_dataset
from segwright.errors import UserError

CONTENT = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves ``content``. ``broken``: how many answers end after a third; ``ranges``: whether it knows ranges."""

    content = CONTENT
    broken = 0
    ranges = True
    says: int | None = None
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, header = self.server, self.headers.get("Range")
        server.asked.append(header)
        if self.path != "/file.zip":
            self.send_error(404)
            return
        first = int(header[6:-1]) if header and server.ranges else 0
        if first >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        rest = server.content[first:]
        self.send_response(206 if first else 200)
        if first:
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.content)}")
        self.send_header("Content-Length", str(server.says or len(rest)))
        self.end_headers()
        if server.broken:
            server.broken -= 1
            rest = rest[: len(rest) // 3]
        self.wfile.write(rest)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/file.zip"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_continued(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.broken, server.ranges = 3, ranges
    seen: list[tuple[int, int | None]] = []
    download(address(server), tmp_path / "f", progress=lambda *state: seen.append(state), pause=0)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert server.asked[0] is None and all(server.asked[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_later_call_continues_what_was_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT[:1000])
    download(address(server), tmp_path / "f", pause=0)
    assert (tmp_path / "f").read_bytes() == CONTENT and server.asked == ["bytes=1000-"]
    (tmp_path / "g.part").write_bytes(CONTENT)
    download(address(server), tmp_path / "g", pause=0)
    assert (tmp_path / "g").read_bytes() == CONTENT


def test_a_file_that_is_not_the_published_one_is_removed(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"MD5 [0-9a-f]{32}; expected 00"):
        download(address(server), tmp_path / "f", md5="00", pause=0)
    with pytest.raises(UserError, match="1024000 bytes; expected 7"):
        download(address(server), tmp_path / "f", size=7, pause=0)
    assert not list(tmp_path.iterdir())
    download(address(server), tmp_path / "f", md5=hashlib.md5(CONTENT).hexdigest(), pause=0)


def test_a_server_that_sends_less_than_it_says_fails_in_the_end(server: Server, tmp_path: Path) -> None:
    server.says = len(CONTENT) + 100
    server.ranges = False
    with pytest.raises(DownloadError, match="the same command continues the download"):
        download(address(server), tmp_path / "f", pause=0)
    assert not (tmp_path / "f").exists()


def test_a_missing_file_and_a_missing_server_are_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="404"):
        download(address(server).replace("file", "other"), tmp_path / "f", pause=0)
    with pytest.raises(DownloadError, match="the same command continues"):
        download("http://127.0.0.1:9/file.zip", tmp_path / "f", pause=0)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out", "C:/out", "..\\out"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_of_the_folder_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "archive"
    if kind == "zip":
        path.write_bytes(zipped({"good": b"1", name: b"2"}))
    else:
        with tarfile.open(path, "w") as archive:
            for member in ("good", name):
                archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    (tmp_path / "to").mkdir()
    with pytest.raises(UserError, match="lies outside of the folder; the archive is refused"):
        unpack(path, tmp_path / "to")
    assert not list((tmp_path / "to").iterdir())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match="link is a link or a device"):
        unpack(tmp_path / "t.tar.gz", tmp_path)
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="link is a link or a device"):
        unpack(tmp_path / "z.zip", tmp_path)


def test_bombs_and_damaged_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL", 1000)
    (tmp_path / "a.zip").write_bytes(zipped({"zeros": bytes(10**7)}))
    with pytest.raises(UserError, match="refused as too large"):
        unpack(tmp_path / "a.zip", tmp_path)
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    (tmp_path / "b.zip").write_bytes(zipped(dict.fromkeys("abc", b"1")))
    with pytest.raises(UserError, match="3 files; at most 2"):
        unpack(tmp_path / "b.zip", tmp_path)
    damaged = bytearray(zipped({"text": bytes(range(250)) * 9}))
    damaged[60:90] = bytes(30)
    (tmp_path / "c.zip").write_bytes(damaged)
    (tmp_path / "d.zip").write_bytes(b"no archive")
    for name in ("c.zip", "d.zip"):
        with pytest.raises(UserError, match="download it again"):
            unpack(tmp_path / name, tmp_path)


def use(server: Server, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    files = {"camvid": (PublicFile(address(server), 0.001, **changes),)}
    monkeypatch.setattr(public_files, "PUBLIC_FILES", files)


def test_a_dataset_is_unpacked_where_it_is_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = zipped({"maps/1.png": b"map"})
    server.content = zipped({"A/CamVid/train/1.png": b"image", "A/CamVid/x/in.zip": inner, "A/other": b"no"})
    use(server, monkeypatch, prefix="A/CamVid", inner=("A/CamVid/x/in.zip",))
    download_dataset("camvid", tmp_path, pause=0)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"train/1.png", "x/maps/1.png", ".downloads.json"}
    download_dataset("camvid", tmp_path, pause=0)  # nothing is left to do
    assert len(server.asked) == 1


def test_nothing_is_left_of_an_archive_that_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = zipped({"good": b"1", "../bad": b"2"})
    use(server, monkeypatch)
    with pytest.raises(UserError, match="refused"):
        download_dataset("camvid", tmp_path / "to", pause=0)
    assert not list((tmp_path / "to").iterdir())
    use(server, monkeypatch, md5="0")
    with pytest.raises(UserError, match="MD5"):
        download_dataset("camvid", tmp_path / "to", pause=0)
    assert not list((tmp_path / "to").iterdir())


def test_a_full_disk_is_told_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"camvid": (PublicFile(address(server), 10.0**9),)}
    monkeypatch.setattr(public_files, "PUBLIC_FILES", files)
    with pytest.raises(UserError, match="GB are free; the dataset needs about"):
        download_dataset("camvid", tmp_path, pause=0)
    assert not server.asked


def test_terms_are_accepted_before_a_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.content = zipped({"train/1.png": b"image"})
    use(server, monkeypatch)
    words = ["data", "get", "camvid", "--data", str(tmp_path / "to")]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert DOWNLOADS["camvid"].license in captured.out and "--yes" in captured.err
    assert not server.asked and not (tmp_path / "to").exists()
    assert main([*words, "--yes"]) == 2  # one image is not the dataset
    assert (tmp_path / "to" / "train" / "1.png").is_file()
    assert "train/*.png: 1 file; expected 367" in capsys.readouterr().err


def test_every_dataset_with_addresses_has_terms() -> None:
    assert PUBLIC_FILES.keys() <= DOWNLOADS.keys()
