"""Thousands of random files: what a writer wrote is read, or refused in one line; no row comes or goes without a word.

`make test-slow` draws twenty times as many as the ordinary tests.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ctrbench import Context, UserError
from ctrbench_datasets._reading import Log, read_log
from ctrbench_datasets._text import Dialect
from ctrbench_datasets.csv_log import CsvLog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MANY = 20


def cases(number: int) -> Callable[[Any], Any]:
    """So many examples, the same ones every time."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    return settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


def refused(error: BaseException) -> None:
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert "Traceback" not in text


WORDS = [
    "a",
    "b1",
    "007",
    "7",
    "7.0",
    "-0",
    "NA",
    "nan",
    "",
    "",
    "é",
    "日本",
    "x y",
    " pad ",
    "(missing)",
    "\\N",
    "a'b",
    "1e400",
]
NASTY = [
    'say "hi"',
    '"',
    '""',
    '"open',
    'end"',
    "two\nlines",
    "a,b",
    "a;b",
    "a|b",
    "tab\there",
    "cr\rlf\n",
    "\\",
    'back\\"slash',
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "utf-7"]
ROWS = st.sampled_from([40, 60, 40, 60, 40, 1, 3])
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
DELIMITERS = [",", "\t", ";", "|", "::", "\x01", " ", "~"]
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log.csv", data)
    return sink.getvalue()


PACKINGS[".zip"] = zipped


@st.composite
def tables(draw: st.DrawFn, nasty: bool = True) -> list[list[str]]:
    """A header and rows of texts."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    width = draw(st.integers(2, 5))
    words = WORDS + (NASTY if nasty and draw(st.booleans()) else [])
    unwritable = "\r\x1e\x1f"  # some versions of Python's writer leave a lone \r unquoted
    extra = draw(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=unwritable), max_size=5), max_size=3))
    words += extra if nasty else [word for word in extra if not re.search(r"[\s\"',;|~:\x01]", word)]
    rows = [[str(n % 2), *(rng.choice(words) for _ in range(width - 1))] for n in range(draw(ROWS))]
    return [["click", *(f"c{n}" for n in range(1, width))], *rows]


def quoted(table: list[list[str]], delimiter: str, end: str, quoting: int) -> str:
    """The table as Python's own writer would write it; a long delimiter takes the place of one that no value holds."""
    stand_in = delimiter if len(delimiter) == 1 else "\x1e"
    sink = io.StringIO()
    csv.writer(sink, delimiter=stand_in, lineterminator=end, quoting=quoting).writerows(table)  # type: ignore[arg-type]
    return sink.getvalue() if stand_in == delimiter else sink.getvalue().replace(stand_in, delimiter)


def values(log: Log) -> list[list[str | None]]:
    return [["" if value is None else value for value in row.values()] for row in log.table.to_pylist()]


def holds(table: list[list[str]], text: str) -> bool:
    return any(text in value for row in table for value in row)


def take_written(folder: Path, data: st.DataObject) -> None:
    """A file as a good writer writes it, its dialect told: every value comes back as it was."""
    table = data.draw(tables())
    delimiter, encoding = data.draw(st.sampled_from(DELIMITERS)), data.draw(st.sampled_from(ENCODINGS))
    end, packing = data.draw(st.sampled_from(["\n", "\r\n"])), data.draw(st.sampled_from(list(PACKINGS)))
    if len(delimiter) > 1 and holds(table, ":"):
        return
    if any(row[1:] == [""] * (len(row) - 1) and row[0] == "" for row in table):
        return
    try:
        written = quoted(table, delimiter, end, data.draw(QUOTING)).encode(encoding)
    except UnicodeEncodeError:
        return
    path = folder / f"log.csv{packing}"
    path.write_bytes(PACKINGS[packing](written))
    log = read_log(path, Dialect(delimiter=delimiter, encoding=encoding.removesuffix("-sig"), quote='"'))
    assert values(log) == table[1:]


