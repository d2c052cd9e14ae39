"""Carries results from one store to another: rows as JSON lines and artefacts as they are, in one archive.

In: a store, or an archive that may come from anybody. Out: an archive, or a store into which it has been merged. An
archive is a zip file whose members are not compressed, so it is at least as large as all that comes out of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import sqlalchemy as sa

from ctrbench.errors import UserError
from ctrbench.files import refuse_existing, whole_file
from ctrbench.ids import TaskKind
from ctrbench.results import Status
from ctrbench.store.artefacts import SUFFIXES, LostArtefactError
from ctrbench.store.database import SCHEMA_VERSION, run_cells, run_tasks, runs, tasks
from ctrbench.store.rows import (
    BadRowError,
    Digest,
    GridRow,
    LinkRow,
    Row,
    RunRow,
    TaskRow,
    check_grid,
    checked,
    decoded,
)
from ctrbench.store.store import Store
from ctrbench.text import encodable, one_line, plain, without_password

FORMAT = 2
_ABOUT = "ctrbench.json"
_LONGEST_LINE = 2**26  # bytes
_BATCH = 400  # rows that are merged at once

_TABLES: dict[str, tuple[sa.Table, type[Row]]] = {
    "runs": (runs, RunRow),
    "tasks": (tasks, TaskRow),
    "run_tasks": (run_tasks, LinkRow),
    "run_cells": (run_cells, GridRow),
}  # in the order in which one names another


def _shown(row: sa.RowMapping) -> dict[str, Any]:
    """A row as others may see it; an earlier ctrbench may have kept a password in a command."""
    return {name: without_password(value) if name == "command" else value for name, value in dict(row).items()}


def _line(store: Store, row: sa.RowMapping) -> bytes:
    """A row as an archive has it; UserError for one that holds bytes, or numbers that are not finite."""
    try:
        return json.dumps(_shown(row), allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise _unreadable(store, row, error) from None


def _outputs(store: Store, row: sa.RowMapping) -> Iterable[str]:
    """The digests that a result names; UserError for a row that no ctrbench wrote."""
    try:
        return decoded(dict[str, Digest], row["outputs"], "outputs").values()
    except BadRowError as error:
        raise _unreadable(store, row, error) from None


def _unreadable(store: Store, row: sa.RowMapping, error: Exception) -> UserError:
    return UserError(
        f"store {store.database.shown}: cannot be exported, as a row of run {plain(str(row['run']))} cannot be read "
        f"({plain(str(error))}): `ctrbench store check` names such rows, `ctrbench store gc` removes them"
    )


@dataclass
class Exported:
    """What went into an archive."""

    runs: int
    results: int
    artefacts: int
    lacking: list[str]  # artefacts that are lost or corrupt: their results come without them


def export(store: Store, file: Path, only: Sequence[str] = (), *, rows_too: bool = True) -> Exported:
    """Write a store, or some of its runs with all they use, to a new archive.

    Without the rows, which a log's licence may forbid to pass on, it holds no table and no prediction: only the shares
    that test rows or users have in the score of each run's leading metric, of which intervals are made.
    """
    refuse_existing(file)
    only = [encodable(name) for name in only]
    rows = store.database.look(lambda connection: _rows(connection, only))
    missing = set(only) - {row["run"] for row in rows["runs"]}
    if missing:
        raise UserError(f"run {min(missing)}: not in {store.database.shown}; `ctrbench leaderboard --runs` lists them")
    kept = None if rows_too else _leading_scores(rows)
    wanted = {digest for row in rows["tasks"] if kept is None or row["key"] in kept for digest in _outputs(store, row)}
    whole = [digest for digest in sorted(wanted) if store.artefacts.intact(digest, anew=True)]
    with whole_file(file) as target, zipfile.ZipFile(target, "w", strict_timestamps=False) as archive:
        archive.writestr(_ABOUT, json.dumps({"format": FORMAT, "schema_version": SCHEMA_VERSION}) + "\n")
        for name in _TABLES:
            with archive.open(f"{name}.jsonl", "w", force_zip64=True) as lines:
                lines.writelines(_line(store, row) for row in rows[name])
        for digest in whole:
            archive.write(path := store.artefacts.path(digest), f"artefacts/{path.name}")
    return Exported(len(rows["runs"]), len(rows["tasks"]), len(whole), sorted(wanted.difference(whole)))


@dataclass
class Imported:
    """What an archive brought: counts by what became of a result, and new runs and artefacts."""

    results: dict[Literal["new", "better", "known"], int] = field(
        default_factory=lambda: {"new": 0, "better": 0, "known": 0}
    )
    runs: int = 0
    artefacts: int = 0


def expect_archive(file: Path) -> None:
    """UserError for what is no archive by its table of contents."""
    with _opened(file):
        pass


def import_(store: Store, file: Path) -> Imported:
    """Merge an archive into a store: what the store has is kept, but a good result replaces a bad one.

    The store stays as it was where anything is wrong with the archive. Artefacts come first, then all rows in one
    transaction: an import that was interrupted has changed no result, and the same import again goes on where it was.
    """
    with _opened(file) as archive:
        merge = partial(_merge, store, archive)
        try:
            store.database.rehearse(merge)
            _check_artefacts(archive)
            added = 0
            for digest, info in _artefacts(archive):
                with archive.open(info) as source:
                    added += store.artefacts.take_in(digest, cast(BinaryIO, source))
            imported = store.database.write(merge)
        except sa.exc.IntegrityError:
            raise _UnusableError("a row of it names a run that is not in it") from None
        imported.artefacts = added
        return imported


def _rows(connection: sa.Connection, only: Sequence[str]) -> dict[str, Sequence[sa.RowMapping]]:
    """The rows of all tables, or those that some runs need: their results, and the runs that made these."""

    def read(table: sa.Table, *where: sa.ColumnElement[bool]) -> Sequence[sa.RowMapping]:
        query = sa.select(table).where(*where).order_by(*table.primary_key.columns)
        return connection.execute(query).mappings().all()

    if not only:
        return {name: read(table) for name, (table, _) in _TABLES.items()}
    used = tasks.c.key.in_(sa.select(run_tasks.c.key).where(run_tasks.c.run.in_(only)))
    return {
        "runs": read(runs, runs.c.run.in_(only) | runs.c.run.in_(sa.select(tasks.c.run).where(used))),
        "tasks": read(tasks, used),
        "run_tasks": read(run_tasks, run_tasks.c.run.in_(only)),
        "run_cells": read(run_cells, run_cells.c.run.in_(only)),
    }


def _leading_scores(rows: Mapping[str, Sequence[sa.RowMapping]]) -> set[str]:
    """The keys of the results that score predictions by the leading metric of their run."""
    leading = {}
    for row in rows["runs"]:
        with suppress(BadRowError):  # of what cannot be read nothing is shown
            if info := checked(RunRow, row).info:
                leading[row["run"]] = f"{TaskKind.SCORE}/{info.leading_metric}/"
    return {row["key"] for row in rows["run_tasks"] if str(row["task"]).startswith(leading.get(row["run"], "/"))}


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """An archive that is sound as far as its table of contents goes; UserError for anything else, in one line."""
    if not os.path.isfile(file):
        what = "there is no such file"
        if os.path.isdir(file):
            what = "is a folder; name an archive"
        elif os.path.exists(file):
            what = "is a pipe or a device, and an archive is read more than once; save it to a file"
        raise UserError(f"{encodable(str(file))}: {what}")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive, file.stat().st_size)
            yield archive
    except _UnusableError as error:
        raise UserError(f"{encodable(str(file))}: is no archive that can be imported: {plain(str(error))}") from None
    except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, LostArtefactError) as error:
        packed = f"; it is packed by xz: unpack it first (xz -dk {encodable(file.name)})" if _is_xz(file) else ""
        raise UserError(f"{encodable(str(file))}: is damaged or no archive: {plain(str(error))}{packed}") from None
    except OSError as error:
        raise UserError(
            f"{encodable(str(file))}: cannot be imported: {one_line(error)}; no result has been changed, and the same "
            "import again resumes from here"
        ) from None


def _is_xz(file: Path) -> bool:
    with suppress(OSError), file.open("rb") as start:
        return start.read(6) == b"\xfd7zXZ\0"
    return False


class _UnusableError(Exception):
    """An archive that is not as `export` makes them."""


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    names = [info.filename for info in members]
    tables = {f"{name}.jsonl" for name in _TABLES}
    if not {_ABOUT, *tables} <= set(names):
        raise _UnusableError("`ctrbench store export` did not make it")
    if len(set(names)) < len(names):
        raise _UnusableError("it holds a name twice")
    for info in members:
        ours = info.filename in {_ABOUT, *tables} or info.filename in _members(Path(info.filename).stem)
        if not ours or stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
            raise _UnusableError(f"{info.filename[:80]!r} does not belong in it")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise _UnusableError(f"{info.filename[:80]!r} is compressed")
    if sum(info.file_size for info in members) > size:
        raise _UnusableError("more would come out of it than is in it")
    with archive.open(_ABOUT) as file:
        try:
            about = json.loads(file.read(4096))
            form, version = int(about["format"]), int(about["schema_version"])
        except (ValueError, TypeError, KeyError):
            raise _UnusableError(f"{_ABOUT} cannot be read") from None
    if form > FORMAT or version > SCHEMA_VERSION:
        raise _UnusableError(f"a newer ctrbench made it (format {form}, schema version {version}); use that one")


def _lines(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    """The checked rows of a table."""
    model = _TABLES[name][1]
    with archive.open(f"{name}.jsonl") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), b""), 1):
            try:
                row = checked(model, json.loads(line, parse_constant=_finite, parse_float=_finite))
                plain_row = row.model_dump(mode="json")
            except (ValueError, TypeError, RecursionError) as error:
                raise _UnusableError(f"line {number} of {name}.jsonl: {str(error)[:200]}") from None
            yield plain_row


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word[:20]} is no finite number")
    return number


def _artefacts(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The digests of the artefacts in it, and where each is."""
    for info in archive.infolist():
        digest = Path(info.filename).stem
        if info.filename in _members(digest):
            yield digest, info


