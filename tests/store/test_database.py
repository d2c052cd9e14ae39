"""The results database: what is none of ours, schemas of earlier versions, lines to a server that are cut."""

from __future__ import annotations

import multiprocessing
import os
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from ctrbench import Score, UserError
from ctrbench.ids import TaskKind
from ctrbench.results import Environment, Status, TaskResult
from ctrbench.store.database import SCHEMA_VERSION, Database, _server_name, metadata, run_tasks, tasks
from ctrbench.store.store import Store
from postgres import cut_lines
from test_store import GOOD, KEYS, begin, count

# Lines that are cut


def test_a_cut_line_loses_and_doubles_nothing(new_database: str) -> None:
    store = Store.open(new_database)
    run, cut = begin(store), 0
    for number in range(20):
        store.keep(run, f"t{number}", TaskKind.SCORE, KEYS[number], GOOD)
        cut += cut_lines(new_database)
    assert cut >= 20
    assert (count(store, tasks), count(store, run_tasks)) == (20, 20)


def test_a_server_out_of_reach_is_lost_within_a_minute_unless_the_address_says_otherwise(new_database: str) -> None:
    def line(url: str) -> dict[str, str]:
        with Database.open(url)._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            told: dict[str, str] = driver.info.get_parameters()
            return told

    ours, asked = line(new_database), line(f"{new_database}&keepalives_idle=300&connect_timeout=5")
    assert int(ours["keepalives_idle"]) + int(ours["keepalives_interval"]) * int(ours["keepalives_count"]) == 60
    assert int(ours["tcp_user_timeout"]) == 60_000
    assert (asked["keepalives_idle"], asked["connect_timeout"]) == ("300", "5")


