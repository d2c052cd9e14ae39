"""A table's rows as a file that other tools read and write, and back.

In: a coded table, or a file of rows with the schema that train has. Out: CSV or Parquet with the values in plain text;
or a table again, with the rows that do not fit counted by the field that is to blame.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from ctrbench.columns import Column, Rows, as_shown
from ctrbench.errors import UserError
from ctrbench.files import whole_file
from ctrbench.table import MISSING, PRESENT, UNSEEN, Field, Schema, Table
from ctrbench.text import did_you_mean, encodable, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")
UNSEEN_TEXT = "(unseen)"
"""Stands for a value of valid or test that train lacks: a coded table does not hold it any more."""


@dataclass(frozen=True)
class Misfits:
    """The rows of a file that a schema has no codes for, and the first such value of each field."""

    rows: NDArray[np.bool_]  # (rows of the file,)
    by_field: dict[str, tuple[int, str]] = field(default_factory=dict)  # how many, and for example

    def __str__(self) -> str:
        told = (f"{name} {count:,} (such as {as_shown(value)})" for name, (count, value) in self.by_field.items())
        return f"{self.rows.sum():,} of {len(self.rows):,} rows hold values that train lacks: {', '.join(told)}"


def write_rows(table: Table, file: Path) -> None:
    """The label and the fields as values, a missing value as an empty one; the suffix says in which format."""
    import pyarrow as pa

    columns = {table.schema.label: pa.array(table.targets)}
    columns |= {known.name: _values(table, known) for known in table.schema.columns}
    values = pa.table(columns)
    suffix = _suffix(file)
    with whole_file(file) as target:
        if suffix == ".parquet":
            from pyarrow import parquet

            parquet.write_table(values, target)
            return
        from pyarrow import csv as arrow

        with gzip.GzipFile("", "wb", fileobj=target, mtime=0) if suffix == ".csv.gz" else nullcontext(target) as text:
            arrow.write_csv(values, text, arrow.WriteOptions(delimiter="\t" if suffix == ".tsv" else ","))


def read_rows(file: Path, schema: Schema) -> tuple[Table, Misfits]:
    """The rows of a file that fit the schema, and what became of the others; UserError where it cannot be read.

    Columns that the schema does not name are left out. A value fits that is in the field's vocabulary, as it is written
    or, where a tool has made numbers of ids, without the ".0" at its end; of a number any finite one.
    """
    raw = _read(file, [schema.label, *(known.name for known in schema.columns)])
    rows, misfits = Rows.of(raw), Misfits(np.zeros(raw.num_rows, bool))
    columns: dict[str, NDArray[Any]] = {}
    for known in schema.columns:
        try:
            values, bad = _numbers(rows, known.name) if known.vocabulary is None else _codes(raw[known.name], known)
        except (TypeError, ValueError) as error:
            raise UserError(f"{encodable(str(file))}: the column {known.name!r} {error}") from None
        if known.missing_indicator is not None:
            missing = np.isnan(values) & _is_missing(raw[known.name])
            bad &= ~missing
            values = np.where(missing, known.imputed or 0.0, values)
            vocabulary = schema.field(known.missing_indicator).vocabulary or ()
            codes = [vocabulary.index(value) + 1 for value in (PRESENT, MISSING)]
            columns[known.missing_indicator] = np.array(codes, np.int32)[missing.astype(int)]
        columns[known.name] = values
        _blame(misfits, known.name, bad, raw)
    labels, bad = _numbers(rows, schema.label)
    _blame(misfits, schema.label, bad | ~np.isin(labels, (0, 1)), raw)

    import pandas as pd

    good = ~misfits.rows
    frame = pd.DataFrame({name: columns[name][good] for name in schema.names}, copy=False)
    return Table(frame, schema, labels[good].astype(np.int8)), misfits


def file_digest(file: Path, algorithm: str = "sha256") -> str:
    """The SHA-256, or md5, … of a file in hexadecimal, read again only where it has changed.

    UserError where it cannot be read.
    """
    try:
        found = os.stat(file)
        return _file_digest(file, algorithm, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{encodable(str(file))}: cannot be read ({error.strerror or error}); check the path") from None


@lru_cache(maxsize=1024)
def _file_digest(file: Path, algorithm: str, size: int, modified: int) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, algorithm).hexdigest()


def _suffix(file: Path) -> str:
    for suffix in SUFFIXES:
        if file.name.lower().endswith(suffix):
            return suffix
    raise UserError(f"{encodable(str(file))}: its name must end in {', '.join(SUFFIXES)}")


def _values(table: Table, known: Field) -> Any:
    """A coded column as an Arrow array of texts, or of numbers."""
    import pyarrow as pa

    column = table.rows[known.name].to_numpy()
    if known.vocabulary is None:
        return pa.array(column, mask=table.missing(known))
    texts = [UNSEEN_TEXT, *(None if value == MISSING else value for value in known.vocabulary)]
    return pa.DictionaryArray.from_arrays(pa.array(column), pa.array(texts, pa.string())).cast(pa.string())


def _read(file: Path, wanted: Sequence[str]) -> Any:
    """The wanted columns of a file as an Arrow table; of a CSV all as text."""
    import pyarrow as pa

    suffix, where = _suffix(file), encodable(str(file))
    try:
        if suffix == ".parquet":
            from pyarrow import parquet

            names = parquet.read_schema(file).names
            _expect_columns(names, wanted, where)
            read = parquet.read_table(file, columns=list(wanted))
        else:
            delimiter = "\t" if suffix == ".tsv" else ","
            with _opened(file, suffix) as source, TextIOWrapper(source, "utf-8-sig", newline="") as text:
                names = next(csv.reader(text, delimiter=delimiter), [])
            _expect_columns(names, wanted, where)
            read = _read_csv(file, suffix, delimiter, wanted)
            _expect_all_rows(read.num_rows, file, suffix, delimiter)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise UserError(f"{where}: cannot be read ({one_line(error)}); repair or convert it") from None
    if not read.num_rows:
        raise UserError(f"{where}: it has no rows; give it some")
    if nested := [column.name for column in read.schema if pa.types.is_nested(column.type)]:
        raise UserError(f"{where}: the column {nested[0]!r} holds lists or other compound values; flatten it")
    return read


def _opened(file: Path, suffix: str) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file)) if suffix == ".csv.gz" else open(file, "rb")


def _expect_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    for name in wanted:
        if names.count(name) != 1:
            many = "is there more than once" if name in names else "is not there"
            raise UserError(f"{where}: the column {name!r} {many}; {did_you_mean(name, names, 'the columns are')}")


def _read_csv(file: Path, suffix: str, delimiter: str, wanted: Sequence[str]) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow

    types = dict.fromkeys(wanted, pa.string())
    with _opened(file, suffix) as source:
        return arrow.read_csv(
            source,
            arrow.ReadOptions(block_size=1 << 24),
            arrow.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            arrow.ConvertOptions(column_types=types, include_columns=list(wanted)),
        )


def _expect_all_rows(rows: int, file: Path, suffix: str, delimiter: str) -> None:
    """UserError where quotation marks join lines of which most are rows by themselves, as those in unquoted text do."""
    with _opened(file, suffix) as source, TextIOWrapper(source, "utf-8-sig", newline="") as text:
        if rows + 1 == sum(1 for line in text if line.strip()):
            return
    joined: list[str] = []

    def recorded(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            joined.append(line)
            yield line

    with _opened(file, suffix) as source, TextIOWrapper(source, "utf-8-sig", newline="") as text:
        reader = csv.reader(recorded(text), delimiter=delimiter)
        width = len(next(reader))
        joined.clear()
        for _ in reader:
            whole = sum(line.count(delimiter) + 1 == width for line in joined)
            if len(joined) > 1 and 2 * whole > len(joined):
                raise UserError(
                    f"{encodable(str(file))}: the quotation marks from line {reader.line_num - len(joined) + 1} to "
                    f"{reader.line_num} join {whole:,} lines that are rows by themselves; enclose values in quotes and "
                    "double the marks in them, or write .parquet"
                )
            joined.clear()


def _codes(column: Any, known: Field) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The codes of a categorical column, and where it has none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = Column.of(column)
    texts = pa.concat_arrays([held.texts, pa.array([MISSING], held.texts.type)])  # the last for what has no value
    vocabulary = known.words.strings.cast(texts.type)
    places = pc.index_in(texts, value_set=vocabulary)
    without_fraction = pc.index_in(pc.replace_substring_regex(texts, r"\.0$", ""), value_set=vocabulary)
    found = pc.fill_null(pc.add(pc.coalesce(places, without_fraction), 1), UNSEEN).to_numpy()
    codes = found.astype(np.int32)[held.codes]
    return codes, codes == UNSEEN


def _numbers(rows: Rows, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column as numbers, NaN where it has none that is finite, and where that is."""
    numbers = rows.numbers(name)
    bad = ~np.isfinite(numbers)
    return np.where(bad, np.nan, numbers), bad


def _is_missing(column: Any) -> NDArray[np.bool_]:
    """Where a column has no value, or an empty one, or one that is not a number by its own account."""
    import pyarrow as pa
    import pyarrow.compute as pc

    named = pc.is_in(column.cast(pa.string()), value_set=pa.array(["", "nan", "NaN"]))
    found: NDArray[np.bool_] = pc.or_(column.is_null(), named).to_numpy()
    return found


def _blame(misfits: Misfits, name: str, bad: NDArray[np.bool_], raw: Any) -> None:
    if bad.any():
        value = raw[name][int(bad.argmax())].as_py()
        misfits.by_field[name] = int(bad.sum()), MISSING if value in (None, "") else str(value)
        misfits.rows[bad] = True
