"""The results database: every finished task, every run, and which cell of a run reads which task.

The driver writes each result as it arrives; leaderboards read it back. SQLite in WAL mode by default; a URL may name
a PostgreSQL database. Only JSON and text are stored, and nothing read can run code.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ctrbench.errors import UserError
from ctrbench.ids import DataId, TaskKind
from ctrbench.results import (
    Cell,
    Count,
    Environment,
    Pool,
    RunInfo,
    Seconds,
    Spent,
    Status,
    TaskResult,
    cell_result,
    pool_result,
)
from ctrbench.store import rows
from ctrbench.store.artefacts import Artefacts
from ctrbench.store.database import Database, run_cells, run_tasks, runs, short_name, tasks
from ctrbench.store.runs import LOST, NOT_RUN, EarlierTask, RunHead, RunResults
from ctrbench.text import encodable, where, without_password

_MOMENT = 0.001  # seconds


class NoRunError(UserError):
    """There is no run of that name, or none whose grid is known."""


class Store:
    """A results database and the artefacts beside it."""

    def __init__(self, database: Database, artefacts: Path) -> None:
        self.database = database
        self.artefacts = Artefacts(artefacts)

    @classmethod
    def open(cls, where: str, *, create: bool = True) -> Store:
        """The store at a path or database URL; UserError where it is missing, unreadable or not ours."""
        database = Database.open(where, create=create)
        return cls(database, database.beside("artefacts"))

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    # Tasks

    def find(self, key: str) -> TaskResult | None:
        """The stored result of a task, good or bad; None where there is none that can be used.

        One whose artefacts are lost cannot, nor one whose row cannot be read.
        """
        found = self.database.read(_FINDING, {"asked": key})
        if not found:
            return None
        try:
            result = rows.task_result(found[0])
        except rows.BadRowError:
            return None
        return result if all(self.artefacts.intact(digest) for digest in result.artefacts.values()) else None

    def keep(self, run: str, task: str, kind: TaskKind, key: str, result: TaskResult) -> None:
        """Store a result at once. A good result is replaced only by another good one of the same key."""
        row = rows.task_row(run, kind, key, result, time.time())
        self._write((self._keeping, row), (self._linking, _link(run, task, key)))

    def link(self, run: str, task: str, key: str = "", blocked_by: str = "") -> None:
        """Note under which key a run finds a task, or which earlier task kept it from being begun."""
        self._write((self._linking, _link(run, task, key, blocked_by)))

    def spent(self) -> dict[str, list[Spent]]:
        """What finished tasks cost, by their cost keys: what a forecast can start from."""
        found: dict[str, list[Spent]] = defaultdict(list)
        query = sa.select(tasks.c["values"], tasks.c.seconds, tasks.c.peak_memory).where(tasks.c.status == Status.OK)
        for row in self.database.read(query):
            try:
                noted = rows.bookkeeping(row["values"])
                seconds = rows.decoded(dict[str, Seconds], row["seconds"], "seconds")
                memory = rows.decoded(dict[str, Count], {"peak": row["peak_memory"]}, "peak_memory")["peak"]
            except (rows.BadRowError, TypeError):
                continue
            fit = seconds.get("fit", 0.0)
            found[noted.cost_key].append(Spent(fit, sum(seconds.values()) - fit, memory, noted.effort))
        return dict(found)

    def earlier(self) -> list[EarlierTask]:
        """All tasks whose results are stored, the latest last."""
        found = []
        query = sa.select(tasks.c.key, tasks.c.run, tasks.c["values"]).order_by(tasks.c.finished)
        for row in self.database.read(query):
            try:
                found.append(EarlierTask(row["key"], row["run"], rows.bookkeeping(row["values"])))
            except (rows.BadRowError, TypeError):
                continue
        return found

    # Runs

    def begin_run(self, command: str, suite: str, environment: Environment) -> str:
        """Note that a run of a suite begins; its name.

        It begins after all that the store knows, by a moment where the clock has been set back: it is the latest.
        """
        run = time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + uuid.uuid4().hex[:6]
        row = {"run": run, "command": without_password(command), "about": {"suite": suite}}
        row["environment"] = rows.environment_json(environment)

        def work(connection: sa.Connection) -> None:
            latest: object = connection.scalar(sa.select(sa.func.max(runs.c.started)))
            known = latest if isinstance(latest, float) else 0.0  # a row that cannot be read may hold anything
            began = max(time.time(), known + _MOMENT)
            connection.execute(self.database.insert(runs).values(started=began, **row).on_conflict_do_nothing())

        self.database.write(work)
        return run

    def describe_run(self, run: str, info: RunInfo, pools: Iterable[Pool], cells: Iterable[Cell]) -> None:
        """Note what the run is to produce, once its data sets are known."""
        grid = [*(("pool", asdict(pool)) for pool in pools), *(("cell", asdict(cell)) for cell in cells)]
        places = [{"run": run, "position": i, "kind": kind, "fields": f} for i, (kind, f) in enumerate(grid)]
        describe = sa.update(runs).where(runs.c.run == run).values(about=rows.run_json(info))

        def work(connection: sa.Connection) -> None:
            connection.execute(describe)
            if places:
                connection.execute(self.database.insert(run_cells).on_conflict_do_nothing(), places)

        self.database.write(work)

    def finish_run(self, run: str, info: RunInfo) -> None:
        """Note that a run came to its end."""
        now = time.time()
        ended = sa.case((runs.c.started > now, runs.c.started), else_=now)  # the clock may have been set back
        end = sa.update(runs).where(runs.c.run == run).values(finished=ended, about=rows.run_json(info))
        self._write((end, None))

    def runs(self) -> list[RunHead]:
        """All runs, the latest first."""
        query = sa.select(runs.c.run, runs.c.started, runs.c.finished, runs.c.command)
        found = self.database.read(query.order_by(runs.c.started.desc()))
        return [_readable_head(row) for row in found]

    def load_run(self, run: str | None = None) -> RunResults:
        """A run with all its results, the latest where none is named; UserError where there is none to be read."""
        head = self._head(run)
        try:
            return self._loaded(head)
        except rows.BadRowError as error:
            raise UserError(
                f"store {self.database.shown}: run {head['run']} cannot be read: {error}; "
                "`ctrbench store check` says what is wrong and what helps"
            ) from None

    def _head(self, run: str | None) -> sa.RowMapping:
        run = encodable(run) if run else None
        described = runs.c.run.in_(sa.select(run_cells.c.run))  # one that was stopped before has nothing to show
        query = sa.select(runs).order_by(runs.c.started.desc()).limit(1)
        found = self.database.read(query.where(described, *([runs.c.run == run] if run else [])))
        if not found:
            raise NoRunError(f"store {self.database.shown}: {self._why_none(run)}")
        return found[0]

    def _why_none(self, run: str | None) -> str:
        """Why there is no run to show."""
        begun = [each for each in self.runs() if not run or each.run == run]
        if begun:
            mine = sa.select(run_tasks.c.key).where(run_tasks.c.run == begun[0].run)
            done = [_readable(row) for row in self.database.read(sa.select(tasks).where(tasks.c.key.in_(mine)))]
            failed = [f"{result.describe()}{where(result.traceback)}" for result in done if not result.ok]
            if failed:
                return f"run {begun[0].run} has no cells, as no data set could be loaded: {'; '.join(failed)}"
            again = f"`{begun[0].command}` resumes it" if begun[0].command else "the same command resumes it"
            return f"run {begun[0].run} stopped before its data sets were loaded, so it has no cells yet; {again}"
        return f"no run {run!r}; `ctrbench leaderboard --runs` lists all" if run else "it has no run yet"

    def _loaded(self, head: sa.RowMapping) -> RunResults:
        read = self.database.read
        run = rows.checked(rows.RunRow, head)
        mine = run_tasks.c.run == run.run
        links = {short_name(str(row["task"])): row for row in read(sa.select(run_tasks).where(mine))}
        used = tasks.c.key.in_(sa.select(run_tasks.c.key).where(mine))
        stored = {row["key"]: _readable(row) for row in read(sa.select(tasks).where(used))}
        grid = read(sa.select(run_cells).where(run_cells.c.run == run.run).order_by(run_cells.c.position))
        places = [rows.checked(rows.GridRow, row).place for row in grid]
        info = run.info
        rows.check_grid(info, places)
        assert info is not None, "only a run with cells is loaded"
        makers = runs.c.run.in_(sa.select(tasks.c.run).where(used)) | (runs.c.run == run.run)
        environments = read(
            sa.select(runs.c.run, runs.c.environment).where(makers).order_by(runs.c.run == run.run, runs.c.started)
        )

        def result_of(task: str) -> TaskResult:
            waited = False
            for _ in links:  # a chain of blocked tasks is no longer than all of them
                link = links.get(short_name(task))
                if link is None:
                    break
                if not link["blocked_by"]:
                    found = stored.get(link["key"], NOT_RUN)
                    return LOST if found.ok and waited else found
                task, waited = str(link["blocked_by"]), True  # which in a row that cannot be read may be anything
            return NOT_RUN

        results = RunResults(
            run.run,
            run.started,
            run.finished,
            run.command,
            info,
            [rows.environment(row["run"], row["environment"]) for row in environments],
            [cell_result(place, info.prediction_metrics, result_of) for place in places if isinstance(place, Cell)],
            [pool_result(place, info.synthetic_metrics, result_of) for place in places if isinstance(place, Pool)],
            self.artefacts,
            {name: result_of(str(DataId(name))) for name in info.datasets},
        )
        return results if run.finished is not None else results.of_whole_repeats()

    @cached_property
    def _keeping(self) -> sa.Executable:
        """Takes in a row of `tasks` that has just been made."""
        return self.database.taking_tasks(fresh=True)

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


_FINDING = sa.select(tasks).where(tasks.c.key == sa.bindparam("asked"))
"""The task of a key; made once, since it is asked for each task of a run."""


def _link(run: str, task: str, key: str, blocked_by: str = "") -> dict[str, str]:
    """A row of `run_tasks`."""
    return {"run": run, "task": task, "key": key, "blocked_by": blocked_by}


def _readable_head(row: sa.RowMapping) -> RunHead:
    """What the list of runs shows of a row, or why it cannot be read."""
    try:
        head = rows.decoded(RunHead, dict(row), "runs")
    except rows.BadRowError as error:
        return RunHead(str(row["run"]), 0.0, None, f"cannot be read: {error}")
    return replace(head, command=without_password(head.command))


def _readable(row: sa.RowMapping) -> TaskResult:
    """The result in a row, or one that says why it cannot be read."""
    try:
        return rows.task_result(row)
    except rows.BadRowError as error:
        return TaskResult(
            Status.FAILED,
            reason=f"its stored result {str(row['key'])[:16]} cannot be read ({error}); the same command redoes it",
        )
