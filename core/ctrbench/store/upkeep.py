"""Looks after a store: what is wrong with it, and what lies in it that nobody needs any more.

In: a store. Out: findings for people, and leftovers, which are removed on request. What a running run has just
written is neither: only what is older than a limit is a leftover.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from packaging.version import Version

from ctrbench.errors import UserError
from ctrbench.ids import DataId, score_name
from ctrbench.installed import versions
from ctrbench.results import Cell, Pool, Status, TaskResult
from ctrbench.store import rows
from ctrbench.store.artefacts import DIGEST, FRAMES, SUFFIXES
from ctrbench.store.database import run_cells, run_tasks, runs, short_name, tasks
from ctrbench.store.store import Store
from ctrbench.text import fault

_PAGE = 500
_UNFINISHED = 30 * 86400.0
"""Seconds for which the checkpoint of a fit that did not end well is kept: the same command may go on from it."""


@dataclass(frozen=True)
class Checked:
    """What a check has looked at, and what it found."""

    results: int
    artefacts: int
    runs: int
    wrong: list[str]


def check(store: Store) -> Checked:
    """Verify the database, every artefact's hash and every reference; corrupt artefacts are set aside."""
    wrong = [f"database: {text}" for text in store.database.damage()]
    present = store.artefacts.digests()
    intact = set()
    for digest in present:
        if store.artefacts.intact(digest, anew=True):
            intact.add(digest)
        else:
            wrong.append(f"artefact {digest} {_became(store, digest)}")
    bad: list[BadRow] = []
    keys = _keys(store)
    for key, result in _results(store, keys, bad):
        named = result.artefacts.items()  # a run may have stored them since
        lost = [name for name, digest in named if digest not in intact and not store.artefacts.intact(digest)]
        if lost:
            wrong.append(
                f"result {key[:16]} of {result.plugin} lacks {', '.join(lost)}: a run that needs it makes it again"
            )
    bad += _bad_rows(store)
    newer = _newer_runs(store)
    for row in bad:
        version = newer.get(row.run)
        advice = f"ctrbench {version} did that run: use that one" if version else "`ctrbench store gc` removes it"
        wrong.append(f"{row.name} cannot be read: {row.why}; {advice}")
    wrong += _bad_references(store)
    wrong += _unknown_results(store)
    return Checked(len(keys), len(present), len(store.runs()), wrong)


def _became(store: Store, digest: str) -> str:
    """What came of an artefact that is not intact: it stays where files may not be renamed, or not even be read."""
    if store.artefacts.path(digest).exists():
        return "is corrupt, or may not be read, and cannot be set aside"
    return "was corrupt; it has been set aside"


LeftoverKind = Literal[
    "artefact",
    "corrupt artefact",
    "half-written file",
    "log",
    "checkpoint",
    "data frames",
    "run that never began",
    "unreadable row",
]


@dataclass(frozen=True)
class BadRow:
    """A row of the database that cannot be read, and why."""

    table: sa.Table
    primary_key: Mapping[str, Any]
    run: str  # that wrote it
    name: str
    why: str


@dataclass(frozen=True)
class Leftover:
    """Something that nobody needs: a file, a folder, a run or a row in the database."""

    kind: LeftoverKind
    name: str
    path: Path | None = None
    size: int = 0
    row: BadRow | None = None


def leftovers(store: Store, older_than: float) -> list[Leftover]:
    """What no result names and nobody has touched for so many seconds, and rows that cannot be read."""
    _refuse_shared(store)
    before = time.time() - older_than
    files = list(_old(store.artefacts.folder, before))  # first: what is written from now on is not among them
    results = store.database.read(sa.select(tasks.c.key, tasks.c.status, tasks.c.outputs))
    outputs = [row["outputs"] for row in results if isinstance(row["outputs"], dict)]
    named = {digest for each in outputs for digest in each.values() if isinstance(digest, str)}
    known = {str(row["key"])[:16] for row in results}
    done = {str(row["key"])[:16] for row in results if row["status"] == Status.OK}
    bad: list[BadRow] = []
    frames = {str(result.bookkeeping.made_from.get("version")) for _, result in _results(store, _keys(store), bad)}
    bad += _bad_rows(store)
    _refuse_newer(store, bad)
    found = []
    for path in files:
        if path.parent == store.artefacts.folder / FRAMES:
            kind: LeftoverKind | None = None if path.name in frames else "data frames"
        else:
            kind = _kind(path, named, known, done, store.artefacts.folder)
        if kind:
            found.append(Leftover(kind, str(path.relative_to(store.artefacts.folder)), path, _size(path)))
    found += [Leftover("unreadable row", f"{row.name}: {row.why}", row=row) for row in bad]
    gone = {row.primary_key["run"] for row in bad if row.table is runs}
    return found + [Leftover("run that never began", run) for run in _empty_runs(store, before) if run not in gone]


