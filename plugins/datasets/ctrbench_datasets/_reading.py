"""Log files of any format as columns.

In: files, and what is known about how they are written. Out: a `Log`, whose columns are as in the files, text as text;
or a UserError that says why a file cannot be read. Parquet is read column by column, when one is asked for, so that a
log needs no more memory than one of its columns.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from ctrbench import Column, UserError, as_text
from numpy.typing import NDArray

from ctrbench_datasets._characters import BLOCK, BOM, Text, WrongEncodingError
from ctrbench_datasets._encodings import encoding_of
from ctrbench_datasets._files import Kind, kind_of, open_bytes, readable
from ctrbench_datasets._text import Dialect, read_text

PLAIN = Dialect()

WIDE = 100
"""Opening a Parquet file takes time for each of its columns: one with so many is not opened anew for each."""


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

    @cached_property
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


def read_log(
    files: Path | Sequence[Path], dialect: Dialect = PLAIN, *, only: Sequence[str] | None = None, folders: bool = False
) -> Log:
    """The rows of files in the order given; all must have the first one's columns, in any order.

    `dialect` is for text files; `only` names the columns to read. What folders such as day=2026-01-31 say is a column
    where there are several files, or `folders` asks for it. Columns that occur only in later files are left out with a
    note; columns whose type differs between files become text.
    """
    paths = [files] if isinstance(files, Path) else list(files)
    parts = [_read(path, dialect, only, alone=len(paths) == 1) for path in paths]
    if folders or len(paths) > 1:
        parts = [_with_folders(part, path) for part, path in zip(parts, paths, strict=True)]
    names = parts[0].names
    notes = [note for part in parts for note in part.notes]
    if len(parts) == 1:
        return parts[0]
    called = [path.name for path in paths]
    if len(set(called)) < len(paths):  # part-0.parquet of each day
        top = os.path.commonpath([path.parent for path in paths])
        called = [os.path.relpath(path, top) for path in paths]
    for path, name, part in zip(paths[1:], called[1:], parts[1:], strict=True):
        lacking = [column for column in names if column not in part.names]
        if lacking:
            raise UserError(
                f"{path}: the column {lacking[0]!r} of {called[0]} is not there; files of one log need the same columns"
            )
        more = [column for column in part.names if column not in names]
        if more:
            notes.append(f"{name} has columns that {called[0]} lacks, left out: {', '.join(more[:5])}")
    told = [(name, *part.files[0][1:]) for name, part in zip(called, parts, strict=True)]
    return Log(_joined([part.columns for part in parts], names), tuple(told), tuple(notes))


def _with_folders(log: Log, path: Path) -> Log:
    """The log with what the folders of its file say, as in day=2026-01-31/part-0.parquet, in columns of their own."""
    import pyarrow as pa

    for key, value in (folder.split("=", 1) for folder in path.parts[:-1] if re.match("[^=]+=(?!=)", folder)):
        if key not in log.names:
            texts = pa.array([unquote(value)] if value not in ("", "__HIVE_DEFAULT_PARTITION__") else [], pa.string())
            codes = pa.array(np.zeros(len(log), np.int32), mask=np.full(len(log), not len(texts)))
            log = log.with_column(key, pa.chunked_array([pa.DictionaryArray.from_arrays(codes, texts)]))
    return log


def _joined(parts: list[Any], names: Sequence[str]) -> Stored:
    """The columns of several files, each joined when it is asked for."""
    import pyarrow as pa

    types = {name: {part.schema.field(name).type for part in parts} for name in names}
    text = pa.dictionary(pa.int32(), pa.string())
    own = {name: next(iter(kinds)) for name, kinds in types.items() if len(kinds) == 1 and not _is_text(*kinds)}
    schema = pa.schema([(name, own.get(name, text)) for name in names])

    def read(name: str) -> Any:
        columns = [part[name] for part in parts]
        if name not in own:  # texts too: one file may write as 1.0 what another writes as 1
            columns = as_text(columns, f"column {name!r}")
        return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)

    return Stored(schema, sum(part.num_rows for part in parts), read)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _read(path: Path, dialect: Dialect, only: Sequence[str] | None, *, alone: bool) -> Log:
    import pyarrow as pa

    kind = kind_of(path)
    if kind.format == "text":
        text = read_text(path, kind, dialect, only)
        return Log(text.table, ((path.name, text.table.num_rows, tuple(text.left_out)),), tuple(text.notes))
    told = ("delimiter", "quote", "columns", *(() if kind.format == "jsonl" else ("encoding",)))
    given = next((name for name in told if getattr(dialect, name)), "")
    if given:
        raise UserError(f"{path}: {given}= is for text, and {kind.format} says it itself; leave it out")
    with readable(path):
        found: Any
        if kind.format == "jsonl":
            found = _read_jsonl(path, kind, dialect.encoding)
        else:
            found = _read_parquet(path, alone=alone) if kind.format == "parquet" else _read_feather(path)
        twice = sorted(name for name, times in Counter(found.column_names).items() if times > 1)
        if twice:
            raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
        stored_as, note = _without_pandas_index(found)
        if only is not None:
            stored_as = {name: stored for name, stored in stored_as.items() if name in only}
        if isinstance(found, Stored):
            schema = pa.schema([found.schema.field(stored).with_name(name) for name, stored in stored_as.items()])
            columns: Any = Stored(schema, len(found), lambda name: found.read(stored_as[name]))
        else:
            columns = found.select(list(stored_as.values())).rename_columns(list(stored_as))
            columns = columns.replace_schema_metadata(None)
    columns = _with_plain_texts(columns)
    if dialect.missing:
        columns = _without(columns, dialect.missing)
    return Log(columns, ((path.name, columns.num_rows, ()),), (f"{path.name}: {note}",) if note else ())


def _with_plain_texts(columns: Any) -> Any:
    """The columns, texts and bytes as polars writes them in types with which pyarrow can compute."""
    import pyarrow as pa

    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    schema = columns.schema
    for place, field in enumerate(columns.schema):
        if pa.types.is_dictionary(field.type) and field.type.value_type in plain:
            kind = pa.dictionary(field.type.index_type, plain[field.type.value_type])
            schema = schema.set(place, field.with_type(kind))
        elif field.type in plain:
            schema = schema.set(place, field.with_type(plain[field.type]))
    if schema == columns.schema:
        return columns

    def read(name: str) -> Any:
        values, kind = columns[name], schema.field(name).type
        if values.type == kind or not pa.types.is_dictionary(kind):
            return values.cast(kind)
        parts = [(chunk.indices, chunk.dictionary.cast(kind.value_type)) for chunk in values.chunks]
        return pa.chunked_array([pa.DictionaryArray.from_arrays(*part) for part in parts], kind)

    return Stored(schema, len(columns), read)


def _without(columns: Any, words: Sequence[str]) -> Stored:
    """The columns with nothing in the place of values that are shown as one of these words, or are that number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def read(name: str) -> Any:
        values = columns[name]
        kind = values.type
        gone = _among(values, words)
        if not gone.any():
            return values
        ends = np.cumsum([len(chunk) for chunk in values.chunks])[:-1]
        return pa.chunked_array(
            pc.if_else(pa.array(mask), pa.scalar(None, kind), chunk)
            for chunk, mask in zip(values.chunks, np.split(gone, ends), strict=True)
        )

    return Stored(columns.schema, len(columns), read)