def test_a_line_cut_while_a_store_is_opened_is_mended_too(new_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(new_database).close()
    prepare, tries = Database._prepare, []

    def cut_once(database: Database, create: bool) -> None:
        with database._engine.connect() as connection:
            tries.append(1)
            if len(tries) == 1:
                cut_lines(new_database)
            connection.execute(sa.select(1))
        prepare(database, create)

    monkeypatch.setattr(Database, "_prepare", cut_once)
    store = Store.open(new_database)
    assert len(tries) == 2
    assert store.runs() == []


def test_a_line_cut_within_a_transaction_is_mended_by_doing_it_again(new_database: str) -> None:
    store = Store.open(new_database)
    tries = []

    def work(connection: sa.Connection) -> None:
        connection.execute(sa.select(1))
        tries.append(1)
        if len(tries) == 1:
            cut_lines(new_database)
        connection.execute(sa.insert(tasks).values(row))

    row = {
        "key": KEYS[0], "kind": "train", "status": "ok", "plugin": "", "stage": "", "reason": "", "traceback": "",
        "outputs": {}, "values": {}, "seconds": {}, "peak_memory": 0, "finished": 0.0, "run": "r",
    }  # fmt: skip
    store.database.write(work)
    assert len(tries) == 2
    assert count(store, tasks) == 1


def test_a_line_that_is_always_cut_ends_in_one_line(new_database: str) -> None:
    store = Store.open(new_database)

    def work(connection: sa.Connection) -> None:
        cut_lines(new_database)
        connection.execute(sa.select(1))

    with pytest.raises(UserError, match=r"cannot be written: .*; what was stored before is kept") as caught:
        store.database.write(work)
    assert "\n" not in str(caught.value)


# What is no store of ours


@pytest.mark.parametrize(
    "kind", ["text", "foreign", "foreign, in Latin-1", "newer", "folder", "pipe", "absent", "unwritable"]
)
def test_what_is_not_a_store_of_ours_is_refused_in_one_line_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "results.db"
    if kind == "text":
        path.write_text("my diary " * 1000)
    elif kind == "foreign":
        with sqlite3.connect(path) as database:
            database.execute("create table customers (name text)")
    elif kind == "foreign, in Latin-1":
        with sqlite3.connect(path) as database:
            database.executescript("create table a (x text); create table odd (x text); pragma writable_schema = 1")
            name = "cast(x'ff' as text)"
            database.execute(
                f"update sqlite_master set name = {name}, tbl_name = {name}, sql = replace(sql, 'odd', {name}) "
                "where name = 'odd'"
            )
    elif kind == "newer":
        Store.open(str(path)).close()
        with sqlite3.connect(path) as database:
            database.execute("update ctrbench set schema_version = 99")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unwritable":
        path = Path("/proc/no/such/results.db")
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UserError) as caught:
        Store.open(str(path), create=kind != "absent")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("drop table run_cells; create view run_cells as with recursive n (x) as (select 1 union all select x + 1 "
         "from n) select x as run, x as position, x as kind, x as fields from n", "has the view 'run_cells'"),
        ("create trigger gone after insert on runs begin delete from tasks; end", "has the trigger 'gone'"),
        ("create virtual table words using fts5(word)", "has the virtual table 'words'"),
        ("alter table tasks drop column host; alter table tasks add column host as (zeroblob(1000000000))",
         "has the computed column 'host'"),
        ("update ctrbench set schema_version = 'new'", "its schema version is 'new', which is none"),
        ("update ctrbench set schema_version = 1.5", "its schema version is '1.5', which is none"),
        ("update ctrbench set schema_version = 0", "its schema version is '0', which is none"),
        ("update ctrbench set schema_version = x'ff'", "which is none"),
    ],
)  # fmt: skip
def test_a_store_that_somebody_has_edited_is_refused_where_it_computes_or_has_no_version(
    tmp_path: Path, statement: str, said: str
) -> None:
    path = tmp_path / "results.db"
    Store.open(str(path)).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)
    for create in (True, False):
        with pytest.raises(UserError, match=re.escape(said)) as caught:
            Store.open(str(path), create=create)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "in memory, results would be lost"),
        ("mysql://me@host/db", "mysql is not known here"),
        ("postgresql+psycopg2://me@host/db", r"pip install 'ctrbench\[postgresql\]'"),
        ("postgresql+psycopg://[", "cannot be used as a store"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        Store.open(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", ["me@host/two", "me@other/db", "me@host:5433/db", "/ctrbench"])
def test_databases_of_a_server_have_folders_of_their_own(other: str) -> None:
    one, two = (_server_name(sa.make_url(f"postgresql+psycopg://{each}")) for each in ("me@host/db", other))
    assert one == "db_on_host"
    assert two not in (one, "ctrbench")


def test_a_servers_database_of_something_else_is_refused_and_an_empty_one_is_no_store(new_database: str) -> None:
    with pytest.raises(UserError, match="there is no store yet"):
        Store.open(new_database, create=False)
    engine = sa.create_engine(new_database)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table customers (name text)")
    with pytest.raises(UserError, match=r"a database of something else \(it has customers\)"):
        Store.open(new_database)
    assert sa.inspect(engine).get_table_names() == ["customers"]
    engine.dispose()


# Schemas


VERSION_1 = """
CREATE TABLE ctrbench (id INTEGER NOT NULL, schema_version INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE runs (run VARCHAR(32) NOT NULL, started FLOAT NOT NULL, finished FLOAT, command TEXT NOT NULL,
    about JSON NOT NULL, environment JSON NOT NULL, PRIMARY KEY (run));
CREATE TABLE tasks (key VARCHAR(64) NOT NULL, kind VARCHAR(16) NOT NULL, status VARCHAR(16) NOT NULL,
    plugin TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL, traceback TEXT NOT NULL, outputs JSON NOT NULL,
    "values" JSON NOT NULL, seconds JSON NOT NULL, peak_memory BIGINT NOT NULL, finished FLOAT NOT NULL,
    run VARCHAR(32) NOT NULL, PRIMARY KEY (key));
CREATE TABLE run_cells (run VARCHAR(32) NOT NULL, position INTEGER NOT NULL, kind VARCHAR(8) NOT NULL,
    fields JSON NOT NULL, PRIMARY KEY (run, position), FOREIGN KEY(run) REFERENCES runs (run));
CREATE TABLE run_tasks (run VARCHAR(32) NOT NULL, task VARCHAR(512) NOT NULL, key VARCHAR(64) NOT NULL,
    blocked_by VARCHAR(512) NOT NULL, PRIMARY KEY (run, task), FOREIGN KEY(run) REFERENCES runs (run));
INSERT INTO ctrbench VALUES (1, 1);
INSERT INTO runs VALUES ('r', 1.5, NULL, 'ctrbench run', '{"suite": "s", "seed": 1, "budget": 0.30000000000000004,
    "repeats": 1, "datasets": {"log": {"plugin": "log (d 1)", "parameters": {"path": "x"}, "fingerprint": "f",
    "rows": {"train": 9}, "click_rate": {"train": 0.5}, "notes": ["n"]}}, "scenarios": {"original":
    {"keeps_real": true, "help": "h"}}, "prediction_metrics": {"auc": {"better": "higher", "unit": "AUC"}},
    "synthetic_metrics": {}, "left_out": [], "failed_data": [], "broken": []}', '{"python": "3.11"}');
INSERT INTO tasks VALUES ('KEY', 'score', 'ok', 'm (d 1)', '', '', '', '{}',
    '{"value": 0.30000000000000004, "baseline": null, "details": {}}', '{"fit": 1.5}', 7, 2.5, 'r');
INSERT INTO run_cells VALUES ('r', 0, 'cell', '{"dataset": "log", "generator": "", "scenario": "original",
    "model": "dnn", "repeat": 0, "train": "train/x"}');
INSERT INTO run_tasks VALUES ('r', 'score/auc/train/x', 'KEY', '');
""".replace("'KEY'", f"'{KEYS[0]}'")
"""A store as the first version made it."""


def make_version_1(where: str) -> None:
    engine = sa.create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        for statement in VERSION_1.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    engine.dispose()


def everything(where: str) -> dict[str, list[dict[str, object]]]:
    engine = sa.create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.connect() as connection:
        found = {
            table.name: [dict(row) for row in connection.exec_driver_sql(f"select * from {table.name}").mappings()]
            for table in metadata.sorted_tables
        }
    engine.dispose()
    return found


def test_a_store_of_version_1_is_brought_to_this_schema_with_all_it_holds(where: str) -> None:
    make_version_1(where)
    before = everything(where)
    store = Store.open(where, create=False)
    old = TaskResult(Status.OK, "m (d 1)", output=Score(0.1 + 0.2), seconds={"fit": 1.5}, peak_memory=7)
    assert store.find(KEYS[0]) == old
    store.keep("r", "t2", TaskKind.SCORE, KEYS[1], GOOD)
    assert store.find(KEYS[1]) == GOOD
    run = store.load_run("r")
    assert (run.info.budget, run.info.model_seeds, run.info.datasets["log"].notes) == (0.1 + 0.2, 1, ["n"])
    assert run.machines == [Environment("r", "3.11")]
    assert [cell.scores for cell in run.cells] == [{"auc": Score(0.1 + 0.2)}]
    store.close()
    after = everything(where)
    assert after.pop("ctrbench") == [{"id": 1, "schema_version": SCHEMA_VERSION}]
    for name, rows in after.items():
        for row in before[name]:
            assert any(row.items() <= other.items() for other in rows), name


def test_the_steps_make_exactly_the_tables_that_are_declared(where: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    Store.open(where).close()
    engine = sa.create_engine(where if "://" in where else f"sqlite:///{where}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "ctrbench_revision"})
        assert context.get_current_revision() == str(SCHEMA_VERSION)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def open_at_once(where: str, go: object, said: object) -> None:
    go.wait()  # type: ignore[attr-defined]
    try:
        store = Store.open(where)
        said.put((store.find(KEYS[0]) is not None, ""))  # type: ignore[attr-defined]
    except Exception as error:
        said.put((False, repr(error)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("old", [True, False], ids=["version 1", "empty"])
def test_several_who_open_a_store_at_once_migrate_it_once(where: str, old: bool) -> None:
    if old:
        make_version_1(where)
    context = multiprocessing.get_context("spawn")
    go, said = context.Event(), context.Queue()
    openers = [context.Process(target=open_at_once, args=(where, go, said)) for _ in range(3)]
    for opener in openers:
        opener.start()
    go.set()
    assert [said.get(timeout=120) for _ in openers] == [(old, "")] * 3
    for opener in openers:
        opener.join()


def test_stores_that_threads_open_at_once_are_each_brought_to_this_schema(tmp_path: Path) -> None:
    places = [str(tmp_path / f"{number}.db") for number in range(6)]
    with ThreadPoolExecutor(len(places)) as threads:
        for store in threads.map(Store.open, places):
            assert store.runs() == []
            store.close()


def test_a_migration_that_fails_changes_nothing(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ctrbench.store import migrations

    make_version_1(where)
    before = everything(where)
    whole = migrations.upgrade

    def cut_short(connection: sa.Connection, version: int | None) -> None:
        whole(connection, version)
        raise OSError("the light went out")

    monkeypatch.setattr(migrations, "upgrade", cut_short)
    with pytest.raises(UserError, match="the light went out"):
        Database.open(where)
    monkeypatch.undo()
    assert everything(where) == before
    assert Store.open(where).find(KEYS[0]) is not None


def test_a_link_to_a_store_is_the_store(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    with closing(Store.open(str(tmp_path / "real" / "results.db"))) as store:
        folder = store.artefacts.folder
    (tmp_path / "link.db").symlink_to(tmp_path / "real" / "results.db")
    with closing(Store.open(str(tmp_path / "link.db"), create=False)) as linked:
        assert linked.artefacts.folder == folder