def take_unquoted(folder: Path, data: st.DataObject) -> None:
    """A file of a writer that never quotes, its delimiter told: no row comes or goes without a word."""
    table = data.draw(tables(nasty=False))
    delimiter = data.draw(st.sampled_from(DELIMITERS[:4]))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    marks = ['"x', 'y"', '"', '5"', '"q" z', '"whole"'] if data.draw(st.booleans()) else ["x"]
    short = data.draw(st.sampled_from([0.0, 0.0, 0.02]))
    lines, expected = [], []
    for row in table[1:]:
        row = [row[0], *(rng.choice(marks) if rng.random() < 0.2 else value for value in row[1:])]
        if rng.random() < short:
            row = row[:-1]
        expected.append(row)
        lines.append(delimiter.join(row))
    path = folder / "log.csv"
    path.write_text("\n".join([delimiter.join(table[0]), *lines]), newline="")
    try:
        log = read_log(path, Dialect(delimiter=delimiter))
    except UserError as error:
        refused(error)
        return
    named = sum(int(found) for note in log.notes for found in re.findall(r"^(\d+) of \d+ rows", note))
    joined = any("reach over several lines" in note for note in log.notes)
    lines_ = sum(1 for line in lines if line)
    assert joined or len(log) + named == lines_, (log.notes, lines)
    assert named == len(log.files[0][2])
    if any("are text" in note for note in log.notes):
        assert values(log) == expected


SAID: dict[str, st.SearchStrategy[Any]] = {
    "label": st.sampled_from(["c1 == a", "c1 != a", "c1 >= 2", "0", "c1"]),
    "user": st.sampled_from(["c1", "c9"]),
    "numeric": st.sampled_from(["c2", "c1", ("c1", "c2")]),
    "time": st.sampled_from(["c1", "c2"]),
    "derive": st.sampled_from(["hour", "days"]),
    "split": st.sampled_from(["", "user", "days", "time"]),
    "missing": st.sampled_from([("NA", "nan"), "\\N"]),
    "columns": st.just(("click", "c1", "c2")),
    "min_count": st.sampled_from([2, 50, ("c1:2",)]),
    "top": st.sampled_from([1, 3, "c1:2"]),
    "bins": st.sampled_from(["criteo", "quantiles:3", "c1:quantiles:2"]),
    "hash": st.sampled_from([2, 1000]),
    "sequence": st.sampled_from(["c1", "c3"]),
    "keep": st.sampled_from(["c1", ("c1", "c2")]),
    "encoding": st.sampled_from(["cp1252", "utf-16", "ascii"]),
    "quote": st.sampled_from(["none", '"', "'"]),
    "decimal": st.sampled_from([",", "."]),
    "ratios": st.just((0.5, 0.25, 0.25)),
}
"""What may be said about a log."""


def take_found_out(folder: Path, data: st.DataObject) -> None:
    """A file of which nothing is told, now and then damaged: all rows that were read are in the splits, or one line."""
    table = data.draw(tables(nasty=data.draw(st.booleans())))
    delimiter, end = data.draw(st.sampled_from(DELIMITERS)), data.draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    encoding, packing = data.draw(st.sampled_from(ENCODINGS)), data.draw(st.sampled_from(list(PACKINGS)))
    if data.draw(st.integers(0, 9)) == 9:
        table = table[1:]
    if len(delimiter) > 1 and holds(table, ":"):
        delimiter = ","
    text = quoted(table, delimiter, end, data.draw(QUOTING))
    packed = bytearray(PACKINGS[packing](text.encode(encoding, "replace")))
    if data.draw(st.integers(0, 5)) == 5 and packed:
        at = data.draw(st.integers(0, len(packed)))
        if data.draw(st.booleans()):
            del packed[at:]
        else:
            packed[at : at + 4] = data.draw(st.binary(max_size=6))
    suffix = data.draw(st.sampled_from([".csv"] * 8 + [".tsv", ".TXT", ".dat", "", ".jsonl", ".parquet", ".feather"]))
    path = folder / f"log{suffix}{packing}"
    path.write_bytes(packed)
    marked = encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") or data.draw(st.integers(0, 3)) == 3
    chosen = data.draw(st.lists(st.sampled_from(list(SAID)), max_size=3, unique=True))
    said = {name: data.draw(SAID[name]) for name in chosen}
    parameters = {"label": "click", **({} if marked else {"encoding": encoding}), **said}
    try:
        log = CsvLog(path=str(path), **parameters)
        splits = log.load(seed=1, context=Context())
    except UserError as error:
        refused(error)
        return
    rows = sum(len(part) for part in (splits.train, splits.valid, splits.test))
    read = read_log(path, log._dialect())
    assert rows == len(read)
    for note in splits.notes:
        assert "\n" not in note
    for field in splits.train.schema.fields:
        for part in (splits.train, splits.valid, splits.test):
            column = part.rows[field.name].to_numpy()
            assert np.isfinite(column).all() if field.vocabulary is None else column.max(initial=0) < field.vocab_size


