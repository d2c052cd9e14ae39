"""The Frappe log: where it is looked for, its checksums, and its download from hosts that fail."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ctrbench import Context, Missing, Ready, UserError
from ctrbench_datasets import frappe
from ctrbench_datasets.frappe import MD5, Frappe

NAMES = tuple(MD5)
HEADER = "label,user,item,daytime,weekday,isweekend,homework,cost,weather,country,city"


def made_up_file(rows: int) -> bytes:
    lines = [",".join(str(v) for v in (n % 2, *(10 * f + n % (2 + f % 3) for f in range(10)))) for n in range(rows)]
    return "\r\n".join([HEADER, *lines, ""]).encode()


FILES = {name: made_up_file(40 + 10 * place) for place, name in enumerate(NAMES)}


def archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, body in members.items():
            writer.writestr(name, body)
    return buffer.getvalue()


class Web:
    """A web server on loopback: path → body; a path in `cut` breaks off halfway."""

    def __init__(self) -> None:
        pages, cut, asked = {}, set(), []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                if self.path not in pages:
                    self.send_error(404)
                    return
                body = pages[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if self.path in cut else body)

            def log_message(self, *args):
                pass

        self.pages, self.cut, self.asked = pages, cut, asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=lambda: self.server.serve_forever(0.01), daemon=True).start()


@pytest.fixture
def web(monkeypatch, tmp_path):
    """Two hosts of the made-up log, an archive and then single files, and an empty cache to download into."""
    web = Web()
    web.pages["/one/Frappe_x1.zip"] = archive({f"Frappe_x1/{name}": body for name, body in FILES.items()})
    web.pages |= {f"/two/{name}": body for name, body in FILES.items()}
    hosts = ((f"{web.address}/one/Frappe_x1.zip",), tuple(f"{web.address}/two/{name}" for name in NAMES))
    sums = {name: hashlib.md5(body).hexdigest() for name, body in FILES.items()}
    monkeypatch.setattr(frappe, "ORIGIN", replace(frappe.ORIGIN, files=sums, hosts=hosts))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CTRBENCH_DATA", raising=False)
    yield web
    web.server.shutdown()
    web.server.server_close()


def everything_under(path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()}


CACHED = {f"cache/ctrbench/Frappe_x1/{name}" for name in NAMES}


def test_the_real_log_has_the_published_vocabulary_and_notes_the_rebuilt_train_split(frappe_folder):
    data = Frappe(path=str(frappe_folder))
    assert data.availability() == Ready()
    log = data.load(seed=1, context=Context())
    fields = log.train.schema.fields
    assert sum(len(field.vocabulary) for field in fields) == 5379
    assert [field.role for field in fields] == ["user", "item", *["context"] * 8]
    assert [len(table) for table in (log.train, log.valid, log.test)] == [202_027, 57_722, 28_860]
    assert [int(table.labels.sum()) for table in (log.train, log.valid, log.test)] == [67_604, 19_063, 9_536]
    numbers = [int(value) for value in fields[1].vocabulary]
    assert numbers == sorted(numbers)
    differing = [name for name, found in zip(NAMES, data.version().split(), strict=True) if found != MD5[name]]
    assert [note.split()[0] for note in log.notes if "md5" in note] == differing
    assert "test.csv" not in differing


def test_the_folder_comes_from_the_parameter_then_the_environment_then_the_cache(web, tmp_path, monkeypatch):
    for folder in ("named", "data/Frappe_x1"):
        (tmp_path / folder).mkdir(parents=True)
        for name, body in FILES.items():
            (tmp_path / folder / name).write_bytes(body)
    missing = Frappe().availability()
    assert isinstance(missing, Missing)
    assert missing.download
    monkeypatch.setenv("CTRBENCH_DATA", str(tmp_path / "data"))
    assert Frappe().availability() == Ready()
    assert Frappe(path=str(tmp_path / "named")).load(seed=1, context=Context()).train.schema.names[0] == "user"
    assert web.asked == []


def test_a_named_folder_that_lacks_a_file_is_never_filled_by_a_download(web, tmp_path):
    (tmp_path / "train.csv").write_bytes(FILES["train.csv"])
    data = Frappe(path=str(tmp_path))
    missing = data.availability()
    assert isinstance(missing, Missing)
    assert not missing.download
    assert "no readable valid.csv; name the folder of train.csv, valid.csv, test.csv" in missing.reason
    with pytest.raises(UserError, match=r"has no readable valid.csv"):
        data.load(seed=1, context=Context())
    assert web.asked == []


def test_it_is_downloaded_once_with_licence_notice_and_progress(web, tmp_path):
    seen = []
    context = Context(progress=lambda done, total, values: seen.append((done, total)))
    before = Frappe().version()
    log = Frappe().load(seed=1, context=context)
    assert everything_under(tmp_path) == CACHED
    assert (len(log.train), log.train.click_rate) == (40, 0.5)
    assert not [note for note in log.notes if "md5" in note]
    size = len(web.pages["/one/Frappe_x1.zip"])
    assert seen[-1] == (size, size)
    assert "research use, with acknowledgement of Baltrunas" in log.notes[0]
    assert Frappe().availability() == Ready()
    assert Frappe().version() == before
    Frappe().load(seed=1, context=Context())
    assert web.asked == ["/one/Frappe_x1.zip"]


def spoil_checksum(web: Web) -> None:
    web.pages["/one/Frappe_x1.zip"] = archive(FILES | {"train.csv": FILES["test.csv"]})


def spoil_by_breaking_off(web: Web) -> None:
    web.cut.add("/one/Frappe_x1.zip")


def spoil_archive(web: Web) -> None:
    web.pages["/one/Frappe_x1.zip"] = b"<html>log in first</html>"


def spoil_by_leaving_out(web: Web) -> None:
    web.pages["/one/Frappe_x1.zip"] = archive({"train.csv": FILES["train.csv"]})


def spoil_by_absence(web: Web) -> None:
    del web.pages["/one/Frappe_x1.zip"]


def spoil_by_a_password(web: Web) -> None:
    packed = bytearray(web.pages["/one/Frappe_x1.zip"])
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = packed.find(mark)
        while at >= 0:
            packed[at + flags] |= 1
            at = packed.find(mark, at + 1)
    web.pages["/one/Frappe_x1.zip"] = bytes(packed)


def spoil_by_a_strange_method(web: Web) -> None:
    packed = web.pages["/one/Frappe_x1.zip"]
    for mark, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = packed.find(mark)
        packed = packed[: at + method] + b"\x63\x00" + packed[at + method + 2 :]
    web.pages["/one/Frappe_x1.zip"] = packed


def spoil_by_changing_packed_bytes(web: Web) -> None:
    packed = bytearray(web.pages["/one/Frappe_x1.zip"])
    for at in range(60, 120):
        packed[at] ^= 0xFF
    web.pages["/one/Frappe_x1.zip"] = bytes(packed)


SPOILED = {
    spoil_by_a_password: "password",
    spoil_by_a_strange_method: "NotImplementedError",
    spoil_by_changing_packed_bytes: "error",
    spoil_checksum: "its train.csv has the md5 sum",
    spoil_by_breaking_off: "IncompleteRead",
    spoil_archive: "BadZipFile",
    spoil_by_leaving_out: "valid.csv",
    spoil_by_absence: "404",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_the_second_host_stands_in_for_the_first(web, tmp_path, spoil):
    spoil(web)
    log = Frappe().load(seed=1, context=Context())
    assert len(log.test) == 60
    assert web.asked == ["/one/Frappe_x1.zip", *(f"/two/{name}" for name in NAMES)]
    assert everything_under(tmp_path) == CACHED


@pytest.mark.parametrize("spoil", SPOILED)
def test_when_every_host_fails_one_line_says_why_and_nothing_is_left(web, tmp_path, spoil):
    spoil(web)
    web.cut.add("/two/valid.csv")
    with pytest.raises(UserError) as caught:
        Frappe().load(seed=1, context=Context())
    message = str(caught.value)
    assert "\n" not in message
    assert SPOILED[spoil] in message
    assert message.count("127.0.0.1") >= 2
    assert f"put the files into {tmp_path / 'cache' / 'ctrbench' / 'Frappe_x1'} by hand" in message
    assert everything_under(tmp_path) == set()
    assert isinstance(Frappe().availability(), Missing)


def test_an_interrupt_while_downloading_leaves_nothing(web, tmp_path):
    def interrupt(done, total, values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Frappe().load(seed=1, context=Context(progress=interrupt))
    assert everything_under(tmp_path) == set()
    assert len(Frappe().load(seed=1, context=Context()).train) == 40


def test_an_archive_cannot_write_outside_the_folder(web, tmp_path):
    escaping = {"../../../escaped.txt": b"x", **{f"../../../{name}": body for name, body in FILES.items()}}
    web.pages["/one/Frappe_x1.zip"] = archive(escaping)
    Frappe().load(seed=1, context=Context())
    assert everything_under(tmp_path) == CACHED


def test_a_link_in_an_archive_or_in_the_folder_is_never_followed(web, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("my diary")
    linked = zipfile.ZipInfo("train.csv")
    linked.create_system, linked.external_attr = 3, 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr(linked, str(mine))
        for name in NAMES[1:]:
            writer.writestr(name, FILES[name])
    web.pages["/one/Frappe_x1.zip"] = buffer.getvalue()
    folder = tmp_path / "cache" / "ctrbench" / "Frappe_x1"
    folder.mkdir(parents=True)
    (folder / "test.csv").symlink_to(mine)
    Frappe().load(seed=1, context=Context())
    assert mine.read_text() == "my diary"
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert len(web.asked) == 4, "the link in the first host's archive has not the published sum"


def test_a_cache_that_cannot_be_written_is_the_users_to_mend(web, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"cannot be made .* check its rights"):
        Frappe().load(seed=1, context=Context())
