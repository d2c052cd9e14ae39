"""Log files of any format as columns.

In: files, and what is known about how they are written. Out: a `Log`, whose columns are as in the files, text as text;
or a UserError that says why a file cannot be read. Parquet is read column by column, when one is asked for, so that a
log needs no more memory than one of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ctrbench import UserError, as_text

from ctrbench_datasets._files import Kind, kind_of, open_bytes, readable
from ctrbench_datasets._text import BLOCK, Dialect, read_text

PLAIN = Dialect()


@dataclass(frozen=True, eq=False)
class Stored:
    """Columns that lie in files: each is read when it is asked for, and again when it is asked for again."""

    schema: Any  # pyarrow.Schema
    num_rows: int
    read: Callable[[str], Any]  # a column's name → a pyarrow.ChunkedArray

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in order."""
        names: list[str] = self.schema.names
        return names

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, name: str) -> Any:
        return self.read(name)

    def whole(self) -> Any:
        """All of them, as a pyarrow table."""
        import pyarrow as pa

        return pa.table({name: self[name] for name in self.column_names})


@dataclass(frozen=True, eq=False)
class Log:
    """The rows of one file or of several, one file after the other.

    Text columns are pyarrow dictionaries of strings, others keep the type that the file gives them.
    """

    columns: Any  # a pyarrow table, or Stored
    files: tuple[tuple[str, int, tuple[int, ...]], ...]  # the name of each, its rows, and the numbers of those left out
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @property
    def table(self) -> Any:
        """All columns, as a pyarrow table."""
        return self.columns.whole() if isinstance(self.columns, Stored) else self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.columns.column_names)

    def where(self, position: int) -> str:
        """A row as the user finds it, counted from 1 in its file: "row 7", or "row 7 of monday.csv"."""
        for name, rows, left_out in self.files:
            if position < rows:
                number = position + 1
                for bad in left_out:
                    number += bad <= number
                return f"row {number}" + (f" of {name}" if len(self.files) > 1 else "")
            position -= rows
        return "a row beyond the last"

    def with_column(self, name: str, values: Any) -> Log:
        """The log with another column, replacing one of the same name."""
        import pyarrow as pa

        values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values)])
        columns, named = self.columns, pa.field(name, values.type)
        if name in self.names:
            place = self.names.index(name)
            if not isinstance(columns, Stored):
                return replace(self, columns=columns.set_column(place, named, values))
            schema = columns.schema.set(place, named)
        elif not isinstance(columns, Stored):
            return replace(self, columns=columns.append_column(named, values))
        else:
            schema = columns.schema.append(named)
        return replace(
            self, columns=Stored(schema, len(self), lambda each: values if each == name else columns.read(each))
        )

    @classmethod
    def of(cls, table: Any, source: str = "the table", notes: Sequence[str] = ()) -> Log:
        """The log of a pyarrow table that a data set has made itself, such as by a join."""
        return cls(table, ((source, table.num_rows, ()),), tuple(notes))


def read_log(files: Path | Sequence[Path], dialect: Dialect = PLAIN, *, only: Sequence[str] | None = None) -> Log:
    """The rows of files in the order given; all must have the first one's columns, in any order.

    `dialect` is for text files; `only` names the columns to read. Columns that occur only in later files are left out
    with a note; columns whose type differs between files become text.
    """
    paths = [files] if isinstance(files, Path) else list(files)
    parts = [_read(path, dialect, only) for path in paths]
    names = parts[0].names
    notes = [note for part in parts for note in part.notes]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        lacking = [name for name in names if name not in part.names]
        if lacking:
            raise UserError(
                f"{path}: the column {lacking[0]!r} of {paths[0].name} is not there; files of one log need the same "
                "columns"
            )
        more = [name for name in part.names if name not in names]
        if more:
            notes.append(f"{path.name} has columns that {paths[0].name} lacks, left out: {', '.join(more[:5])}")
    if len(parts) == 1:
        return Log(parts[0].columns, parts[0].files, tuple(notes))
    return Log(_joined([part.columns for part in parts], names), tuple(part.files[0] for part in parts), tuple(notes))


