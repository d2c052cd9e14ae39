"""Looks after a store: what is wrong with it, and what lies in it that nobody needs any more.

In: a store. Out: findings for people, and leftovers, which are removed on request. What a running run has just
written is neither: only what is older than a limit is a leftover.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from ctrbench.errors import UserError
from ctrbench.results import Status, TaskResult
from ctrbench.store import rows
from ctrbench.store.artefacts import DIGEST
from ctrbench.store.database import run_cells, run_tasks, runs, tasks
from ctrbench.store.store import Store

_PAGE = 500
_UNFINISHED = 30 * 86400.0
"""Seconds for which the checkpoint of a fit that never ended is kept: it is what the same command goes on from."""


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
    intact = {digest for digest in present if store.artefacts.intact(digest)}
    wrong += [f"artefact {digest} was corrupt; it has been set aside" for digest in present if digest not in intact]
    keys = [row["key"] for row in store.database.read(sa.select(tasks.c.key).order_by(tasks.c.key))]
    for key, result in _results(store, keys, wrong):
        lost = [name for name, digest in result.artefacts.items() if digest not in intact]
        if lost:
            wrong.append(
                f"result {key[:16]} of {result.plugin} lacks {', '.join(lost)}: a run that needs it does it anew"
            )
    wrong += _bad_references(store, set(keys))
    return Checked(len(keys), len(present), len(store.runs()), wrong)


LeftoverKind = Literal["artefact", "corrupt artefact", "half-written file", "log", "checkpoint", "run that never began"]


@dataclass(frozen=True)
class Leftover:
    """Something that nobody needs: a file, a folder, or a run in the database."""

    kind: LeftoverKind
    name: str
    path: Path | None = None
    size: int = 0


def leftovers(store: Store, older_than: float) -> list[Leftover]:
    """What no result names and nobody has touched for so many seconds."""
    _refuse_shared(store)
    before = time.time() - older_than
    files = list(_old(store.artefacts.folder, before))  # first: what is written from now on is not among them
    results = store.database.read(sa.select(tasks.c.key, tasks.c.status, tasks.c.outputs))
    named = {digest for row in results if isinstance(row["outputs"], dict) for digest in row["outputs"].values()}
    known = {row["key"][:16] for row in results}
    done = {row["key"][:16] for row in results if row["status"] == Status.OK}
    found = []
    for path in files:
        kind = _kind(path, named, known, done, store.artefacts.folder)
        if kind:
            found.append(Leftover(kind, str(path.relative_to(store.artefacts.folder)), path, _size(path)))
    return found + [Leftover("run that never began", run) for run in _empty_runs(store, before)]


def remove(store: Store, leftover: Leftover, older_than: float) -> bool:
    """Remove a leftover, unless it has been touched since; whether it is gone. OSError where that is refused."""
    path = leftover.path
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


def _results(store: Store, keys: list[str], wrong: list[str]) -> Iterator[tuple[str, TaskResult]]:
    """The results of those keys; one that cannot be read is wrong."""
    for start in range(0, len(keys), _PAGE):
        query = sa.select(tasks).where(tasks.c.key.in_(keys[start : start + _PAGE]))
        for row in store.database.read(query):
            try:
                yield row["key"], rows.task_result(row)
            except rows.BadRowError as error:
                wrong.append(f"result {row['key'][:16]} cannot be read: {error}")


def _bad_references(store: Store, keys: set[str]) -> list[str]:
    """Runs that name what is not there, and results whose run is not known."""
    read = store.database.read
    known = {row["run"] for row in read(sa.select(runs.c.run))}
    wrong = []
    for row in read(sa.select(run_tasks.c.run, run_tasks.c.task, run_tasks.c.key)):
        if row["key"] and row["key"] not in keys:
            wrong.append(f"run {row['run']}: the result of {row['task']} is not in the store")
    for row in read(sa.select(tasks.c.key, tasks.c.run)):
        if row["run"] not in known:
            wrong.append(f"result {row['key'][:16]}: the run {row['run']} that did it is not in the store")
    for row in read(sa.select(run_cells)):
        try:
            rows.checked(rows.GridRow, row)
        except rows.BadRowError as error:
            wrong.append(f"run {row['run']}: its {row['kind']} {row['position']} cannot be read: {error}")
    for row in read(sa.select(runs)):
        try:
            rows.checked(rows.RunRow, row)
        except rows.BadRowError as error:
            wrong.append(f"run {row['run']} cannot be read: {error}")
    return wrong


def _refuse_shared(store: Store) -> None:
    """Two databases of one stem share their artefacts: what one does not name, the other may."""
    path = store.database.path
    if path is None:
        return
    own = {path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"}
    for other in path.parent.glob("*"):
        if other.stem == path.stem and other.name not in own and _is_database(other):
            raise UserError(
                f"store {store.database.shown}: {other.name} beside it uses the same artefacts, and nobody can say "
                "which of them it needs; give one of the two another name, and move its artefacts along"
            )


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(15) == b"SQLite format 3"


def _old(folder: Path, before: float) -> Iterator[Path]:
    """Files and checkpoints that nobody has touched since."""
    for path in [*folder.glob("??/*"), *folder.glob("logs/*"), *folder.glob("checkpoints/*")]:
        if _touched(path) <= before:
            yield path


def _kind(path: Path, named: set[str], known: set[str], done: set[str], folder: Path) -> LeftoverKind | None:
    """What sort of leftover a path is; None where somebody may need it, or where it is not ours."""
    room, name = path.relative_to(folder).parts
    stem = path.stem
    if room == "logs" and path.suffix == ".log":
        return "half-written file" if name.startswith(".") else None if stem in known else "log"
    if room == "checkpoints":
        abandoned = name not in known and _touched(path) < time.time() - _UNFINISHED
        return "checkpoint" if name in done or abandoned else None
    if name.startswith(f".{room}"):
        return "half-written file"
    if not DIGEST.fullmatch(stem) or not stem.startswith(room):
        return None
    if path.suffix == ".corrupt":
        return "corrupt artefact"
    return "artefact" if path.suffix == ".parquet" and stem not in named else None


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
        times = [each.lstat().st_mtime for each in ([path, *path.rglob("*")] if path.is_dir() else [path])]
    except FileNotFoundError:
        return time.time()
    return max(times)


def _size(path: Path) -> int:
    return sum(
        each.lstat().st_size for each in ([path, *path.rglob("*")] if path.is_dir() else [path]) if each.is_file()
    )
