"""The results database: every finished task, every run, and which cell of a run reads which task.

The driver writes each result as it arrives; leaderboards read it back. SQLite in WAL mode by default; a URL names
any other database that SQLAlchemy knows. Only JSON and text are stored, and nothing read can run code.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ctrbench.artefacts import Artefacts
from ctrbench.database import Database, run_cells, run_tasks, runs, short_name, tasks
from ctrbench.errors import UserError
from ctrbench.plan import Cell, Plan, Pool, cell_result, pool_result
from ctrbench.results import CellResult, PoolResult, Spent, Status, TaskResult
from ctrbench.text import encodable, without_password

SERVERS_ARTEFACTS = "ctrbench-artefacts"
"""Where the artefacts of a store lie whose database is a server's: a folder where the command is given."""

NOT_RUN = TaskResult(Status.SKIPPED, reason="the run stopped before this task")
LOST = TaskResult(Status.FAILED, reason="what it needs was lost and could not be made again; the same command tries it")
"""Of a task that waited for one whose good result stays stored, though its artefacts are gone."""


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
    artefacts: Artefacts | None = None
    data: Mapping[str, TaskResult] = field(default_factory=dict)  # data set → how its splits were made


class Store:
    """A results database and the artefacts beside it."""

    def __init__(self, database: Database, artefacts: Path) -> None:
        self.database = database
        self.artefacts = Artefacts(artefacts)

    @classmethod
    def open(cls, where: str, *, create: bool = True) -> Store:
        """The store at a path or database URL; UserError where it is missing, unreadable or not ours."""
        database = Database.open(where, create=create)
        path = database.path
        return cls(database, path.with_name(f"{path.stem}-artefacts") if path else Path(SERVERS_ARTEFACTS).absolute())

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    # Tasks

    def find(self, key: str) -> TaskResult | None:
        """The stored result of a task, good or bad; None where there is none, or where its artefacts are lost."""
        rows = self.database.read(sa.select(tasks).where(tasks.c.key == key))
        if not rows:
            return None
        result = task_result(rows[0])
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
        self._write((self._keeping, row), (self._linking, _link(run, task, key)))

    def link(self, run: str, task: str, key: str = "", blocked_by: str = "") -> None:
        """Note under which key a run finds a task, or which earlier task kept it from being begun."""
        self._write((self._linking, _link(run, task, key, blocked_by)))

    def spent(self) -> dict[str, list[Spent]]:
        """What finished tasks cost, by what they are alike in: what a forecast can start from."""
        found: dict[str, list[Spent]] = defaultdict(list)
        query = sa.select(tasks.c["values"], tasks.c.seconds, tasks.c.peak_memory).where(tasks.c.status == Status.OK)
        for row in self.database.read(query):
            values, seconds = row["values"], row["seconds"]
            fit = seconds.get("fit", 0.0)
            effort = values.get("effort", 1.0)
            found[values.get("alike", "")].append(Spent(fit, sum(seconds.values()) - fit, row["peak_memory"], effort))
        return dict(found)

    def made(self) -> list[tuple[str, str, str, Mapping[str, Any]]]:
        """The results of the tasks of all runs, the latest last: task, key, the run that did it, values."""
        links = sa.select(run_tasks.c.task, run_tasks.c.key).distinct().subquery()
        query = sa.select(links.c.task, tasks.c.key, tasks.c.run, tasks.c["values"])
        query = query.join(tasks, tasks.c.key == links.c.key).order_by(tasks.c.finished)
        return [(row["task"], row["key"], row["run"], row["values"]) for row in self.database.read(query)]

    # Runs

    def begin_run(self, command: str, about: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
        """Note that a run begins; its name."""
        run = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
        row = {"run": run, "started": time.time(), "command": without_password(command)}
        begin = self.database.insert(runs).values(**row, about=about, environment=environment)
        self._write((begin.on_conflict_do_nothing(), None))
        return run

    def describe_run(self, run: str, about: Mapping[str, Any], plan: Plan) -> None:
        """Note what the run is to produce, once its data sets are known."""
        grid = [("pool", asdict(pool)) for pool in plan.pools] + [("cell", asdict(cell)) for cell in plan.cells]
        rows = [{"run": run, "position": i, "kind": kind, "fields": f} for i, (kind, f) in enumerate(grid)]
        describe = sa.update(runs).where(runs.c.run == run).values(about=about)

        def work(connection: sa.Connection) -> None:
            connection.execute(describe)
            if rows:
                connection.execute(self.database.insert(run_cells).on_conflict_do_nothing(), rows)

        self.database.write(work)

    def finish_run(self, run: str, about: Mapping[str, Any]) -> None:
        """Note that a run came to its end."""
        self._write((sa.update(runs).where(runs.c.run == run).values(finished=time.time(), about=about), None))

    def runs(self) -> list[tuple[str, float, float | None, str]]:
        """All runs, the latest first: name, start, end, command."""
        query = sa.select(runs.c.run, runs.c.started, runs.c.finished, runs.c.command)
        rows = self.database.read(query.order_by(runs.c.started.desc()))
        return [(row["run"], row["started"], row["finished"], without_password(row["command"])) for row in rows]

    def load_run(self, run: str | None = None) -> RunResults:
        """A run with all its results, the latest where none is named; UserError where there is none."""
        read = self.database.read
        run = encodable(run) if run else None
        described = runs.c.run.in_(sa.select(run_cells.c.run))  # one that was stopped before has nothing to show
        query = sa.select(runs).order_by(runs.c.started.desc()).limit(1)
        heads = read(query.where(described, *([runs.c.run == run] if run else [])))
        if not heads:
            known = "no run {!r} with cells; `ctrbench leaderboard --runs` lists all" if run else "it holds no run yet"
            raise UserError(f"--store {self.database.shown}: {known.format(run)}")
        head = heads[0]
        mine = run_tasks.c.run == head["run"]
        links = {short_name(row["task"]): row for row in read(sa.select(run_tasks).where(mine))}
        used = tasks.c.key.in_(sa.select(run_tasks.c.key).where(mine))
        stored = {row["key"]: task_result(row) for row in read(sa.select(tasks).where(used))}
        grid = read(sa.select(run_cells).where(run_cells.c.run == head["run"]).order_by(run_cells.c.position))
        makers = runs.c.run.in_(sa.select(tasks.c.run).where(used)) | (runs.c.run == head["run"])
        environments = read(sa.select(runs.c.run, runs.c.environment).where(makers).order_by(runs.c.started))

        def result_of(task: str) -> TaskResult:
            waited = False
            for _ in links:  # a chain of blocked tasks is no longer than all of them
                link = links.get(short_name(task))
                if link is None:
                    break
                if not link["blocked_by"]:
                    found = stored.get(link["key"], NOT_RUN)
                    return LOST if found.ok and waited else found
                task, waited = link["blocked_by"], True
            return NOT_RUN

        about = head["about"]
        return RunResults(
            head["run"],
            head["started"],
            head["finished"],
            without_password(head["command"]),  # an earlier ctrbench may have kept one
            about,
            [{"run": row["run"], **row["environment"]} for row in environments],
            [
                cell_result(Cell(**row["fields"]), about["prediction_metrics"], result_of)
                for row in grid
                if row["kind"] == "cell"
            ],
            [
                pool_result(Pool(**row["fields"]), about["synthetic_metrics"], result_of)
                for row in grid
                if row["kind"] == "pool"
            ],
            self.artefacts,
            {name: result_of(f"data/{name}") for name in about["datasets"]},
        )

    @cached_property
    def _keeping(self) -> sa.Executable:
        """Takes in a row of `tasks`."""
        insert = self.database.insert(tasks)
        kept: sa.Executable = insert.on_conflict_do_update(
            index_elements=["key"],
            set_={column.name: insert.excluded[column.name] for column in tasks.c if column.name != "key"},
            where=sa.or_(insert.excluded.status == Status.OK, tasks.c.status != Status.OK),
        )
        return kept

    @cached_property
    def _linking(self) -> sa.Executable:
        """Takes in a row of `run_tasks`."""
        insert = self.database.insert(run_tasks)
        changes = {name: insert.excluded[name] for name in ("key", "blocked_by")}
        linked: sa.Executable = insert.on_conflict_do_update(index_elements=["run", "task"], set_=changes)
        return linked

    def _write(self, *statements: tuple[sa.Executable, Mapping[str, Any] | None]) -> None:
        """Do statements, each with the row that it takes in, in one transaction."""

        def work(connection: sa.Connection) -> None:
            for statement, row in statements:
                connection.execute(statement, row)

        self.database.write(work)


def _link(run: str, task: str, key: str, blocked_by: str = "") -> dict[str, str]:
    """A row of `run_tasks`."""
    return {"run": run, "task": task, "key": key, "blocked_by": blocked_by}


def task_result(row: Mapping[Any, Any]) -> TaskResult:
    """The result in a row of `tasks`."""
    names = [each.name for each in fields(TaskResult) if each.name not in ("status", "users_mistake")]
    return TaskResult(Status(row["status"]), **{name: row[name] for name in names})