def _among(values: Any, words: Sequence[str]) -> NDArray[np.bool_]:
    """Which values are shown as one of the words; of floats also those written in another way, such as -999.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_floating(kind):
        numbers = [float(word) for word in words if re.fullmatch(r"[+-]?(inf|(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)", word)]
        values = values.cast(pa.float32()) if pa.types.is_float16(kind) else values
        wide = pa.array(numbers, pa.float64())
        listed = wide.cast(values.type, safe=False)
        listed = listed.filter(pc.equal(pc.is_inf(listed), pc.is_inf(wide)))  # 1e300 is no float32
        found: NDArray[np.bool_] = pc.is_in(values, listed).to_numpy()
        return found
    try:
        column = Column.of(values)
    except (TypeError, ValueError):
        return np.zeros(len(values), np.bool_)  # compound values, which encoding names if they are used
    listed = pc.is_in(column.texts, pa.array(words, column.texts.type)).to_numpy(zero_copy_only=False)
    return np.append(listed, np.False_)[column.codes]


def _read_parquet(path: Path, *, alone: bool) -> Stored:
    """The columns of a file; a wide one that is `alone` stays open once a column is asked for.

    Others do not: a log may have more parts than a process may have files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    state = _state(path)
    with pq.ParquetFile(path) as file:
        schema, about = file.schema_arrow, file.metadata
        stored = [file.schema.column(place) for place in range(about.num_columns)]
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    times = sorted({each.path for each in stored if each.physical_type == "INT96"} & set(schema.names))
    unit = _unit_of_int96(path, times) if times else None

    kept: list[pq.ParquetFile] = []

    def opened() -> pq.ParquetFile:
        return pq.ParquetFile(path, metadata=about, read_dictionary=texts, coerce_int96_timestamp_unit=unit)

    def at_hand() -> AbstractContextManager[pq.ParquetFile]:
        if not alone or about.num_columns < WIDE:
            return opened()
        kept[:] = kept or [opened()]
        return nullcontext(kept[0])

    def expect_unchanged() -> None:
        if _state(path) != state:
            raise UserError(f"{path}: was changed while it was read; load it again once it is written")

    def read(name: str) -> Any:
        with readable(path):
            expect_unchanged()
            with at_hand() as file:
                found = file.read([name], use_threads=False)
                if found.column_names.count(name) != 1:  # beside lists and structs it may mean a part of these
                    found = file.read()
            expect_unchanged()
            return found[name]

    with opened() as file:
        return Stored(file.schema_arrow, about.num_rows, read)


