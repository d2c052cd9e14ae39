"""No password is shown or kept: whatever a user gives is masked before, and what cannot be read is not shown at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from ctrbench import params, provenance
from ctrbench.cli import main
from ctrbench.errors import UserError
from ctrbench.results import DatasetInfo, Environment, Pool, RunInfo
from ctrbench.store import transfer
from ctrbench.store.database import _without, runs
from ctrbench.store.store import Store
from ctrbench.text import command_line, may_be_address, secrets_of, shown_address, without_password
from ctrbench_datasets.csv_log import CsvLog

SECRET = "geheim"
HOST = "127.0.0.1:1"  # where nobody answers
ADDRESSES = [
    f"postgresql+psycopg://me:geheim@{HOST}/db",
    "postgresql+psycopg://me:geheim@127.0.0.1:abc/db",
    f"postgresql+psycopg://{HOST}/db?user=me&password=geheim",
    f"postgresql+psycopg://{HOST}/db?sslpassword=geheim&sslmode=disable",
    f"postgresql+psycopg://{HOST}/db?geheim=1",
    f"postgresql+psycopg://{HOST}/db?options=-c%20x%3Dgeheim",
    f"postgresql+psycopg://me:ge@geheim@{HOST}/db",
    f"postgresql+psycopg://me:x/geheim@{HOST}/db",
    f"postgresql+psycopg://me:x geheim@{HOST}/db",
    f"postgresql+psycopg://me:x?geheim@{HOST}/db",
    f"postgresql+psycopg://me:x#geheim@{HOST}/db",
    f"postgresql+psycopg://me:x:geheim@{HOST}/db",
    f"postgresql+psycopg://me:[geheim@{HOST}/db",
    f"postgresql+psycopg://me:x%40geheim@{HOST}/db",
    f"postgresql+psycopg://me%3Ageheim@{HOST}/db",
    f"postgresql+psycopg://me:\ngeheim@{HOST}/db",
    f"postgresql+psycopg://me:ä€geheim@{HOST}/db",
    f"postgresql+psycopg:///me:geheim@{HOST}/db",
    f"postgresql+psycopg:/me:geheim@{HOST}/db",
    f"postgresql+psycopg:me:geheim@{HOST}/db",
    f"postgresql+psycopg//me:geheim@{HOST}/db",
    f"//me:geheim@{HOST}/db",
    f"me:geheim@{HOST}/db",
    "postgresql+psycopg://me:geheim/db",
    "postgresql+psycopg://me:geheim",
    "postgresql+psycopg://[::1geheim",
    "postgresql+psycopg://me:geheim@[::1/db",
    f"POSTGRESQL://me:geheim@{HOST}/db",
    f"postgrsql://me:geheim@{HOST}/db",
    f"mysql://me:geheim@{HOST}/db",
    f"sqlite://me:geheim@{HOST}/db",
    "host=127.0.0.1 port=1 password=geheim dbname=db",
    "host=127.0.0.1 port=1 PASSWORD = 'x geheim' dbname=db",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_is_shown_or_recorded_with_its_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        Store.open(address)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "an address is never taken for a path"
    for said in (
        shown_address(address),
        without_password(f"ctrbench run --store {address}"),
        without_password(f"the address ({address}) is odd"),
        without_password(command_line(["ctrbench", "run", "--store", address, f"--store={address}", "-m", "dnn"])),
    ):
        assert SECRET not in said or address.startswith(("me:", "//", "postgresql+psycopg:me", "postgresql+psycopg//"))
        assert without_password(said) == said or SECRET in said, "it is masked once for all"
    recorded = command_line(["ctrbench", "run", "--store", address, f"--store={address}", "-m", "dnn"])
    assert SECRET not in recorded
    assert recorded.endswith("-m dnn")


@pytest.mark.parametrize(
    "words",
    [["leaderboard", "{}"], ["{}"], ["leaderboard", "--store"], ["leaderboard", "--stroe={}"], ["run", "-d", "{}"],
     ["store", "import", "{}"], ["show", "{}"], ["compare", "{}"], ["leaderboard", "--run", "{}"],
     ["run", "--suite", "{}"], ["leaderboard", "--metric={}"], ["run", "--repeats", "{}"],
     ["leaderboard", "--format", "{}"]],
)  # fmt: skip
@pytest.mark.parametrize("address", [ADDRESSES[0], ADDRESSES[8], ADDRESSES[22]])
def test_no_mistake_on_the_command_line_shows_one(
    words: list[str], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["ctrbench", *(word.format(address) for word in words)]
    monkeypatch.setattr(sys, "argv", line)
    result = CliRunner().invoke(main, line[1:], env={"CTRBENCH_STORE": address})
    assert result.exit_code == 2
    assert SECRET not in result.output + result.stderr


def test_what_is_no_secret_is_shown() -> None:
    plain = "postgresql+psycopg://me@db.example.org:5432/results?sslmode=require&connect_timeout=5"
    assert shown_address(plain) == plain
    assert shown_address("postgresql+psycopg://me:x@db:5432/r") == "postgresql+psycopg://me:***@db:5432/r"
    for path in ("results.db", "../a b/me@work.db", "sqlite:////home/me@work/r.db", "/tmp/x:y/r.db", "C:\\r.db"):
        assert shown_address(path) == path
    command = "ctrbench run -d 'csv_log[path=log.csv, label=click]' --store postgresql://me:***@h/db -g smoten"
    assert without_password(command) == command
    assert secrets_of("postgresql://me:a%40b@h/db?password=c+d&sslmode=require") != []
    assert {"a@b", "a%40b", "c d"} <= set(secrets_of("postgresql://me:a%40b@h/db?password=c+d&sslmode=require"))


def test_a_password_that_an_earlier_ctrbench_kept_is_not_shown_or_passed_on(tmp_path: Path) -> None:
    with closing(Store.open(str(tmp_path / "old.db"))) as store:
        run = store.begin_run("ctrbench run", "quick", Environment())
        pool = Pool("d", "g", 0, "p", "g")
        log = DatasetInfo("log (ctrbench 0)", {}, "0", {"train": 1}, {"train": 0.5})
        store.describe_run(run, RunInfo("quick", 1, 1.0, 1, 1, {"d": log}, {}, {}, {}), [pool], [])
        kept = f"ctrbench run --store 'postgresql://me:x {SECRET}@h/db' -m dnn"
        store.database.write(lambda connection: connection.execute(sa.update(runs).values(command=kept)))
        assert SECRET not in store.runs()[0].command
        results = store.load_run(run)
        assert SECRET not in results.command
        assert SECRET not in json.dumps(provenance.of(results))
        transfer.export(store, tmp_path / "old.zip")
    with zipfile.ZipFile(tmp_path / "old.zip") as archive:
        assert SECRET not in archive.read("runs.jsonl").decode()


def test_an_address_in_a_parameter_of_a_plug_in_is_masked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In messages, in labels of tables and in what is kept of parameters; not in what the plug-in is given."""
    monkeypatch.chdir(tmp_path)
    for odd in (
        f"https://me:{SECRET}@h/log.csv",
        f"mysql://h/db?password={SECRET}",
        f"https://me:x {SECRET}@h/log.csv",
    ):
        line = ["ctrbench", "data", "describe", f"csv_log[path={odd}, label=click]"]
        monkeypatch.setattr(sys, "argv", line)
        result = CliRunner().invoke(main, line[1:])
        assert result.exit_code == 2
        assert SECRET not in result.output + result.stderr
        log = CsvLog(path=odd)
        assert SECRET not in params.label(log, ["path"])
        assert SECRET not in json.dumps(params.recorded(params.values(log) | {"more": [odd]}))
        assert params.values(log)["path"] == odd
    assert params.label(CsvLog(path="a b/log.csv"), ["path"]) == "csv_log[path=a b/log.csv]"


