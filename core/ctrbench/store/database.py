"""The results database: its tables, how it is opened and brought to this schema, transactions that survive a cut line.

In: a path or a database URL. Out: a `Database` of the present schema, or one line that says why not. SQLite in WAL mode
by default; PostgreSQL by URL.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ctrbench.digests import digest
from ctrbench.errors import UserError
from ctrbench.text import HIDDEN, encodable, is_address, may_be_address, secrets_of, shown_address

SCHEMA_VERSION = 2
"""The last revision in `migrations/versions`."""

_T = TypeVar("_T")
_LONGEST_NAME = 512
_PAUSE = 1.0  # seconds before a cut line is tried again: a server that restarts needs a moment
_OUR_LOCK = 0x637472  # of PostgreSQL's advisory locks: "ctr"
_MIGRATING = threading.Lock()  # alembic knows one migration in a process, whichever store another thread has


def short_name(task: str) -> str:
    """A task's name as the store writes it: a very long one is cut, and a digest keeps it distinct."""
    task = _escaped(task)
    return task if len(task) <= _LONGEST_NAME else f"{task[: _LONGEST_NAME - 66]}… {digest(task)}"


def _escaped(text: str) -> str:
    """A text in which what no database stores is written as an escape."""
    return encodable(text).replace("\0", r"\x00")


class _Text(sa.TypeDecorator[str]):
    """Any text that a plug-in may say."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else _escaped(value)


class _Name(sa.TypeDecorator[str]):
    """A task's name."""

    impl = sa.String(_LONGEST_NAME)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else short_name(value)


class _Json(sa.TypeDecorator[Any]):
    """JSON; a text that is none is handed on as it is, for the edge of the store to refuse with its row's name."""

    impl = sa.JSON
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:
        read = super().result_processor(dialect, coltype)

        def tolerant(value: Any) -> Any:
            try:
                return read(value) if read else value
            except (ValueError, RecursionError):
                return value

        return tolerant


metadata = sa.MetaData()
version_row = sa.Table(
    "ctrbench",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
)
tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("plugin", _Text, nullable=False),
    sa.Column("stage", _Text, nullable=False),
    sa.Column("reason", _Text, nullable=False),
    sa.Column("traceback", _Text, nullable=False),
    sa.Column("outputs", _Json, nullable=False),  # `TaskResult.artefacts`: name → digest
    sa.Column("values", _Json, nullable=False),  # `TaskResult.output`, curves and bookkeeping in one
    sa.Column("seconds", _Json, nullable=False),
    sa.Column("peak_memory", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.Float, nullable=False),
    sa.Column("run", sa.String(32), nullable=False),  # the run that did it
    sa.Column("started", sa.Float, nullable=False, server_default="0"),  # 0 where it is not known
    sa.Column("host", sa.String(12), nullable=False, server_default=""),
    sa.Column("peak_gpu_memory", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("inputs", _Json, nullable=False, server_default="{}"),  # seeds, fingerprints
)
runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("command", _Text, nullable=False),
    sa.Column("about", _Json, nullable=False),  # suite, seed, budget, data sets, metrics, notes
    sa.Column("environment", _Json, nullable=False),
)
run_tasks = sa.Table(
    "run_tasks",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("task", _Name, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False),  # "" where the task could not be begun
    sa.Column("blocked_by", _Name, nullable=False),
)
run_cells = sa.Table(  # cells and pools of a run's grid
    "run_cells",
    metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),  # "cell" or "pool"
    sa.Column("fields", _Json, nullable=False),
)


_LINE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""How long a server may be out of reach before the line to it is lost, in libpq's words: seconds, but for the last."""


class NoStoreError(UserError):
    """There is no store yet where one was to be read."""