def _check_artefacts(archive: zipfile.ZipFile) -> None:
    """Refuse an artefact that is not what its digest says."""
    for digest, info in _artefacts(archive):
        with archive.open(info) as source:
            if hashlib.file_digest(cast(zipfile.ZipExtFile, source), "sha256").hexdigest() != digest:
                raise LostArtefactError(f"artefact {digest} is not what its name says")


def _merge(store: Store, archive: zipfile.ZipFile, connection: sa.Connection) -> Imported:
    imported = Imported()
    for batch in _batches(_lines(archive, "runs")):
        known = _known(connection, runs.c.run, runs.c.finished, batch)
        imported.runs += len({row["run"] for row in batch} - known.keys())
        insert = store.database.insert(runs)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["run"],
                set_={"finished": insert.excluded.finished, "about": insert.excluded.about},
                where=runs.c.finished.is_(None) & insert.excluded.finished.is_not(None),
            ),
            batch,
        )
    for batch in _batches(_lines(archive, "tasks")):
        statuses = _known(connection, tasks.c.key, tasks.c.status, batch)
        makers = _known(connection, runs.c.run, runs.c.run, batch)
        for row in batch:
            if row["run"] not in makers:
                raise _UnusableError(f"result {row['key'][:16]}: the run {row['run']} that did it is not in it")
            before = statuses.get(row["key"])
            better = before != Status.OK and row["status"] == Status.OK
            imported.results["new" if before is None else "better" if better else "known"] += 1
            statuses.setdefault(row["key"], row["status"])  # a stranger's archive may hold it twice
        connection.execute(store.database.taking_tasks(fresh=False), batch)
    for batch in _batches(_lines(archive, "run_tasks")):
        insert = store.database.insert(run_tasks)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["run", "task"],
                set_={"key": insert.excluded.key, "blocked_by": insert.excluded.blocked_by},
                where=(run_tasks.c.key == "") & (insert.excluded.key != ""),
            ),
            batch,
        )
    settled = set(connection.scalars(sa.select(run_cells.c.run).distinct()))
    for batch in _batches(_lines(archive, "run_cells")):
        _expect_known(connection, [row for row in batch if row["run"] in settled])
        connection.execute(store.database.insert(run_cells).on_conflict_do_nothing(), batch)
    for row in _lines(archive, "runs"):
        _check_grid(connection, row["run"])
    return imported