def test_libpqs_own_ways_to_a_password_work(new_database: str, tmp_path: Path) -> None:
    """A password file, an environment variable: neither is in the address."""
    url = sa.make_url(new_database)
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{SECRET}\n")
    (tmp_path / "pgpass").chmod(0o600)
    words = [sys.executable, "-m", "ctrbench", "leaderboard", "--runs", "--store", new_database]
    for more in ({"PGPASSFILE": str(tmp_path / "pgpass")}, {"PGPASSWORD": SECRET}):
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **more}, cwd=tmp_path)
        assert SECRET not in done.stdout + done.stderr
        assert "there is no store yet" in done.stderr
    assert url.password is None


def test_a_short_password_is_hidden_where_it_stands_and_not_in_the_words_around_it() -> None:
    said = _without(["p"], 'connection to "h", port 1 failed for "me:p@h"')
    assert said == 'connection to "h", port 1 failed for "me:***@h"'
    assert _without(["longsecret"], "xlongsecretx") == "x***x"


@pytest.mark.parametrize("part", ["x", "a.", "pwd", "ab://y ", "a:", ":/", "--pwd ", "pwd= ", "ab://y@"])
def test_a_long_text_is_looked_through_in_no_time(part: str) -> None:
    text, began = part * (300_000 // len(part)), time.process_time()
    without_password(text)
    shown_address(text)
    may_be_address(text)
    assert time.process_time() - began < 5