def remove(store: Store, leftover: Leftover, older_than: float) -> bool:
    """Remove a leftover, unless it has been touched since; whether it is gone. OSError where that is refused."""
    path = leftover.path
    if bad := leftover.row:
        return store.database.write(lambda connection: _remove_row(store, connection, bad))
    if path is None:

        def forget(connection: sa.Connection) -> None:
            for table in (run_tasks, runs):
                connection.execute(sa.delete(table).where(table.c.run == leftover.name))

        store.database.write(forget)
        return True
    if not path.exists() or _touched(path) > time.time() - older_than:
        return False
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return True


def _remove_row(store: Store, connection: sa.Connection, bad: BadRow) -> bool:
    """Remove a row, unless it is a result that a run has made anew by now.

    Of a run that did what others may use, its name is left, and nothing that it says of itself.
    """
    this = [_is_one_of(bad.table.c[name], [value]) for name, value in bad.primary_key.items()]
    if bad.table is not runs:
        found = connection.execute(sa.select(bad.table).where(*this)).mappings().first()
        if bad.table is tasks and found and _is_readable(found):
            return False
        connection.execute(sa.delete(bad.table).where(*this))
        return True
    run = bad.primary_key["run"]
    for table in (run_cells, run_tasks, runs):
        connection.execute(sa.delete(table).where(_is_one_of(table.c.run, [run])))
    if connection.execute(sa.select(tasks.c.key).where(tasks.c.run == run).limit(1)).first():
        empty = {"run": run, "started": 0.0, "command": "", "about": {"suite": ""}, "environment": {}}
        connection.execute(store.database.insert(runs), empty)
    return True


def _is_readable(row: sa.RowMapping) -> bool:
    try:
        rows.task_result(row)
    except rows.BadRowError:
        return False
    return True


def _keys(store: Store) -> list[str]:
    return [row["key"] for row in store.database.read(sa.select(tasks.c.key).order_by(tasks.c.key))]


def _results(store: Store, keys: list[str], bad: list[BadRow]) -> Iterator[tuple[str, TaskResult]]:
    """The results of those keys; rows that cannot be read are put aside."""
    for start in range(0, len(keys), _PAGE):
        query = sa.select(tasks).where(_is_one_of(tasks.c.key, keys[start : start + _PAGE]))
        for row in store.database.read(query):
            try:
                yield row["key"], rows.task_result(row)
            except rows.BadRowError as error:
                name = f"result {str(row['key'])[:16]}"
                bad.append(BadRow(tasks, {"key": row["key"]}, row["run"], name, str(error)))


