"""Log files of any format as one Arrow table.

In: files, and what is known about how they are written. Out: a `Log`, whose columns are as in the files, text as text;
or a UserError that says why a file cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrbench import UserError, as_text

from ctrbench_datasets._files import Kind, kind_of, open_bytes, readable
from ctrbench_datasets._text import BLOCK, Dialect, read_text

PLAIN = Dialect()


@dataclass(frozen=True, eq=False)
class Log:
    """The rows of one file or of several, one file after the other.

    `table` is a pyarrow table: text columns are dictionaries of strings, others keep their type in the file.
    """

    table: Any
    files: tuple[tuple[str, int, tuple[int, ...]], ...]  # the name of each, its rows, and the numbers of those left out
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.table.column_names)

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
        place = self.names.index(name) if name in self.names else len(self.names)
        table = self.table.remove_column(place) if name in self.names else self.table
        return Log(table.add_column(place, name, values), self.files, self.notes)

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
        return Log(parts[0].table, parts[0].files, tuple(notes))
    return Log(_joined([part.table for part in parts], names), tuple(part.files[0] for part in parts), tuple(notes))


def _joined(tables: list[Any], names: Sequence[str]) -> Any:
    import pyarrow as pa

    columns = {}
    for name in names:
        parts = [table[name] for table in tables]
        if any(part.type != parts[0].type for part in parts):
            parts = as_text(parts, f"column {name!r}")
        columns[name] = pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
    return pa.table(columns)


def _read(path: Path, dialect: Dialect, only: Sequence[str] | None) -> Log:
    kind = kind_of(path)
    if kind.format == "text":
        found = read_text(path, kind, dialect, only)
        return Log(found.table, ((path.name, found.table.num_rows, tuple(found.left_out)),), tuple(found.notes))
    with readable(path):
        table = {"parquet": _read_parquet, "feather": _read_feather, "jsonl": _read_jsonl}[kind.format](path, kind)
        twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
        if twice:
            raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
        table = _without_pandas_index(table)
        if only is not None:
            table = table.select([name for name in table.column_names if name in only])
    return Log(table, ((path.name, table.num_rows, ()),))


def _read_parquet(path: Path, kind: Kind) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        return file.read()


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


def _without_pandas_index(table: Any) -> Any:
    """The table with pandas' index in front if its name is not a column's; otherwise without the index."""
    told: Mapping[str, Any] = table.schema.pandas_metadata or {}
    called = {
        each.get("field_name"): each.get("name")
        for each in told.get("columns", [])
        if isinstance(each, dict) and isinstance(each.get("field_name"), str)
    }
    index: dict[str, Any] = {}
    for stored in [name for name in told.get("index_columns", []) if name in table.column_names]:
        column, name = table[stored], called.get(stored)
        table = table.remove_column(table.column_names.index(stored))
        if name is not None and str(name) not in table.column_names:
            index[str(name)] = column
    for place, (name, column) in enumerate(index.items()):
        table = table.add_column(place, name, column)
    return table.replace_schema_metadata(None)