def _expect_known(connection: sa.Connection, cells: Sequence[Mapping[str, Any]]) -> None:
    """Refuse other cells of a run than the store has: whoever got an archive of it knows its name."""
    place = sa.tuple_(run_cells.c.run, run_cells.c.position)
    found = connection.execute(sa.select(run_cells).where(place.in_([(row["run"], row["position"]) for row in cells])))
    known = {(row["run"], row["position"]): dict(row) for row in found.mappings()}
    for row in cells:
        if known.get((row["run"], row["position"])) != row:
            raise _UnusableError(f"run {row['run']}: its cells are not those that the store has of it")


def _check_grid(connection: sa.Connection, run: str) -> None:
    """Refuse a run whose cells do not fit together."""
    read = (connection.execute(sa.select(table).where(table.c.run == run)).mappings() for table in (runs, run_cells))
    try:
        [about], grid = read
        check_grid(checked(RunRow, about).info, [checked(GridRow, place).place for place in grid])
    except BadRowError as error:
        raise _UnusableError(f"run {run}: {error}") from None


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return iter(lambda: list(islice(rows, _BATCH)), [])


def _known(
    connection: sa.Connection, key: sa.Column[Any], value: sa.Column[Any], batch: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the store has of a batch."""
    found = connection.execute(sa.select(key, value).where(key.in_([row[key.name] for row in batch])))
    return {row[0]: row[1] for row in found}


def _members(digest: str) -> list[str]:
    return [f"artefacts/{digest}{suffix}" for suffix in SUFFIXES]