class Database:
    """A results database of the present schema."""

    def __init__(self, url: sa.URL, shown: str, path: Path | None, secrets: Sequence[str] = ()) -> None:
        self.shown = shown  # what the user gave, without a password
        self.path = path  # of the file; None for a server
        self._name = path.stem if path else _server_name(url)
        self._secrets = secrets  # what no message of a driver may show
        connect = {"timeout": 60} if path else {name: value for name, value in _LINE.items() if name not in url.query}
        self._engine = sa.create_engine(url, pool_pre_ping=path is None, connect_args=connect)
        if path:
            sa.event.listen(self._engine, "connect", _configure_sqlite)

    def beside(self, what: str) -> Path:
        """The folder of what belongs to it: beside the file, or where the command is given for a server's."""
        name = f"{self._name}-{what}"
        return self.path.with_name(name) if self.path else Path(name).absolute()

    @classmethod
    def open(cls, where: str, *, create: bool = True) -> Database:
        """The database at a path or URL, brought to this schema; UserError where it cannot be, or is not ours."""
        shown, secrets = encodable(shown_address(where)), secrets_of(where)
        if may_be_address(where) and not is_address(where):
            raise UserError(
                f"store {shown}: cannot be used as a store: neither a path nor an address (a password is never "
                "shown): write postgresql+psycopg://USER@HOST:PORT/DATABASE and leave the password to PGPASSWORD or "
                "~/.pgpass; in an address, write its characters @ / ? # as %40 %2F %3F %23"
            )
        try:
            url = sa.make_url(where) if is_address(where) else sa.URL.create("sqlite", database=os.fspath(Path(where)))
            path = _path(url)
            if path:
                url = _file_url(path, shown, create)
            database = cls(url, shown, path, secrets)
            database._twice(lambda: database._prepare(create))
        except (sa.exc.SQLAlchemyError, OSError, ValueError, ImportError) as error:
            cause = _without(secrets, _cause(error))
            raise UserError(f"store {shown}: cannot be used as a store: {cause}{_advice(error)}") from None
        return database

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()

    def read(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[sa.RowMapping]:
        """The rows of a query, `values` standing for what it leaves open."""

        def rows() -> Sequence[sa.RowMapping]:
            with self._engine.connect() as connection:
                return connection.execute(query, values).mappings().all()

        return self._insist(rows, "read")

    def look(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Do a group of queries, which all see the same state."""

        def snapshot() -> _T:
            level = {} if self.path else {"isolation_level": "REPEATABLE READ"}
            with self._engine.connect().execution_options(**level) as connection:
                if self.path:
                    connection.exec_driver_sql("BEGIN")
                return work(connection)

        return self._insist(snapshot, "read")

    def write(self, work: Callable[[sa.Connection], _T]) -> _T:
        """Do a group of statements, all or none of it; after a cut line it is done again, and must bear that."""

        def transaction() -> _T:
            with self._engine.begin() as connection:
                self._lock(connection)
                return work(connection)

        return self._insist(transaction, "written")

    def rehearse(self, work: Callable[[sa.Connection], object]) -> None:
        """Do a group of statements and undo it: what would stop it does."""

        def attempt() -> None:
            with self._engine.connect() as connection:  # closed without a commit
                self._lock(connection)
                work(connection)

        self._insist(attempt, "written")

    def _lock(self, connection: sa.Connection) -> None:
        """See to it that what a transaction reads stays true until it writes; a server does so itself."""
        if self.path:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def insert(self, table: sa.Table) -> Any:
        """An insert that can say what to do about a row which is there already."""
        return (sqlite if self.path else postgresql).insert(table)

    def taking_tasks(self, *, fresh: bool) -> sa.Executable:
        """Takes in rows of `tasks`: a good result takes the place of a bad one, and never gives way to one.

        Where they are `fresh`, results of equal worth take the place of stored ones too.
        """
        insert = self.insert(tasks)
        good, was_good = insert.excluded.status == "ok", tasks.c.status == "ok"
        kept: sa.Executable = insert.on_conflict_do_update(
            index_elements=["key"],
            set_={column.name: insert.excluded[column.name] for column in tasks.c if column.name != "key"},
            where=good | ~was_good if fresh else good & ~was_good,
        )
        return kept

    def damage(self) -> list[str]:
        """What the database itself finds wrong with its file; PostgreSQL looks after its own."""
        if not self.path:
            return []

        def ask(connection: sa.Connection) -> list[str]:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            references = connection.exec_driver_sql("PRAGMA foreign_key_check")
            lost = {f"a row of {row[0]} names no row of {row[2]}" for row in references}
            return [text for text in found if text != "ok"] + sorted(lost)

        return self.look(ask)

    def _insist(self, work: Callable[[], _T], done: str) -> _T:
        """Do a piece of work, once more where the line to a server was cut; then what is wrong, in one line."""
        try:
            return self._twice(work)
        except sa.exc.DBAPIError as error:
            if _is_our_fault(error):
                raise
            cause = _without(self._secrets, _cause(error))
            raise UserError(
                f"store {self.shown}: cannot be {done}: {cause}; what was stored before is kept: "
                "fix that (disk space, permissions, the server) and run the same command again"
            ) from None

    def _twice(self, work: Callable[[], _T]) -> _T:
        """Do a piece of work, once more where the line to a server was cut."""
        try:
            return work()
        except sa.exc.DBAPIError as error:
            if self.path or _is_our_fault(error):
                raise
        time.sleep(_PAUSE)
        return work()

    def _prepare(self, create: bool) -> None:
        names = set(sa.inspect(self._engine).get_table_names())
        if names and version_row.name not in names:
            raise UserError(
                f"store {self.shown}: is a database of something else (it has {', '.join(sorted(map(str, names))[:3])})"
            )
        if not names and not create:
            raise NoStoreError(f"store {self.shown}: there is no store yet; `ctrbench run` makes one")
        with self._engine.connect() as connection:
            if self.path and (odd := connection.execute(_WITH_A_WILL_OF_ITS_OWN).first()):
                raise UserError(
                    f"store {self.shown}: has the {odd[0]} {encodable(str(odd[1]))[:80]!r}, which no ctrbench makes, "
                    "and which may change what is read or written; ask whom it is from for an archive (`ctrbench "
                    "store export`), or name another store"
                )
            version = _version(connection) if names else None
            if version is None and self.path:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
        if version is None or version < SCHEMA_VERSION:
            version = self._migrate()
        if version != SCHEMA_VERSION:
            raise UserError(
                f"store {self.shown}: has schema version {version}, this ctrbench reads {SCHEMA_VERSION}; "
                "use the ctrbench that made it, or name another store"
            )

    def _migrate(self) -> int:
        """Bring the tables to this schema, all or none of it; of several who try at once, one does it."""
        from ctrbench.store import migrations

        with _MIGRATING, self._engine.begin() as connection:
            if self.path:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_OUR_LOCK)))
            present = sa.inspect(connection).has_table(version_row.name)
            version = _version(connection) if present else None
            if version is None or version < SCHEMA_VERSION:
                migrations.upgrade(connection, version)
                connection.execute(sa.delete(version_row))
                connection.execute(sa.insert(version_row).values(id=1, schema_version=SCHEMA_VERSION))
                version = SCHEMA_VERSION
        return version


def _version(connection: sa.Connection) -> int | None:
    found: object = connection.scalar(sa.select(version_row.c.schema_version))
    if found is None or (isinstance(found, int) and found > 0):
        return found
    raise ValueError(f"its schema version is {str(found)[:40]!r}, which is none")


_WITH_A_WILL_OF_ITS_OWN = sa.text(
    "select type, name from sqlite_master where type in ('view', 'trigger') "
    "union all select 'virtual table', name from sqlite_master where sql like 'create virtual%' "
    "union all select 'computed column', its.name from sqlite_master as the, pragma_table_xinfo(the.name) as its "
    "where the.type = 'table' and the.sql not like 'create virtual%' and its.hidden > 0"
)
"""What computes, in a file of SQLite, as it is read or written: in a stranger's it may never end, or remove rows."""


def _server_name(url: sa.URL) -> str:
    """What tells a server's database from any other: two that share a folder would each take the other's for waste."""
    port = f"_{url.port}" if url.port else ""
    return re.sub(r"[^\w.-]", "_", f"{url.database}_on_{url.host or 'localhost'}{port}")


def _path(url: sa.URL) -> Path | None:
    """The file behind a URL; None for a server."""
    kind = url.get_backend_name()
    if kind == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ValueError("name a file; in memory, results would be lost")
        return Path(os.path.realpath(url.database or ""))  # its artefacts lie beside the file, not beside a link to it
    if kind != "postgresql":
        raise ValueError(f"{kind} is not known here; name a file, or postgresql+psycopg://USER@HOST/DATABASE")
    return None


def _file_url(path: Path, shown: str, create: bool) -> sa.URL:
    """The URL of an SQLite file; one on a read-only disk is opened for reading, where that is all that is wanted."""
    url = sa.URL.create("sqlite", database=os.fspath(path))
    if not path.parent.is_dir():  # more likely a typing error than a wish for a new folder
        folder = encodable(str(path.parent))
        raise UserError(f"store {shown}: there is no folder {folder}; make it (mkdir -p), or name another store")
    if not create and not path.exists():
        raise NoStoreError(f"store {shown}: there is no store yet; `ctrbench run` makes one")
    if path.exists() and not path.is_file():  # nobody may ever write to a pipe
        raise ValueError("it is a folder, a pipe or a device; name a file")
    if not create and not os.access(path.parent, os.W_OK) and not _pending(path):
        return url.set(database=path.as_uri(), query={"mode": "ro", "immutable": "1", "uri": "true"})
    return url


def _pending(path: Path) -> bool:
    """Whether SQLite has written what is not yet in the file itself."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.text_factory = _text


def _text(stored: bytes) -> str | bytes:
    """A text; the bytes of what is none, for the edge of the store to refuse with its row's name."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def _is_our_fault(error: sa.exc.DBAPIError) -> bool:
    """Whether a statement is wrong, rather than the disk, the server, the line to it, or what we may do there."""
    may_not = getattr(error.orig, "sqlstate", None) == "42501"
    wrong = sa.exc.ProgrammingError | sa.exc.IntegrityError | sa.exc.DataError | sa.exc.NotSupportedError
    return isinstance(error, wrong) and not may_not


def _cause(error: Exception) -> str:
    return encodable(" ".join(str(getattr(error, "orig", None) or error).split()))


def _without(secrets: Sequence[str], text: str) -> str:
    """A message without the secrets of an address, however a driver took it apart."""
    for secret in sorted(secrets, key=len, reverse=True):
        bare = re.escape(secret)
        # A short one may be part of any word ("p" of "port"), and hiding it there would tell it.
        text = re.sub(bare if len(secret) >= 8 else rf"(?<!\w){bare}(?!\w)", HIDDEN, text)
    return text


def _advice(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and str(error.name).startswith("psycopg"):
        return "; pip install 'ctrbench[postgresql]', and write postgresql+psycopg://"
    return ""