def _is_one_of(column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Whether a column holds one of some values as they were read: bytes may be a text in SQLite that is no UTF-8."""
    odd = [value for value in values if isinstance(value, bytes)]
    found = column.in_([value for value in values if not isinstance(value, bytes)])
    return found | sa.cast(column, sa.LargeBinary).in_(odd) if odd else found


def _bad_rows(store: Store) -> list[BadRow]:
    """The rows that cannot be read, of all tables but that of results."""
    kinds: list[tuple[sa.Table, type[rows.Row], str]] = [
        (run_tasks, rows.LinkRow, "run {run}: its task {task}"),
        (run_cells, rows.GridRow, "run {run}: its {kind} {position}"),
        (runs, rows.RunRow, "run {run}"),
    ]
    found: list[BadRow] = []
    grids: dict[str, list[Cell | Pool]] = defaultdict(list)
    for table, kind, name in kinds:
        for row in store.database.read(sa.select(table)):
            try:
                good = rows.checked(kind, row)
                if isinstance(good, rows.GridRow):
                    grids[good.run].append(good.place)
                elif isinstance(good, rows.RunRow):
                    rows.check_grid(good.info, grids[good.run])
            except rows.BadRowError as error:
                own = {column.name: row[column.name] for column in table.primary_key}
                found.append(BadRow(table, own, row["run"], name.format(**row), str(error)))
    return found


def _bad_references(store: Store) -> list[str]:
    """Runs that name what is not there, and results whose run is not known.

    A run may write meanwhile, so what names something is read before what it names.
    """
    read = store.database.read
    links = read(sa.select(run_tasks.c.run, run_tasks.c.task, run_tasks.c.key))
    results = read(sa.select(tasks.c.key, tasks.c.run))
    keys, known = {row["key"] for row in results}, {row["run"] for row in read(sa.select(runs.c.run))}
    wrong = []
    for row in links:
        if row["key"] and row["key"] not in keys:
            wrong.append(f"run {row['run']}: the result of {row['task']} is not in the store")
    for row in results:
        if row["run"] not in known:
            wrong.append(f"result {str(row['key'])[:16]}: the run {row['run']} that did it is not in the store")
    return wrong


def _unknown_results(store: Store) -> list[str]:
    """What runs that came to their end do not know, though they need it: they are shown as if they had been stopped."""
    wrong = []
    for run in store.database.read(sa.select(runs).where(runs.c.finished.is_not(None)).order_by(runs.c.run)):
        with suppress(rows.BadRowError):  # named as a bad row
            wrong += [f"run {run['run']}: the result of {task} is not in the store" for task in _unknown(store, run)]
    return wrong


def _unknown(store: Store, row: sa.RowMapping) -> list[str]:
    """The tasks that a run's cells need, or others wait for, and of which it does not say where their result is."""

    def own(table: sa.Table) -> Sequence[sa.RowMapping]:
        return store.database.read(sa.select(table).where(table.c.run == row["run"]))

    run = rows.checked(rows.RunRow, row).info
    places = [rows.checked(rows.GridRow, each).place for each in own(run_cells)]
    if run is None or not places:  # it came in an archive, as the run that did a result
        return []
    links = [rows.checked(rows.LinkRow, each) for each in own(run_tasks)]
    needed = {str(DataId(name)) for name in run.datasets} | {link.blocked_by for link in links}
    for place in places:
        if isinstance(place, Cell):
            subject, metrics = place.train, run.prediction_metrics
        else:
            subject, metrics = place.task, run.synthetic_metrics
        needed |= {subject, *(score_name(metric, subject) for metric in metrics)}
    known = {link.task for link in links if link.key or link.blocked_by}
    return sorted({short_name(task) for task in needed if task} - known)


def _refuse_shared(store: Store) -> None:
    """Two databases of one stem share their artefacts: what one does not name, the other may."""
    path = store.database.path
    if path is None:
        return
    own = {path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"}
    for other in path.parent.glob("*"):
        try:
            shared = other.stem == path.stem and other.name not in own and _is_database(other)
        except OSError as error:
            raise UserError(
                f"store {store.database.shown}: {other.name} beside it cannot be read ({fault(error)}), and may use "
                "the same artefacts: rename it, or allow it to be read"
            ) from None
        if shared:
            raise UserError(
                f"store {store.database.shown}: {other.name} beside it uses the same artefacts, and which of "
                "them it needs cannot be told; rename one of the two, and its folder of artefacts"
            )


def _refuse_newer(store: Store, bad: list[BadRow]) -> None:
    """What a newer ctrbench wrote and this one cannot read may need anything."""
    newer = _newer_runs(store)
    for row in bad:
        if row.run in newer:
            raise UserError(
                f"store {store.database.shown}: {row.name} cannot be read ({row.why}), and ctrbench "
                f"{newer[row.run]} did that run: what it needs cannot be told; use that one to clean up"
            )


def _newer_runs(store: Store) -> dict[str, str]:
    """The runs that a newer ctrbench than this one did, and its version."""
    ours = _version(versions(["ctrbench"]).get("ctrbench", ""))
    found = {}
    for row in store.database.read(sa.select(runs.c.run, runs.c.environment)):
        match row["environment"]:
            case {"libraries": {"ctrbench": str(version)}} if _version(version) > ours:
                found[row["run"]] = version
    return found


def _version(text: str) -> Version:
    """Older than any release where the text is no version."""
    with suppress(ValueError):  # also for a number of thousands of digits
        return Version(text)
    return Version("0.dev0")


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(15) == b"SQLite format 3"


def _old(folder: Path, before: float) -> Iterator[Path]:
    """Files, checkpoints and data frames that nobody has touched since."""
    for room in ("??", "logs", "checkpoints", FRAMES):
        for path in folder.glob(f"{room}/*"):
            if _touched(path) <= before:
                yield path


def _kind(path: Path, named: set[str], known: set[str], done: set[str], folder: Path) -> LeftoverKind | None:
    """What sort of leftover a path is; None where somebody may need it, or where it is not ours."""
    room, name = path.relative_to(folder).parts
    stem = path.stem
    if room == "logs" and path.suffix == ".log":
        return "half-written file" if name.startswith(".") else None if stem in known else "log"
    if room == "checkpoints":
        return "checkpoint" if name in done or _touched(path) < time.time() - _UNFINISHED else None
    if name.startswith(f".{room}"):
        return "half-written file"
    if not DIGEST.fullmatch(stem) or not stem.startswith(room):
        return None
    if path.suffix == ".corrupt":
        return "corrupt artefact"
    return "artefact" if path.suffix in SUFFIXES and stem not in named else None


def _empty_runs(store: Store, before: float) -> list[str]:
    """Runs that were stopped before they knew their cells, and did nothing that another run uses."""
    query = sa.select(runs.c.run).where(
        runs.c.finished.is_(None),
        runs.c.started < before,
        runs.c.run.not_in(sa.select(run_cells.c.run)),
        runs.c.run.not_in(sa.select(tasks.c.run)),
    )
    return [row["run"] for row in store.database.read(query)]


def _touched(path: Path) -> float:
    """When a file, or the newest file in a folder, was written last; now where it has just gone."""
    try:
        return max(each.lstat().st_mtime for each in _all_of(path))
    except FileNotFoundError:
        return time.time()


def _size(path: Path) -> int:
    return sum(each.lstat().st_size for each in _all_of(path) if each.is_file())


def _all_of(path: Path) -> list[Path]:
    """A file, or a folder with all that lies in it."""
    return [path, *path.rglob("*")] if path.is_dir() else [path]
