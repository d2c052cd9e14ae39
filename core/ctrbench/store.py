"""The results database: every finished task, every run, and which cell of a run reads which task.

The driver writes each result as it arrives; leaderboards read it back. SQLite in WAL mode by default; a URL names
any other database that SQLAlchemy knows. Only JSON and text are stored, and nothing read can run code.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ctrbench.artefacts import Artefacts
from ctrbench.errors import UserError
from ctrbench.plan import Cell, Plan, Pool, cell_result, pool_result
from ctrbench.results import CellResult, PoolResult, Spent, Status, TaskResult
from ctrbench.text import encodable

SCHEMA_VERSION = 1

_metadata = sa.MetaData()
_about = sa.Table(
    "ctrbench",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("schema_version", sa.Integer, nullable=False),
)
_tasks = sa.Table(
    "tasks",
    _metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("plugin", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("traceback", sa.Text, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("values", sa.JSON, nullable=False),
    sa.Column("seconds", sa.JSON, nullable=False),
    sa.Column("peak_memory", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.Float, nullable=False),
    sa.Column("run", sa.String(32), nullable=False),  # the run that did it
)
_runs = sa.Table(
    "runs",
    _metadata,
    sa.Column("run", sa.String(32), primary_key=True),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("finished", sa.Float),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("about", sa.JSON, nullable=False),  # suite, seed, budget, data sets, metrics, notes
    sa.Column("environment", sa.JSON, nullable=False),
)
_run_tasks = sa.Table(
    "run_tasks",
    _metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("task", sa.String(512), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False),  # "" where the task could not be begun
    sa.Column("blocked_by", sa.String(512), nullable=False),
)
_run_cells = sa.Table(
    "run_cells",
    _metadata,
    sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),  # "cell" or "pool"
    sa.Column("fields", sa.JSON, nullable=False),
)

NOT_RUN = TaskResult(Status.SKIPPED, reason="the run stopped before this task")


@dataclass(frozen=True)
class RunResults:
    """A run as the store remembers it: what it was, and its cells and pools with whatever came of them."""

    run: str
    started: float
    finished: float | None
    command: str
    about: Mapping[str, Any]
    environments: Sequence[Mapping[str, Any]]  # of all runs that did work for this one
    cells: Sequence[CellResult]
    pools: Sequence[PoolResult]


class Store:
    """A results database and the artefacts beside it."""

    def __init__(self, url: sa.URL, artefacts: Path) -> None:
        self.url = url
        self.artefacts = Artefacts(artefacts)
        self._engine = sa.create_engine(url, connect_args=_connect_args(url))
        if url.get_backend_name() == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)

    @classmethod
    def open(cls, where: str, *, create: bool = True) -> Store:
        """The store at a path or database URL; UserError where it is missing, unreadable or not ours."""
        shown = encodable(where)
        try:
            url = sa.make_url(where) if "://" in where else sa.URL.create("sqlite", database=os.fspath(Path(where)))
            folder = Path("ctrbench-artefacts").absolute()
            if url.get_backend_name() == "sqlite":
                path = Path(url.database or "").absolute()
                folder = path.with_name(f"{path.stem}-artefacts")
                if not path.exists() and not create:
                    raise UserError(f"--store {shown}: there is no store yet; `ctrbench run` makes one")
                path.parent.mkdir(parents=True, exist_ok=True)
            store = cls(url, folder)
            store._prepare(shown)
        except (sa.exc.SQLAlchemyError, OSError, ValueError, ImportError) as error:
            cause = " ".join(str(getattr(error, "orig", None) or error).split())
            raise UserError(f"--store {shown}: cannot be used as a store: {encodable(cause)}") from None
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # Tasks

    def find(self, key: str) -> TaskResult | None:
        """The stored result of a task, good or bad; None where there is none, or where its artefacts are lost."""
        with self._reading() as connection:
            row = connection.execute(sa.select(_tasks).where(_tasks.c.key == key)).mappings().first()
        if row is None:
            return None
        result = _task_result(row)
        return result if all(self.artefacts.intact(digest) for digest in result.outputs.values()) else None

    def keep(self, run: str, task: str, kind: str, key: str, result: TaskResult) -> None:
        """Store a result at once. A good result is replaced only by another good one of the same key."""
        row = {
            **asdict(result),
            "key": key,
            "kind": kind,
            "status": str(result.status),
            "finished": time.time(),
            "run": run,
        }
        row.pop("users_mistake")
        with self._writing() as connection:
            replace = self._insert(_tasks).values(**row)
            replace = replace.on_conflict_do_update(
                index_elements=["key"],
                set_={name: replace.excluded[name] for name in row if name != "key"},
                where=sa.or_(replace.excluded.status == Status.OK, _tasks.c.status != Status.OK),
            )
            connection.execute(replace)
            self._link(connection, run, task, key)

    def link(self, run: str, task: str, key: str = "", blocked_by: str = "") -> None:
        """Note under which key a run finds a task, or which earlier task kept it from being begun."""
        with self._writing() as connection:
            self._link(connection, run, task, key, blocked_by)

    def spent(self) -> dict[str, list[Spent]]:
        """What finished tasks cost, by what they are alike in: what a forecast can start from."""
        found: dict[str, list[Spent]] = defaultdict(list)
        with self._reading() as connection:
            query = sa.select(_tasks.c["values"], _tasks.c.seconds, _tasks.c.peak_memory)
            for values, seconds, memory in connection.execute(query.where(_tasks.c.status == Status.OK)):
                fit = seconds.get("fit", 0.0)
                effort = values.get("effort", 1.0)
                found[values.get("alike", "")].append(Spent(fit, sum(seconds.values()) - fit, memory, effort))
        return dict(found)

    def made(self) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """The results of the tasks of all runs, the latest last: task, key, the run that did it, values."""
        links = sa.select(_run_tasks.c.task, _run_tasks.c.key).distinct().subquery()
        query = sa.select(links.c.task, _tasks.c.key, _tasks.c.run, _tasks.c["values"])
        query = query.join(_tasks, _tasks.c.key == links.c.key).order_by(_tasks.c.finished)
        with self._reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    # Runs

    def begin_run(self, command: str, about: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
        """Note that a run begins; its name."""
        run = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
        with self._writing() as connection:
            connection.execute(
                sa.insert(_runs).values(
                    run=run, started=time.time(), command=command, about=about, environment=environment
                )
            )
        return run

    def describe_run(self, run: str, about: Mapping[str, Any], plan: Plan) -> None:
        """Note what the run is to produce, once its data sets are known."""
        rows = [("pool", asdict(pool)) for pool in plan.pools] + [("cell", asdict(cell)) for cell in plan.cells]
        with self._writing() as connection:
            connection.execute(sa.update(_runs).where(_runs.c.run == run).values(about=about))
            if rows:
                connection.execute(
                    sa.insert(_run_cells),
                    [{"run": run, "position": i, "kind": kind, "fields": f} for i, (kind, f) in enumerate(rows)],
                )

    def finish_run(self, run: str, about: Mapping[str, Any]) -> None:
        """Note that a run came to its end."""
        with self._writing() as connection:
            done = sa.update(_runs).where(_runs.c.run == run)
            connection.execute(done.values(finished=time.time(), about=about))

    def runs(self) -> list[tuple[str, float, float | None, str]]:
        """All runs, the latest first: name, start, end, command."""
        query = sa.select(_runs.c.run, _runs.c.started, _runs.c.finished, _runs.c.command)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(_runs.c.started.desc())).all()
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def load_run(self, run: str | None = None) -> RunResults:
        """A run with all its results, the latest where none is named; UserError where there is none."""
        with self._reading() as connection:
            query = sa.select(_runs).order_by(_runs.c.started.desc())
            # a run that was stopped before it knew its grid has nothing to show
            query = query.where(_runs.c.run == run if run else _runs.c.run.in_(sa.select(_run_cells.c.run)))
            head = connection.execute(query).mappings().first()
            if head is None:
                known = f"no run {run!r}; `ctrbench leaderboard --runs` lists them" if run else "it holds no run yet"
                raise UserError(f"--store {self.url.database}: {known}")
            links = {
                row.task: row
                for row in connection.execute(sa.select(_run_tasks).where(_run_tasks.c.run == head["run"]))
            }
            keys = sa.select(_run_tasks.c.key).where(_run_tasks.c.run == head["run"])
            stored = {
                row["key"]: row
                for row in connection.execute(sa.select(_tasks).where(_tasks.c.key.in_(keys))).mappings()
            }
            grid = connection.execute(
                sa.select(_run_cells).where(_run_cells.c.run == head["run"]).order_by(_run_cells.c.position)
            ).all()
            makers = {row["run"] for row in stored.values()} | {head["run"]}
            environments = connection.scalars(
                sa.select(_runs.c.environment).where(_runs.c.run.in_(makers)).order_by(_runs.c.started)
            ).all()

        def result_of(task: str) -> TaskResult:
            link = links.get(task)
            if link is not None and link.blocked_by:
                return result_of(link.blocked_by)
            return _task_result(stored[link.key]) if link is not None and link.key in stored else NOT_RUN

        about = head["about"]
        return RunResults(
            head["run"],
            head["started"],
            head["finished"],
            head["command"],
            about,
            list(environments),
            [
                cell_result(Cell(**row.fields), about["prediction_metrics"], result_of)
                for row in grid
                if row.kind == "cell"
            ],
            [
                pool_result(Pool(**row.fields), about["synthetic_metrics"], result_of)
                for row in grid
                if row.kind == "pool"
            ],
        )

    def _link(self, connection: sa.Connection, run: str, task: str, key: str, blocked_by: str = "") -> None:
        link = self._insert(_run_tasks).values(run=run, task=task, key=key, blocked_by=blocked_by)
        link = link.on_conflict_do_update(index_elements=["run", "task"], set_={"key": key, "blocked_by": blocked_by})
        connection.execute(link)

    def _insert(self, table: sa.Table) -> Any:
        return (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)

    def _prepare(self, where: str) -> None:
        names = set(sa.inspect(self._engine).get_table_names())
        if names and _about.name not in names:
            raise UserError(f"--store {where}: is a database of something else (it has {', '.join(sorted(names)[:3])})")
        version = self._version() if names else None
        if version is None:
            self._create()
            version = self._version()
        if version != SCHEMA_VERSION:
            raise UserError(
                f"--store {where}: has schema version {version}, this ctrbench reads {SCHEMA_VERSION}; "
                "use the ctrbench that made it, or another --store"
            )

    def _version(self) -> int | None:
        with self._reading() as connection:
            return connection.scalar(sa.select(_about.c.schema_version))

    def _create(self) -> None:
        """Make the tables; another run may be doing the same at this moment."""
        if self._engine.dialect.name == "sqlite":
            with self._reading() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # kept in the file
        with self._writing() as connection:
            for table in _metadata.sorted_tables:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            first = self._insert(_about).values(id=1, schema_version=SCHEMA_VERSION).on_conflict_do_nothing()
            connection.execute(first)

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise UserError(
                f"--store {self.url.database}: cannot be written: {error.orig}; what was stored before is kept: "
                "mend it (disk space, permissions) and run the same command again"
            ) from None


def _task_result(row: Mapping[Any, Any]) -> TaskResult:
    return TaskResult(
        Status(row["status"]),
        row["plugin"],
        row["stage"],
        row["reason"],
        row["traceback"],
        row["outputs"],
        row["values"],
        row["seconds"],
        row["peak_memory"],
    )


def _connect_args(url: sa.URL) -> dict[str, Any]:
    return {"timeout": 60} if url.get_backend_name() == "sqlite" else {}


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