KINDS = [
    *(pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.decimal128(10, 2), pa.bool_()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string()), pa.null()),
    *(pa.date32(), pa.date64(), pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.time64("us"), pa.duration("s")),
    *(pa.list_(pa.int64()), pa.struct([("a", pa.int64())])),
]


def take_parquet(folder: Path, data: st.DataObject) -> None:
    """Three Parquet files whose columns are of any type: encoded alike, or refused in one line."""
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    chosen = {name: rng.choice(KINDS) for name in ("u", "x", "t")}
    texts = ["1", "2", "a", "1.0", "2024-01-01", ""]
    for split in ("train", "valid", "test"):
        columns: dict[str, Any] = {"click": pa.array([n % 2 for n in range(20)])}
        for name, kind in chosen.items():
            kind = rng.choice(KINDS) if rng.random() < 0.2 else kind
            columns[name] = _random_array(kind, rng, texts)
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    said = {"user": "u", "numeric": "x", "time": "t", "drop": "x", "sequence": "u", "keep": "t"}
    names = data.draw(st.lists(st.sampled_from(list(said)), max_size=2, unique=True))
    path = folder / "train.parquet" if data.draw(st.booleans()) else folder
    try:
        log = CsvLog(path=str(path), label="click", **{name: said[name] for name in names})  # type: ignore[arg-type]
        log.load(seed=1, context=Context())
    except UserError as error:
        refused(error)


def _random_array(kind: Any, rng: random.Random, texts: list[str]) -> Any:
    numbers = [rng.choice([None, 0, 1, 2, 3, rng.randint(0, 100)]) for _ in range(20)]
    if pa.types.is_null(kind):
        return pa.nulls(20)
    if pa.types.is_list(kind):
        return pa.array([None if n is None else [n] for n in numbers], kind)
    if pa.types.is_struct(kind):
        return pa.array([{"a": n} for n in numbers], kind)
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = pa.array([None if n is None else texts[n % len(texts)] for n in numbers], pa.string())
        return found.dictionary_encode() if pa.types.is_dictionary(kind) else found.cast(kind)
    if pa.types.is_binary(kind):
        return pa.array([None if n is None else bytes([n, rng.choice([65, 200])]) for n in numbers], kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if n is None else n % 2 == 0 for n in numbers], kind)
    if pa.types.is_date64(kind):
        return pa.array(numbers, pa.int32()).cast(pa.date32()).cast(kind)
    if pa.types.is_floating(kind):
        odd = [float("nan"), float("inf"), -0.0, 1e4]
        return pa.array(
            [np.float16(rng.choice(odd) if n == 3 else n) if n is not None else None for n in numbers]
        ).cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array(numbers, pa.int64()).cast(pa.decimal128(19, 0)).cast(kind)
    wide = {8: pa.int8(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
    return pa.array(numbers, wide).cast(kind)


Take = Callable[[Path, st.DataObject], None]
TAKES = [take_written, take_unquoted, take_found_out, take_parquet]
NUMBERS = {"take_written": 150, "take_unquoted": 150, "take_found_out": 300, "take_parquet": 100}


@pytest.mark.parametrize("take", TAKES, ids=lambda take: take.__name__)
def test_what_is_written_is_read_or_refused_in_one_line(
    tmp_path: Path, take: Callable[[Path, st.DataObject], None]
) -> None:
    @cases(NUMBERS[take.__name__])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        take(tmp_path, data)

    run()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("take", TAKES, ids=lambda take: take.__name__)
def test_many_files_are_read_or_refused_in_one_line(
    tmp_path: Path, take: Callable[[Path, st.DataObject], None]
) -> None:
    @cases(NUMBERS[take.__name__] * MANY)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        take(tmp_path, data)

    run()
