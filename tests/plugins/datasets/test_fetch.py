"""Downloads from a server on loopback: progress, going on after a break, checksums, archives, two at once."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ctrbench import UserError
from ctrbench_datasets._fetch import fetch

BODY = bytes(range(256)) * 4096  # 1 MiB


class Web:
    """A server that gives parts of files as Apache does: `cut[path]` ends that many bytes into the file, once."""

    def __init__(self) -> None:
        pages, cut, asked, states = {}, {}, [], {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = pages.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                state = states.get(self.path, f'"{hashlib.md5(body).hexdigest()}"')
                start, wanted = 0, self.headers.get("Range")
                if wanted and self.headers.get("If-Range") == state:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                asked.append((self.path, start))
                if start and start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
                if state:
                    self.send_header("ETag", state)
                self.end_headers()
                self.wfile.write(body[start : cut.pop(self.path, None)])

            def log_message(self, *args):
                pass

        self.pages, self.cut, self.asked, self.states = pages, cut, asked, states
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=lambda: self.server.serve_forever(0.01), daemon=True).start()


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def quiet(done, total, values) -> None:
    """Nobody listens."""


def files_under(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_broken_connection_is_gone_on_with_and_progress_never_goes_back(web, tmp_path):
    web.pages["/log.csv"], web.cut["/log.csv"] = BODY, 700_000
    seen = []
    fetch(tmp_path, {"log.csv": md5(BODY)}, [[f"{web.address}/log.csv"]], lambda *said: seen.append(said[:2]))
    assert (tmp_path / "log.csv").read_bytes() == BODY
    assert [path for path, _ in web.asked] == ["/log.csv"] * 2
    assert 0 < web.asked[1][1] <= 700_000
    assert seen == sorted(seen)
    assert seen[-1] == (len(BODY), len(BODY))
    assert files_under(tmp_path) == {"log.csv"}


def test_after_an_interrupt_the_next_call_fetches_the_rest_only(web, tmp_path):
    web.pages["/log.csv"] = BODY

    def interrupt(done, total, values):
        if done > 300_000:
            raise KeyboardInterrupt

    wanted, hosts = {"log.csv": md5(BODY)}, [[f"{web.address}/log.csv"]]
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, wanted, hosts, interrupt)
    assert not (tmp_path / "log.csv").exists()
    fetch(tmp_path, wanted, hosts, quiet)
    assert web.asked[1][1] > 300_000
    assert files_under(tmp_path) == {"log.csv"}
    assert (tmp_path / "log.csv").read_bytes() == BODY


def test_what_was_whole_before_the_break_is_not_asked_for_again(web, tmp_path):
    web.pages |= {"/a.csv": BODY[:9], "/b.csv": BODY}

    def interrupt(done, total, values):
        if total == len(BODY):
            raise KeyboardInterrupt

    wanted = {"a.csv": md5(BODY[:9]), "b.csv": md5(BODY)}
    hosts = [[f"{web.address}/a.csv", f"{web.address}/b.csv"]]
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, wanted, hosts, interrupt)
    fetch(tmp_path, wanted, hosts, quiet)
    assert [path for path, _ in web.asked] == ["/a.csv", "/b.csv", "/b.csv"]


def test_a_file_that_changed_on_the_host_is_fetched_from_its_start(web, tmp_path):
    web.pages["/log.csv"] = BODY

    def interrupt(done, total, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, {"log.csv": ""}, [[f"{web.address}/log.csv"]], interrupt)
    web.pages["/log.csv"] = other = BODY[::-1]
    fetch(tmp_path, {"log.csv": md5(other)}, [[f"{web.address}/log.csv"]], quiet)
    assert web.asked[-1] == ("/log.csv", 0)
    assert (tmp_path / "log.csv").read_bytes() == other


def test_a_host_that_does_not_name_the_state_of_a_file_is_never_gone_on_with(web, tmp_path):
    web.pages["/log.csv"], web.states["/log.csv"] = BODY, ""

    def interrupt(done, total, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, {"log.csv": ""}, [[f"{web.address}/log.csv"]], interrupt)
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_a_wrong_sum_is_named_and_the_file_is_not_kept(web, tmp_path, digest):
    web.pages["/log.csv"] = BODY
    wanted = hashlib.new(digest, b"else").hexdigest()
    with pytest.raises(
        UserError, match=rf"its log.csv has the {digest} sum \w+ instead of {wanted}\); try again later"
    ):
        fetch(tmp_path, {"log.csv": wanted}, [[f"{web.address}/log.csv"]], quiet)
    assert files_under(tmp_path) == set()
    fetch(tmp_path, {"log.csv": hashlib.new(digest, BODY).hexdigest()}, [[f"{web.address}/log.csv"]], quiet)
    assert [start for _, start in web.asked] == [0, 0]


def tar_of(members: dict[str, bytes], mode: str = "w:gz", link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as writer:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            writer.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            writer.addfile(info)
    return buffer.getvalue()


def test_a_tar_is_checked_as_a_whole_and_its_wanted_members_are_unpacked(web, tmp_path):
    packed = tar_of({"Log/data/a.csv": b"a", "Log/data/b.csv": b"b", "Log/readme.md": b"r"})
    web.pages["/Log.tar.gz"] = packed
    wanted, hosts = {"a.csv": "", "b.csv": ""}, [[f"{web.address}/Log.tar.gz"]]
    with pytest.raises(UserError, match=r"its Log.tar.gz has the md5 sum"):
        fetch(tmp_path, wanted, hosts, quiet, archives={"Log.tar.gz": md5(b"")})
    fetch(tmp_path, wanted, hosts, quiet, archives={"Log.tar.gz": md5(packed)})
    assert files_under(tmp_path) == {"a.csv", "b.csv"}


def test_an_archive_writes_nowhere_else_and_its_links_are_not_followed(web, tmp_path):
    folder = tmp_path / "one" / "two"
    web.pages["/x.tar.gz"] = tar_of({"../../../a.csv": b"a", "/tmp/ctrbench-never.csv": b"n"}, link="b.csv")
    with pytest.raises(UserError, match=r"it has no b.csv"):
        fetch(folder, {"a.csv": "", "b.csv": ""}, [[f"{web.address}/x.tar.gz"]], quiet)
    fetch(folder, {"a.csv": ""}, [[f"{web.address}/x.tar.gz"]], quiet)
    assert files_under(tmp_path) == {"one/two/a.csv"}


def test_a_folder_in_the_name_tells_files_of_one_name_apart(web, tmp_path):
    bodies = {f"{policy}/all.csv": policy.encode() for policy in ("bts", "random")}
    sums = {name: md5(body) for name, body in bodies.items()}
    web.pages |= {f"/raw/{name}": body for name, body in bodies.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name, body in bodies.items():
            writer.writestr(f"deep/{name}", body)
    web.pages["/x.zip"] = buffer.getvalue()
    for addresses in ([f"{web.address}/x.zip"], [f"{web.address}/raw/{name}" for name in bodies]):
        folder = tmp_path / str(len(addresses))
        fetch(folder, sums, [addresses], quiet)
        assert {name: (folder / name).read_bytes() for name in bodies} == bodies


def test_more_than_the_disk_holds_is_refused_before_it_is_fetched(web, tmp_path, monkeypatch):
    web.pages["/log.csv"] = BODY
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"it takes 0.0 GB more, and 0.0 GB are free"):
        fetch(tmp_path, {"log.csv": ""}, [[f"{web.address}/log.csv"]], quiet)


def test_of_two_at_once_one_fetches_and_the_other_waits(web, tmp_path):
    web.pages["/log.csv"] = BODY
    began = threading.Event()

    def slowly(done, total, values):
        began.set()
        time.sleep(0.01)

    arguments = (tmp_path, {"log.csv": md5(BODY)}, [[f"{web.address}/log.csv"]])
    first = threading.Thread(target=fetch, args=(*arguments, slowly))
    first.start()
    assert began.wait(10)
    fetch(*arguments, quiet)
    first.join()
    assert len(web.asked) == 1
    assert files_under(tmp_path) == {"log.csv"}


def test_a_host_that_is_not_there_is_told_in_a_few_words_and_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError) as told:
            fetch(tmp_path, {"log.csv": ""}, [[f"{address}/log.csv"], [f"{address}/log.zip"]], quiet)
    assert f"({address[7:]}: ConnectionRefusedError Connection refused)" in str(told.value)