def _unit_of_int96(path: Path, names: Sequence[str]) -> str:
    """The unit for times as Spark and Hive write them: microseconds, which reach the year 9999, if these lose nothing.

    UserError where neither microseconds nor nanoseconds hold a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    unit = "us"
    for name in names:
        coarse, fine = (
            pq.read_table(path, columns=[name], use_threads=False, coerce_int96_timestamp_unit=each)[name]
            for each in ("us", "ns")
        )
        if not coarse.cast(fine.type, safe=False).equals(fine):  # which wraps as `fine` has
            unit = "ns"
            if (np.abs(coarse.drop_null().cast(pa.int64()).to_numpy()) > (2**63 - 1) // 1000).any():
                raise UserError(
                    f"{path}: column {name!r} has times beyond 2262 as well as nanoseconds; write it in microseconds"
                )
    return unit


def _state(path: Path) -> tuple[int, ...]:
    """What changes where a file is written anew."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_feather(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    with pa.OSFile(str(path)) as file:
        if file.read(4) == b"\xff\xff\xff\xff":  # a stream, as datasets of Hugging Face are saved
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()
    return feather.read_table(path)


def _read_jsonl(path: Path, kind: Kind, encoding: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import json as arrow_json

    text = Text(path, kind, encoding_of(path, kind, encoding))
    with text.open() as file:
        head = file.read(1 << 16).strip()
    nested = re.match(rb'\{(\s*[\r\n])?\s*"[^"]*"\s*:\s*[\[{](\s*[\r\n])?', head)
    what = "a list in JSON" if head.startswith(b"[") else "one object in JSON, of columns or of a list"
    one = UserError(f"{path}: {what}; write one object a line, as df.to_json(orient='records', lines=True)")
    if head.startswith(b"["):
        raise one

    def parsed(types: Mapping[str, Any]) -> Any:
        asked = pa.schema(list(types.items()))
        with text.open() as file:
            return arrow_json.read_json(
                pa.PythonFile(file, "r"),
                read_options=arrow_json.ReadOptions(block_size=BLOCK),
                parse_options=arrow_json.ParseOptions(explicit_schema=asked),
            )

    try:
        table = parsed({})
    except WrongEncodingError:
        raise
    except UserError as error:
        if nested and (any(nested.groups()) or not re.search(rb"[\r\n]", head)):
            raise one from None
        raise UserError(re.sub(r"in row \d+", lambda told: _fault(text) or told[0], str(error))) from None
    if len(table) == 1 and all(pa.types.is_nested(each.type) for each in table.schema):
        raise one
    names = table.column_names
    asked = {each.name: pa.string() for each in table.schema if pa.types.is_timestamp(each.type)}  # text stays text
    large = [name for name in names if _has_large_floats(table[name])]
    if large:
        try:
            return parsed(asked | dict.fromkeys(large, pa.decimal256(76, 0))).select(names)
        except UserError:  # of NaN, fractions or more digits
            pass
    table = parsed(asked).select(names) if asked else table
    for name in large:
        written = _as_written(text, name)
        if pc.any(pc.match_substring_regex(written.cast(pa.string()), r"^-?\d{16}")).as_py():
            table = table.set_column(names.index(name), name, written)
    return table


def _fault(text: Text) -> str:
    """The first row that cannot be parsed, counted from 1 in the file: pyarrow counts from 0 in each block."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    rest, rows = b"", 0
    with text.open() as file:
        while data := file.read(BLOCK):
            end = (rest + data).rfind(b"\n") + 1
            block, rest = (rest + data)[:end], (rest + data)[end:]
            try:
                rows += arrow_json.read_json(
                    pa.BufferReader(block), read_options=arrow_json.ReadOptions(block_size=len(block) + 1)
                ).num_rows
            except pa.ArrowInvalid as error:
                found = re.search(r"in row (\d+)", str(error))
                return f"in row {rows + int(found[1]) + 1}" if found else ""
    return ""


def _has_large_floats(column: Any) -> bool:
    """Whether floats may have been whole numbers with more digits than they keep."""
    import pyarrow as pa

    return pa.types.is_floating(column.type) and bool((np.abs(column.to_numpy()) >= 2**53).any())


def _as_written(text: Text, name: str) -> Any:
    """The numbers of a column of JSON as the file writes them, NaN as missing."""
    import pyarrow as pa

    read = json.JSONDecoder(
        parse_int=str, parse_float=str, parse_constant=lambda word: None if word == "NaN" else word
    ).decode
    with open_bytes(text.path, text.kind.packing) as raw:
        lines = io.TextIOWrapper(raw, text.encoding)
        rows = (read(BOM.sub("", line)).get(name) for line in lines if line.strip())
        chunks = iter(lambda: pa.array(islice(rows, 1 << 16), pa.string()), pa.array([], pa.string()))
        return pa.chunked_array(chunks, pa.string()).dictionary_encode()


def _without_pandas_index(found: Any) -> tuple[dict[str, str], str]:
    """The columns' names, by which each is stored; and what is worth noting.

    The index of pandas comes first, where it has a name that no column has, or none and is of texts or dates, which a
    text file keeps too; otherwise it is left out.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    told: Mapping[str, Any] = found.schema.pandas_metadata or {}
    called = {
        each.get("field_name"): each.get("name")
        for each in told.get("columns", [])
        if isinstance(each, dict) and isinstance(each.get("field_name"), str)
    }
    names = {name: name for name in found.column_names}
    stored_index = [name for name in told.get("index_columns", []) if name in found.column_names]  # or a range
    for stored in stored_index:
        del names[stored]
    index: dict[str, str] = {}
    note = ""
    for place, stored in enumerate(stored_index):
        name = called.get(stored)
        if name is None and not pa.types.is_integer(found.schema.field(stored).type):
            name = f"Unnamed: {place}"  # as in a text file
        elif name is None and pc.count_distinct(found[stored]).as_py() < len(found[stored]):  # not row numbers
            note = "its index of pandas has no name, and is left out; name it to keep it: df.index.name = ..."
        if name is not None and str(name) not in names:
            index[str(name)] = stored
    return index | names, note