def _joined(parts: list[Any], names: Sequence[str]) -> Stored:
    """The columns of several files, each joined when it is asked for."""
    import pyarrow as pa

    types = {name: {part.schema.field(name).type for part in parts} for name in names}
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema([(name, next(iter(kinds)) if len(kinds) == 1 else text) for name, kinds in types.items()])

    def read(name: str) -> Any:
        columns = [part[name] for part in parts]
        if len(types[name]) > 1:
            columns = as_text(columns, f"column {name!r}")
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)

    return Stored(schema, sum(part.num_rows for part in parts), read)


def _read(path: Path, dialect: Dialect, only: Sequence[str] | None) -> Log:
    import pyarrow as pa

    kind = kind_of(path)
    if kind.format == "text":
        found = read_text(path, kind, dialect, only)
        return Log(found.table, ((path.name, found.table.num_rows, tuple(found.left_out)),), tuple(found.notes))
    with readable(path):
        found = {"parquet": _read_parquet, "feather": _read_feather, "jsonl": _read_jsonl}[kind.format](path, kind)
        twice = sorted({name for name in found.column_names if found.column_names.count(name) > 1})
        if twice:
            raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
        stored_as = _without_pandas_index(found.schema)
        if only is not None:
            stored_as = {name: stored for name, stored in stored_as.items() if name in only}
        if isinstance(found, Stored):
            schema = pa.schema([found.schema.field(stored).with_name(name) for name, stored in stored_as.items()])
            columns: Any = Stored(schema, len(found), lambda name: found.read(stored_as[name]))
        else:
            columns = found.select(list(stored_as.values())).rename_columns(list(stored_as))
            columns = columns.replace_schema_metadata(None)
    return Log(columns, ((path.name, columns.num_rows, ()),))


def _read_parquet(path: Path, kind: Kind) -> Stored:
    import pyarrow as pa
    import pyarrow.parquet as pq

    state = _state(path)
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    file = pq.ParquetFile(path, read_dictionary=texts)

    def read(name: str) -> Any:
        with readable(path):
            if _state(path) != state:
                raise UserError(f"{path}: was changed while it was read; load it again once it is written")
            found = file.read([name], use_threads=False)
            # beside lists and structs, a name may mean a part of these
            return (found if found.column_names.count(name) == 1 else file.read())[name]

    return Stored(file.schema_arrow, file.metadata.num_rows, read)


def _state(path: Path) -> tuple[int, ...]:
    """What changes where a file is written anew."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_feather(path: Path, kind: Kind) -> Any:
    from pyarrow import feather

    return feather.read_table(path)


def _read_jsonl(path: Path, kind: Kind) -> Any:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    def parsed(texts: Sequence[str]) -> Any:
        asked = pa.schema([(name, pa.string()) for name in texts])
        with open_bytes(path, kind.packing) as file:
            return arrow_json.read_json(
                pa.PythonFile(file, "r"),
                read_options=arrow_json.ReadOptions(block_size=BLOCK),
                parse_options=arrow_json.ParseOptions(explicit_schema=asked),
            )

    table = parsed([])
    dates = [column.name for column in table.schema if pa.types.is_timestamp(column.type)]
    return parsed(dates).select(table.column_names) if dates else table  # text stays text


def _without_pandas_index(schema: Any) -> dict[str, str]:
    """The columns' names, and by which each is stored.

    The index of pandas comes first, where it has a name that no column has; otherwise it is left out.
    """
    told: Mapping[str, Any] = schema.pandas_metadata or {}
    called = {
        each.get("field_name"): each.get("name")
        for each in told.get("columns", [])
        if isinstance(each, dict) and isinstance(each.get("field_name"), str)
    }
    names = {name: name for name in schema.names}
    index: dict[str, str] = {}
    for stored in [name for name in told.get("index_columns", []) if name in schema.names]:
        del names[stored]
        name = called.get(stored)
        if name is not None and str(name) not in names:
            index[str(name)] = stored
    return index | names
