"""Files of any kind as one log: formats, packings, dialects, folders; and files that are damaged or something else."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ctrbench import Column, Context, Missing, UserError
from ctrbench_datasets import _quotes, _reading, _text
from ctrbench_datasets._reading import WIDE, Log, read_log
from ctrbench_datasets._sources import find_sources
from ctrbench_datasets._text import Dialect
from ctrbench_datasets.csv_log import CsvLog
from pyarrow import feather

PLAIN = Dialect()


def log_of(folder: Path, data: bytes | str, name: str = "log.csv", dialect: Dialect = PLAIN) -> Log:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_log(path, dialect)


def rows(log: Log) -> list[list[str | None]]:
    return [list(row.values()) for row in log.table.to_pylist()]


def refused(folder: Path, data: bytes | str, name: str = "log.csv", dialect: Dialect = PLAIN) -> str:
    with pytest.raises(UserError) as caught:
        log_of(folder, data, name, dialect)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXT = "click,uid,ad\n0,007,a\n1,07,b\n0,7,é\n"
EXPECTED = [["0", "007", "a"], ["1", "07", "b"], ["0", "7", "é"]]


def zipped(data: bytes, *others: str) -> bytes:
    import io

    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for other in others:
            archive.writestr(other, b"x")
        archive.writestr("folder/log.csv", data)
    return sink.getvalue()


PACKED = {
    "log.csv.gz": gzip.compress(TEXT.encode()),
    "LOG.CSV.BZ2": bz2.compress(TEXT.encode()),
    "log.txt.xz": lzma.compress(TEXT.encode()),
    "log.zip": zipped(TEXT.encode(), "__MACOSX/._log.csv", "folder/"),
    "log.csv.zst": pa.compress(TEXT.encode(), "zstd", asbytes=True),
    "log.csv": gzip.compress(TEXT.encode()),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_file_is_read_whatever_its_suffix(tmp_path, name):
    assert rows(log_of(tmp_path, PACKED[name], name)) == EXPECTED


@pytest.mark.parametrize("name", [name for name in PACKED if name != "log.csv"])
@pytest.mark.parametrize("harm", ["cut", "changed", "another"])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, name, harm):
    many = TEXT.encode() + b"".join(b"%d,%d,ad%d\n" % (n % 2, n * 7919 % 9973, n) for n in range(20_000))
    packings = {"gz": gzip.compress, "BZ2": bz2.compress, "xz": lzma.compress, "zip": zipped}
    pack = packings.get(name.rsplit(".", 1)[1], lambda data: pa.compress(data, "zstd", asbytes=True))
    data = bytearray(pack(many))
    middle = len(data) // 2
    if harm == "cut":
        del data[middle:]
    elif harm == "changed":
        data[middle : middle + 200] = bytes(200)
    else:
        data[:] = b"<!DOCTYPE html><html>not found</html>"
    assert name in refused(tmp_path, bytes(data), name)


def test_a_page_or_another_format_under_a_logs_name_is_named(tmp_path):
    assert "a page of HTML" in refused(tmp_path, "\n<html><body>sign in</body></html>")
    assert "not a parquet file, though its name says so" in refused(tmp_path, TEXT, "log.parquet")
    assert "the archive holds 2 files (a.csv, folder/log.csv)" in refused(tmp_path, zipped(b"x", "a.csv"), "log.zip")
    assert "the file is empty" in refused(tmp_path, "\n\n \n")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("click;price;ad\n0;1,5;a,b\n1;2,25;c\n", ";"),
        ("click\tprice\tad\n0\t1,5\ta,b\n1\t2,25\tc\n", "\t"),
        ("click|price|ad\n0|1,5|a,b\n1|2,25|c\n", "|"),
        ("click::price::ad\n0::1,5::a,b\n1::2,25::c\n", "::"),
        ("click\x01price\x01ad\n0\x011,5\x01a,b\n1\x012,25\x01c\n", "\x01"),
        ("click price ad\n0 1,5 a,b\n1 2,25 c\n", " "),
    ],
)
def test_the_delimiter_is_found_out(tmp_path, text, delimiter):
    expected = [["0", "1,5", "a,b"], ["1", "2,25", "c"]]
    assert rows(log_of(tmp_path, text)) == expected
    assert rows(log_of(tmp_path, text, "x.dat", Dialect(delimiter=delimiter))) == expected


@pytest.mark.parametrize("delimiter", ["::", "||", "§", "~:~"])
def test_a_long_delimiter_stays_in_quoted_values_names_and_notes(tmp_path, monkeypatch, delimiter):
    d = delimiter
    text = (
        f'click{d}"a{d}b"{d}c\n0{d}"x{d}y"{d}\n1{d}"{d}"{d}z\n' + f'0{d}u{d}"{d}{d}"\n' * 50 + f'0{d}"q{d}r"\n1{d}u{d}'
    )
    said = Dialect(delimiter=delimiter, missing=(f"{d}{d}",))
    for spilled_from in (_text.SPILLED_FROM, 0):
        monkeypatch.setattr(_text, "SPILLED_FROM", spilled_from)
        log = log_of(tmp_path, text, dialect=said)
        assert log.names == ("click", f"a{d}b", "c")
        assert rows(log)[:3] == [["0", f"x{d}y", None], ["1", d, "z"], ["0", "u", None]]
        assert rows(log)[-1] == ["1", "u", None]
        assert f"row 53 has 2 instead of 3 values ('0{d}\"q{d}r\"')" in log.notes[0]


@pytest.mark.parametrize("delimiter", ["::", "<|>"])
def test_a_long_delimiter_may_stand_where_a_block_ends(tmp_path, delimiter):
    count = 150_000  # some of the blocks of 1 MiB end behind a delimiter, others within one
    text = "".join(delimiter.join((str(n % 2), str(n % 7), "x" * (n % 9))) + "\n" for n in range(count))
    log = log_of(tmp_path, delimiter.join(("click", "u", "ad")) + "\n" + text, "x.dat", Dialect(delimiter=delimiter))
    assert len(log) == count
    assert log.table["ad"].to_pylist() == ["x" * (n % 9) or None for n in range(count)]
    assert "holds the control character 0x1f" in refused(tmp_path, "a::b\n\x1f::1\n")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("line", "delimiter"), [("sep=;", ";"), ('"sep=~"', "~"), ("SEP=\t", "\t"), ("sep=,", ";")])
def test_a_first_line_for_excel_names_the_delimiter_and_is_no_header(tmp_path, line, delimiter, encoding):
    text = f"{line}\r\n" + TEXT.replace(",", delimiter).replace("\n", "\r\n")
    dialect = Dialect(delimiter=delimiter) if line == "sep=," else PLAIN
    log = log_of(tmp_path, text.encode(encoding), dialect=dialect)
    assert (log.names, rows(log)) == (("click", "uid", "ad"), EXPECTED)
    assert "line 6: the quotation mark before 'b'" in refused(tmp_path, f'{text}1{delimiter}"b', dialect=dialect)


def test_commas_in_quotes_do_not_hide_the_delimiter(tmp_path):
    text = 'click,title,ad\n0,"a; b; c",x\n1,"d, e; f",y\n'
    assert rows(log_of(tmp_path, text)) == [["0", "a; b; c", "x"], ["1", "d, e; f", "y"]]


@pytest.mark.parametrize("sign", [",", ";", "|"])
@pytest.mark.parametrize("titles", [("a{}b", "c{}d"), ("a{} b", "c"), ("a{}b", "c")])
def test_a_blank_after_each_delimiter_belongs_to_it_where_quotes_follow(tmp_path, sign, titles):
    first, second = (title.format(sign) for title in titles)
    text = f'click, title, ad\n0, "{first}", "x"\n1, "{second}", "y"\n'.replace(", ", f"{sign} ")
    for name in ("log.csv", "log.txt"):
        log = log_of(tmp_path, text, name)
        assert (log.names, rows(log)) == (("click", "title", "ad"), [["0", first, "x"], ["1", second, "y"]])


def test_a_blank_between_values_that_end_with_commas_stays_the_delimiter(tmp_path):
    assert log_of(tmp_path, "a, b c\n1,5, 2 3\n4, 5 6\n", "log.txt").names == ("a,", "b", "c")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_any_encoding_and_end_of_lines_gives_the_same_rows(tmp_path, encoding, end):
    marked = encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    data = TEXT.replace("\n", end).encode(encoding)
    assert rows(log_of(tmp_path, data, "log.csv", PLAIN if marked else Dialect(encoding=encoding))) == EXPECTED


def test_text_in_an_unknown_encoding_names_the_line_and_the_fix(tmp_path):
    message = refused(tmp_path, b"click,ad\n0,a\n1,\xe9\n")
    assert "line 3 is not UTF-8 (byte 0xe9)" in message
    assert "encoding=cp1252" in message
    with pytest.raises(UserError, match="encoding=utf-9 is not known"):
        Dialect(encoding="utf-9")


# Quotes


def test_quotes_enclose_delimiters_quotes_and_line_ends(tmp_path):
    log = log_of(tmp_path, 'click,"a d"\n0,"x,y"\n1,"say ""hi"""\n0,"two\nlines"\n1,5" pipe\n')
    assert log.names == ("click", "a d")
    assert [row[1] for row in rows(log)] == ["x,y", 'say "hi"', "two\nlines", '5" pipe']
    assert log.notes == ("1 value in quotes reach over several lines",)


@pytest.mark.parametrize(
    "queries",
    [
        ['"best buy', "tv", 'phone"', "x"],  # swallows two whole rows, and closes well
        ['"5 inch', "tv", '"7 inch', "x"],  # closes in the middle of a value
        ['"best buy" store', "tv", "phone", "x"],  # on one line, and would lose its marks
        ['"open', "tv", "phone", "x"],  # never closes
        ['"""', "tv", "phone", "x"],
    ],
)
def test_stray_quotes_are_text_and_swallow_no_row(tmp_path, queries):
    text = "click\tquery\tos\n" + "".join(f"{n % 2}\t{query}\tios\n" for n, query in enumerate(queries))
    log = log_of(tmp_path, text, "log.tsv")
    assert [row[1] for row in rows(log)] == queries
    assert "quotation marks are text: from line 2 on" in log.notes[0]
    assert [row[1] for row in rows(log_of(tmp_path, text, "log.tsv", Dialect(quote="none")))] == queries


def test_quotes_that_are_neither_the_writers_nor_text_are_refused_with_the_line(tmp_path):
    good = '0,"a,b",x\n' * 5
    assert "line 7: the quotation mark before 'c,d\" e,y' does not enclose" in refused(
        tmp_path, "click,ad,os\n" + good + '1,"c,d" e,y\n'
    )
    assert "is never closed" in refused(tmp_path, "click,ad,os\n" + good + '1,"c,d,y\n')
    joined = good + '1,"c,y\n' + "0,d,z\n" * 4 + '1,e",y\n'
    assert "quotation marks join 4 lines that are rows by themselves" in refused(tmp_path, "click,ad,os\n" + joined)
    trusted = log_of(tmp_path, "click,ad,os\n" + joined, dialect=Dialect(quote='"'))
    assert len(trusted) == 6
    assert "1 value in quotes reach over several lines, and join 4 that are rows by themselves" in trusted.notes[0]


@pytest.mark.parametrize(("first", "last"), [('1,"c,x', '1,e",y'), ('1,"c,x', '1,"e",y'), ('1,x,"c', "1,e,y")])
def test_rows_that_a_quote_given_joins_are_told_however_the_value_ends(tmp_path, first, last):
    lines = ["click,ad,os", *['0,"a,b",x'] * 5, first, *["0,d,z"] * 4, last]
    log = log_of(tmp_path, "\n".join(lines) + "\n", dialect=Dialect(quote='"'))
    assert len(log) == 6
    assert "1 value in quotes reach over several lines, and join" in log.notes[0]


def test_backslashes_before_quotes_are_understood_and_others_are_text(tmp_path):
    log = log_of(tmp_path, 'click,ad\n0,"say \\"hi\\", you"\n1,b\n')
    assert rows(log) == [["0", 'say "hi", you'], ["1", "b"]]
    assert 'is written \\"' in log.notes[0]
    assert rows(log_of(tmp_path, "click,path\n0,C:\\new\\t\n1,b\n"))[0] == ["0", "C:\\new\\t"]


WITH_BACKSLASHES = [
    (r"DOM\ann", r"DOM\ann"),
    ("DOMann", "DOMann"),
    (r"\N", r"\N"),
    (r'"C:\new"', r"C:\new"),
    (r'"\\host\\x\\"', r"\\host\\x\\"),
    (r'"\"hi\", you"', '"hi", you'),
    (r'"say ""hi"" \\\""', r'say "hi" \\"'),
    ('"two\nlines\\"\n"', 'two\nlines"\n'),
    (r"5\" pipe", r"5\" pipe"),
]
"""How values are written beside others in which a quotation mark has a backslash before it, and what they are."""


@pytest.mark.parametrize("block", [1, 1 << 24])
@pytest.mark.parametrize("delimiter", [",", "::"])
def test_a_backslash_stays_where_no_quotation_mark_in_quotes_follows(tmp_path, monkeypatch, block, delimiter):
    monkeypatch.setattr(_quotes, "BLOCK", block)
    written, meant = zip(*WITH_BACKSLASHES * 3, strict=True)
    lines = [delimiter.join((str(n % 2), value, "x")) for n, value in enumerate(written)]
    log = log_of(tmp_path, "\n".join([delimiter.join(("click", r'"u\i\"d"', r"o\s")), *lines]))
    assert log.names == ("click", r'u\i"d', r"o\s")
    assert [row[1] for row in rows(log)] == list(meant)
    assert 'is written \\"' in log.notes[0]


def test_another_quote_may_be_named(tmp_path):
    assert rows(log_of(tmp_path, "click,ad\n0,'a,b'\n", dialect=Dialect(quote="'"))) == [["0", "a,b"]]
    with pytest.raises(UserError, match="quote=xy must be one character, or none"):
        Dialect(quote="xy")


# Rows and headers


def test_rows_that_do_not_fit_are_left_out_and_named_and_the_others_keep_their_numbers(tmp_path):
    lines = [f"{n % 2},u{n},a" for n in range(100)]
    lines[9], lines[49] = "1,u9", "1,u49,a,b"
    log = log_of(tmp_path, "click,uid,ad\n" + "\n".join(lines) + "\n1,u1")
    assert len(log) + 3 == 101
    assert log.notes == (
        "3 of 101 rows of log.csv do not fit the header and are left out: row 10 has 2 instead of 3 values ('1,u9'); "
        "row 50 has 4 instead of 3 values ('1,u49,a,b'); row 101 has 2 instead of 3 values ('1,u1')",
    )
    assert [log.where(position) for position in (0, 8, 9, 47, 48)] == ["row 1", "row 9", "row 11", "row 49", "row 51"]
    assert log.table["uid"][48].as_py() == "u50"


def test_too_many_rows_that_do_not_fit_are_an_error(tmp_path):
    message = refused(tmp_path, "click,uid,ad\n" + "0,u,a\n1,u\n" * 5)
    assert "5 of 10 rows do not fit the header: row 2 has 2 instead of 3 values ('1,u')" in message
    assert "more values than its header has names" in refused(tmp_path, "click,uid\n0,u,a\n1,u,b\n")


@pytest.mark.parametrize(
    "text",
    [
        "0\t1\t\t5\t68fd1e64\t\n1\t3\t2\t\t68fd1e64\t80e26c9b\n",
        "196,242,3,881250949\n186,302,3,891717742\n",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,0\n",
        "1|24|M|technician\n2|53|F|other\n",
        "1\t\\N\t5\n0\t3\t7\n",
        "1,-,a\n0,3,b\n",
        "NA,1,NA\n0,3,n/a\n",
    ],
)
def test_a_file_without_a_header_asks_for_names(tmp_path, text):
    message = refused(tmp_path, text)
    assert "the first row looks like data" in message
    assert "columns=(label, user, …)" in message
    width = len(text.splitlines()[0].replace("|", ",").replace("\t", ",").split(","))
    log = log_of(tmp_path, text, dialect=Dialect(columns=tuple("abcdef"[:width])))
    assert (len(log), log.names) == (2, tuple("abcdef"[:width]))


def test_names_may_be_given_for_a_header_that_is_there(tmp_path):
    assert rows(log_of(tmp_path, TEXT, dialect=Dialect(columns=("click", "uid", "ad")))) == EXPECTED
    assert "columns has 2 names, but the first row has 3 values, separated by a comma; name each" in refused(
        tmp_path, TEXT, dialect=Dialect(columns=("a", "b"))
    )


@pytest.mark.parametrize("row", ["NA,007,-", "0,\\N,1.5", "?,null,none"])
def test_missing_values_do_not_tell_a_header_from_data(tmp_path, row):
    log = log_of(tmp_path, f"click,uid,price\n{row}\n1,008,2\n")
    assert (len(log), log.names) == (2, ("click", "uid", "price"))
    assert "the first row looks like data" in refused(
        tmp_path, "1,unknown\n0,3\n", dialect=Dialect(missing=("unknown",))
    )


@pytest.mark.parametrize("header", ["click,101,121", "0,1,2", "1,2,3", "click,,"])
def test_numbers_and_nothing_may_head_a_column(tmp_path, header):
    assert len(log_of(tmp_path, f"{header}\n0,1,1\n1,1,2\n")) == 2


def test_columns_without_a_name_can_be_told_apart(tmp_path):
    assert log_of(tmp_path, ",click,\n007,0,a\n").names == ("Unnamed: 0", "click", "Unnamed: 2")
    assert log_of(tmp_path, ",Unnamed: 0,click\n0,0000,1\n").names == ("(column 1)", "Unnamed: 0", "click")


def test_only_an_empty_value_is_missing_unless_others_are_named(tmp_path):
    text = 'click,a,b\n0,NA,""\n1,,-\n'
    assert rows(log_of(tmp_path, text)) == [["0", "NA", None], ["1", None, "-"]]
    assert rows(log_of(tmp_path, text, dialect=Dialect(missing=("NA", "-")))) == [["0", None, None], ["1", None, None]]


# Other formats


def test_parquet_feather_and_json_lines_hold_the_same_log(tmp_path):
    frame = pd.DataFrame({"click": [0, 1], "uid": ["007", None], "size": [1.5, 2.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_feather(tmp_path / "a.feather")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.parquet", "a.feather", "a.jsonl", "b.jsonl.gz"):
        assert rows(read_log(tmp_path / name)) == [[0, "007", 1.5], [1, None, 2.0]], name
    lines = [json.dumps({"click": n, "when": "2024-01-01 00:00:00", "x": {"y": 1}}) for n in range(2)]
    assert rows(log_of(tmp_path, "\n".join(lines), "c.jsonl"))[0] == [0, "2024-01-01 00:00:00", {"y": 1}]
    assert "not a readable log" in refused(tmp_path, '{"click": 1}\n{"click": [', "d.jsonl")
    assert "cannot be read" in refused(tmp_path, b"PAR1" + bytes(100) + b"PAR1", "e.parquet")


def test_the_index_of_pandas_is_a_column_where_it_has_a_name_of_its_own(tmp_path):
    frame = pd.DataFrame({"click": [0, 1], "uid": ["a", "b"]})
    frame.set_index("uid").to_parquet(tmp_path / "named.parquet")
    frame.set_index("uid", drop=False).to_parquet(tmp_path / "twice.parquet")
    frame.iloc[[1, 0]].to_parquet(tmp_path / "unnamed.parquet")
    frame.rename(columns={"click": 0, "uid": 1}).to_parquet(tmp_path / "numbers.parquet")
    assert read_log(tmp_path / "named.parquet").names == ("uid", "click")
    assert read_log(tmp_path / "twice.parquet").names == ("click", "uid")
    assert read_log(tmp_path / "unnamed.parquet").names == ("click", "uid")
    assert read_log(tmp_path / "numbers.parquet").names == ("0", "1")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("index", [["u1", "u2", "u1"], pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-01"])])
def test_an_index_of_pandas_without_a_name_is_called_as_in_a_text_file(tmp_path, suffix, index):
    frame = pd.DataFrame({"click": [0, 1, 0]}, index=index)
    getattr(frame, f"to_{suffix}")(tmp_path / f"log.{suffix}")
    log = read_log(tmp_path / f"log.{suffix}")
    assert log.names == ("Unnamed: 0", "click")
    assert Column.of(log.columns["Unnamed: 0"]).values.tolist() == [str(each)[:10] for each in index[:2]]
    assert not log.notes


@pytest.mark.parametrize(("index", "noted"), [([0, 1, 2], False), ([2, 0, 7], False), ([5, 7, 5], True)])
def test_row_numbers_of_pandas_are_left_out_and_other_numbers_with_a_note(tmp_path, index, noted):
    pd.DataFrame({"click": [0, 1, 0]}, index=index).to_parquet(tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet")
    assert log.names == ("click",)
    assert log.notes == (
        ("log.parquet: its index of pandas has no name, and is left out; name it to keep it: df.index.name = ...",)
        if noted
        else ()
    )


@pytest.mark.parametrize(
    ("times", "unit"),
    [(["9999-12-31", "0001-01-01", "2026-01-01T00:00:00.123456"], "us"), (["2026-01-01T00:00:00.123456789"], "ns")],
)
def test_times_of_spark_are_what_they_were(tmp_path, times, unit):
    written = pa.array([*np.array(times, f"M8[{unit}]"), None], pa.timestamp(unit))
    pq.write_table(pa.table({"t": written}), tmp_path / "log.parquet", use_deprecated_int96_timestamps=True)
    log = read_log(tmp_path / "log.parquet")
    assert log.columns["t"].combine_chunks().equals(written)
    assert log.columns.schema.field("t").type == written.type


def test_times_of_spark_that_no_unit_holds_are_refused(tmp_path):
    file = tmp_path / "log.parquet"
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    times = pa.array(np.array(["2026-01-01", "2026-01-02T00:00:00.000000001"], "M8[ns]"))
    pq.write_table(pa.table({"t": times}), file, use_deprecated_int96_timestamps=True, **plain)
    days = [
        struct.pack("<qI", 0, 2_440_588 + int(np.datetime64(day, "D").astype(int)))
        for day in ("2026-01-01", "9999-12-31")
    ]
    file.write_bytes(file.read_bytes().replace(*days))
    with pytest.raises(UserError, match=r"log.parquet: column 't' has times beyond 2262 as well as nanoseconds; write"):
        read_log(file)


def test_columns_of_the_same_name_are_refused(tmp_path):
    table = pa.table([pa.array([0, 1])] * 2, names=["ts", "ts"])
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(UserError, match=r"log.parquet: two columns are called 'ts'; rename one"):
        read_log(tmp_path / "log.parquet")


def test_a_column_of_parquet_is_read_when_it_is_asked_for_and_again_when_asked_again(tmp_path):
    file = tmp_path / "log.parquet"
    nested = pa.array([{"b": 1}, {"b": 2}])
    pq.write_table(pa.table({"click": [0, 1], "a.b": ["x", "y"], "a": nested, "tags": [["t"], []]}), file)
    log = read_log(file)
    assert log.columns["a.b"].to_pylist() == ["x", "y"]
    assert log.columns["a"].to_pylist() == nested.to_pylist()
    assert log.columns["tags"].to_pylist() == [["t"], []]
    assert log.with_column("click", [5, 6]).columns["click"].to_pylist() == [5, 6]
    assert log.with_column("new", [7, 8]).table.column_names == ["click", "a.b", "a", "tags", "new"]
    assert log.columns["click"] is not log.columns["click"]


def test_a_number_is_one_value_in_all_files_of_a_log(tmp_path):
    (tmp_path / "1.csv").write_text("click,ad\n0,1\n1,2\n")
    (tmp_path / "2.csv").write_text("click,ad\n0,2.0\n1,\n")
    log = read_log([tmp_path / "1.csv", tmp_path / "2.csv"])
    assert log.columns["ad"].to_pylist() == ["1", "2", "2", None]


def test_a_parquet_file_is_not_held_open(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"click": [0, 1], "ad": ["a", "b"]}), file)
    log = read_log(file)  # a log may have more parts than a process may have files
    assert log.names == ("click", "ad")
    assert str(file) not in {each.path for each in psutil.Process().open_files()}
    assert log.columns["ad"].to_pylist() == ["a", "b"]


def test_a_wide_parquet_file_is_opened_once_and_not_for_each_column(tmp_path, monkeypatch):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({f"c{n}": [n, -n] for n in range(WIDE)}), file)
    log = read_log(file)
    opened = []
    with monkeypatch.context() as patched:
        real = pq.ParquetFile
        patched.setattr(pq, "ParquetFile", lambda *args, **more: opened.append(args) or real(*args, **more))
        assert [log.columns[name].to_pylist() for name in log.names] == [[n, -n] for n in range(WIDE)]
    assert len(opened) == 1
    pq.write_table(pa.table({"c0": [1, 2, 3]}), file)
    with pytest.raises(UserError, match=r"log.parquet: was changed while it was read"):
        log.columns["c0"]


def test_a_parquet_file_that_is_written_anew_or_damaged_while_it_is_read_is_named(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"click": list(range(1000)), "ad": list(range(1000))}), file)
    log = read_log(file)
    pq.write_table(pa.table({"click": [2, 3], "ad": [4, 5]}), file)
    with pytest.raises(UserError, match=r"log.parquet: was changed while it was read"):
        log.columns["ad"]
    file.unlink()
    with pytest.raises(UserError, match=r"log.parquet: cannot be read \(No such file"):
        log.columns["ad"]
    pq.write_table(pa.table({"click": list(range(1000)), "ad": list(range(1000))}), file, compression="none")
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + b"\xff" * 3000 + whole[3004:])
    with pytest.raises(UserError, match=r"log.parquet: cannot be read"):
        read_log(file).columns["click"]


@pytest.mark.parametrize(
    "data", [TEXT, "click,ad\n1,a,c\n" + "1,b\n0,\n1,a\n" * 40 + "0\n1,c\n", 'click,ad\n1,"a\nb"\n0,c\n' * 40]
)
def test_a_large_text_file_is_parsed_into_a_scratch_file_and_is_the_same_log(tmp_path, monkeypatch, data):
    small = log_of(tmp_path, data)
    monkeypatch.setattr(_text, "SPILLED_FROM", 0)
    monkeypatch.setattr(_text, "BLOCK", 64)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "scratch").mkdir()
    large = log_of(tmp_path, data)
    assert rows(large) == rows(small)
    assert (large.names, large.files, large.notes) == (small.names, small.files, small.notes)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_disk_without_room_for_a_scratch_file_is_named(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(_text, "SPILLED_FROM", 0)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "log.csv").write_text("click,ad\n" + "".join(f"{n % 2},a{n}\n" for n in range(20_000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, usual[1]))
    try:
        with pytest.raises(
            UserError, match=r"log.csv: its columns find no room in .*; make room there, or name"
        ) as caught:
            read_log(tmp_path / "log.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "\n" not in str(caught.value)


# Several files


def test_files_are_one_log_in_the_order_given_and_rows_are_named_with_their_file(tmp_path):
    (tmp_path / "b.csv").write_text("uid,click\nu1,0\nu2,1\n")
    (tmp_path / "a.csv").write_text("click,uid,more\n1,u3,x\n")
    log = read_log([tmp_path / "b.csv", tmp_path / "a.csv"])
    assert rows(log) == [["u1", "0"], ["u2", "1"], ["u3", "1"]]
    assert log.where(2) == "row 1 of a.csv"
    assert "a.csv has columns that b.csv lacks, left out: more" in log.notes
    (tmp_path / "c.csv").write_text("click\n1\n")
    with pytest.raises(UserError, match=r"c.csv: the column 'uid' of b.csv is not there"):
        read_log([tmp_path / "b.csv", tmp_path / "c.csv"])


def test_files_that_disagree_about_a_type_meet_as_text(tmp_path):
    pq.write_table(
        pa.table({"size": pa.array([0.1, 1.0], pa.float32()), "id": [2**53 + 1, None]}), tmp_path / "a.parquet"
    )
    (tmp_path / "b.csv").write_text(f"size,id\n0.1,{2**53 + 1}\n1.0,007\n")
    log = read_log([tmp_path / "a.parquet", tmp_path / "b.csv"])
    assert rows(log) == [["0.1", str(2**53 + 1)], ["1", None], ["0.1", str(2**53 + 1)], ["1", "007"]]


def test_sources_are_a_file_a_pattern_several_or_a_folder(tmp_path):
    names = ("2.csv", "1.CSV.gz", "day=3/part.parquet", ".hidden.csv", "_SUCCESS", "notes.md")
    for name in ("log[1].csv", *(f"x/{name}" for name in names)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")

    def found(path, **more):
        sources = find_sources(path, **more)
        assert not isinstance(sources, Missing), sources
        return [str(file.relative_to(tmp_path)) for file in sources.all]

    assert found(str(tmp_path / "x")) == ["x/1.CSV.gz", "x/2.csv", "x/day=3/part.parquet"]
    assert found(str(tmp_path / "x/*.csv")) == ["x/2.csv"]
    assert found(str(tmp_path / "log[1].csv")) == ["log[1].csv"], "a name before a pattern"
    assert found((str(tmp_path / "x/2.csv"), str(tmp_path / "x/1.*"))) == ["x/2.csv", "x/1.CSV.gz"]
    assert found(str(tmp_path / "x/2.csv"), test=str(tmp_path / "x/1.CSV.gz")) == ["x/2.csv", "x/1.CSV.gz"]
    for bad in (str(tmp_path / "no.csv"), str(tmp_path / "*.parquet"), "~nobody-is-here/log.csv", "a\0b"):
        missing = find_sources(bad)
        assert isinstance(missing, Missing)
        assert "is not there or may not be read" in missing.reason
    assert "named twice" in getattr(find_sources((str(tmp_path / "x/2.csv"), str(tmp_path / "x/*.csv"))), "reason", "")


def test_a_name_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(folder_of(tmp_path, "~a.csv", "home/a.csv", "~/a.csv"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert [str(file) for file in find_sources("~a.csv").train] == ["~a.csv"]
    assert [str(file) for file in find_sources("~/a.csv").train] == [str(tmp_path / "home/a.csv")]


def test_a_folder_of_splits_may_have_any_suffix_other_words_and_no_valid(tmp_path):
    for name in ("TRAIN.tsv.gz", "val.parquet", "test/part-1.csv", "test/part-0.csv", "readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    sources = find_sources(str(tmp_path))
    assert not isinstance(sources, Missing)
    assert [path.name for path in sources.train + sources.valid] == ["TRAIN.tsv.gz", "val.parquet"]
    assert [path.name for path in sources.test] == ["part-0.csv", "part-1.csv"]
    (tmp_path / "val.parquet").unlink()
    without = find_sources(str(tmp_path))
    assert not isinstance(without, Missing)
    assert without.valid == ()


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(TEXT)
    return path


UNREMARKABLE = (".DS_Store", "_SUCCESS", "README", "README.md", "readme.txt", "LICENSE", "a.csv.crc", "SHA256SUMS")


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        (("click.csv", "click.csv.1", "part-00001", "b.log"), "b.log, click.csv.1, part-00001"),
        (("a.csv", "_2026.csv", "_old/b.csv", "_temporary/0"), "_2026.csv, _old"),
        (("train.csv", "test.csv", "train_2.csv", "extra.csv", "valid.log"), "extra.csv, train_2.csv, valid.log"),
        (("train/a.csv", "train/b.log", "test/a.csv"), "train/b.log"),
        (("a.csv", *(f"{n}.log" for n in range(7))), "0.log, 1.log, 2.log, 3.log, 4.log and 2 more"),
        (("train.csv", "test.csv"), ""),
        (("a.csv", "b/license.csv"), ""),
    ],
)
def test_what_may_hold_rows_and_is_left_out_of_a_folder_is_noted(tmp_path, names, left_out):
    sources = find_sources(str(folder_of(tmp_path / "rot", *names, *UNREMARKABLE)))
    assert not isinstance(sources, Missing)
    note = f"left out of the folder rot, by name: {left_out}; name what is a log in path="
    assert sources.notes == ((note,) if left_out else ())


def test_what_is_named_besides_its_folder_is_not_noted_as_left_out(tmp_path):
    folder = str(folder_of(tmp_path / "x", "a.csv", "b.log", "c.log"))
    for sources in (find_sources((folder, f"{folder}/b.log")), find_sources(folder, test=f"{folder}/b.log")):
        assert not isinstance(sources, Missing)
        assert [file.name for file in sources.all] == ["a.csv", "b.log"]
        assert "by name: c.log;" in sources.notes[0]


def test_a_link_to_a_folder_is_noted_and_one_to_a_file_is_read(tmp_path):
    folder_of(tmp_path, "a/log.csv", "b/more.csv")
    (tmp_path / "a" / "linked.csv").symlink_to(tmp_path / "b" / "more.csv")
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    sources = find_sources(str(tmp_path / "a"))
    assert not isinstance(sources, Missing)
    assert [file.name for file in sources.train] == ["linked.csv", "log.csv"]
    assert "by name: circle, linked;" in sources.notes[0]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_file_with_two_names_is_read_once_and_is_in_one_split(tmp_path, link):
    folder = folder_of(tmp_path / "x", "2026-01-01.csv", "test/a.csv")
    getattr(folder / "latest.csv", link)(folder / "2026-01-01.csv")
    sources = find_sources(str(folder / "*.csv"))
    assert not isinstance(sources, Missing)
    assert [file.name for file in sources.train] == ["2026-01-01.csv"]
    assert sources.notes == ("latest.csv is the file 2026-01-01.csv by another name, and read once",)
    for path, valid, test in (("2026-01-01.csv", "", "latest.csv"), ("test/a.csv", "2026-01-01.csv", "latest.csv")):
        named = {"valid": str(folder / valid) if valid else "", "test": str(folder / test)}
        refusal = find_sources(str(folder / path), **named)
        assert isinstance(refusal, Missing)
        assert "latest.csv in test are one file; give each split rows of its own" in refusal.reason
    getattr(folder / "train.csv", link)(folder / "test/a.csv")
    assert "are one file" in getattr(find_sources(str(folder)), "reason", "")


def test_a_pipe_in_a_folder_is_no_log_and_a_broken_link_is_named(tmp_path):
    folder = folder_of(tmp_path / "x", "a.csv")
    os.mkfifo(folder / "pipe.csv")
    assert [file.name for file in find_sources(str(folder)).train] == ["a.csv"]
    (folder / "b.csv").symlink_to("gone.csv")
    for path in (str(folder), str(folder / "*.csv")):
        refusal = find_sources(path)
        assert isinstance(refusal, Missing)
        assert "b.csv is a link to gone.csv, which is not there; mend the link or delete it" in refusal.reason


def test_parts_without_a_byte_are_left_out_with_a_note_and_a_file_alone_is_refused(tmp_path):
    folder = folder_of(tmp_path / "x", "part-1.csv", "part-2.csv")
    (folder / "part-0.csv").touch()
    sources = find_sources(str(folder))
    assert not isinstance(sources, Missing)
    assert [file.name for file in sources.train] == ["part-1.csv", "part-2.csv"]
    assert sources.notes == ("part-0.csv has no bytes, and is left out",)
    assert [file.name for file in find_sources(str(folder / "part-0.csv")).train] == ["part-0.csv"]
    assert "the file is empty" in refused(folder, "", "part-0.csv")


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", None, "test-00000-of-00001.parquet"),
        ("data/train-0.parquet", "data/train-1.parquet", "data/validation-0.parquet", "data/test-0.parquet"),
        ("train_x1.csv", "train_x2.csv.gz", "valid_x1.csv", "test_x1.csv"),
        ("training_1.csv", "training_2.csv", "val.csv", "testing.csv"),
        ("Train1.csv", "Train2.csv", "dev 1.csv", "Test1.csv"),
        ("train_a/0.csv", "train_a/1.csv", None, "test_a/0.csv"),
    ],
)
def test_parts_of_splits_are_recognised_where_all_logs_are_such_and_a_note_says_so(tmp_path, names):
    one, two, valid, test = names
    sources = find_sources(str(folder_of(tmp_path / "x", *filter(None, names), "README.md")))
    assert not isinstance(sources, Missing)
    found = [[str(file.relative_to(tmp_path / "x")) for file in part] for part in (sources.train, sources.test)]
    assert found == [[one, two], [test]]
    assert [str(file.relative_to(tmp_path / "x")) for file in sources.valid] == ([valid] if valid else [])
    middle = f"valid is {valid}; " if valid else ""
    told = f"train is {one}, {two}; {middle}test is {test}"
    assert sources.notes == (f"the folder x is split by the names of its files: {told}",)


def test_names_that_only_resemble_splits_make_none(tmp_path):
    for names in (("trains.csv", "tests.csv"), ("train_1.csv", "train_2.csv"), ("trainer/a.csv", "testimonials.csv")):
        sources = find_sources(str(folder_of(tmp_path / names[0], *names)))
        assert not isinstance(sources, Missing)
        assert (len(sources.train), sources.notes) == (2, ())
    sources = find_sources(str(folder_of(tmp_path / "mixed", "train_1.csv", "test_1.csv", "more.csv")))
    assert not isinstance(sources, Missing)
    assert len(sources.train) == 3
    assert "train_1.csv and test_1.csv are called like splits, but more.csv is not" in sources.notes[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/.keep", "test/log.csv"), "train holds no readable log; logs end with .csv"),
        (("train.csv", "valid/b.log", "test.csv"), "valid holds no readable log"),
        (("train_1.csv", "train_1.parquet", "test_1.csv"), "both train_1.csv and train_1.parquet; it needs one of"),
        (("train.csv", "training.csv", "test.csv"), "both train.csv and training.csv; it needs one file a split"),
    ],
)
def test_a_folder_whose_splits_are_not_plain_is_refused(tmp_path, names, message):
    missing = find_sources(str(folder_of(tmp_path / "x", *names)))
    assert isinstance(missing, Missing)
    assert message in missing.reason


def test_memory_grows_with_the_values_and_not_with_the_longest(tmp_path):
    long = "x" * 1_000_000
    log = log_of(tmp_path, "click,url\n" + "".join(f"{n % 2},u{n}\n" for n in range(2_000)) + f"1,{long}\n")
    assert log.table.nbytes < 3_000_000
    assert log.table["url"][2_000].as_py() == long


def test_a_column_that_is_made_takes_the_place_of_that_name():
    log = Log.of(pa.table({"a": [1, 2], "b": [3, 4]}))
    assert log.with_column("a", np.array([5, 6])).table.to_pydict() == {"a": [5, 6], "b": [3, 4]}
    assert log.with_column("c", np.array([5, 6])).names == ("a", "b", "c")


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_no_stream_after_the_first_is_skipped(tmp_path, pack):
    head, tail = pack(TEXT[:12].encode()), pack(TEXT[12:].encode())
    assert rows(log_of(tmp_path, head + tail, "log.csv")) == EXPECTED
    assert "log.csv" in refused(tmp_path, head + b"?" + tail[1:], "log.csv")
    assert "cut off" in refused(tmp_path, head + tail[:-9], "log.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_letters_without_a_mark_are_recognised(tmp_path, encoding):
    for header in ("用户,点击", "一,二", "ключ,поле", "é,ü"):
        log = log_of(tmp_path, f"{header}\n一,1\nб,0\n".encode(encoding))
        assert (log.names, rows(log)) == (tuple(header.split(",")), [["一", "1"], ["б", "0"]])
    assert rows(log_of(tmp_path, TEXT.encode(encoding))) == EXPECTED
    assert rows(log_of(tmp_path, TEXT.encode(encoding), dialect=Dialect(encoding=encoding[:6]))) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_parts_that_were_joined_with_their_byte_order_marks_begin_with_their_first_value(tmp_path, encoding, end):
    parts = ["\ufeffuid,click\n1\ufeff,0\n", "13,1\n", "\ufeff7,0\n"]
    log = log_of(tmp_path, b"".join(part.replace("\n", end).encode(encoding) for part in parts))
    assert log.names == ("uid", "click")
    assert rows(log) == [["1\ufeff", "0"], ["13", "1"], ["7", "0"]]
    ids = [f'{{"uid": {2**53 + n}, "x": 1}}\n'.encode(encoding) for n in (1, 3)]
    assert rows(log_of(tmp_path, b"".join(ids), "log.jsonl")) == [[2**53 + 1, 1], [2**53 + 3, 1]]
    ids.append(f'{{"uid": NaN, "x": 1}}{end}'.encode(encoding))
    assert [row[0] for row in rows(log_of(tmp_path, b"".join(ids), "log.jsonl"))] == [
        str(2**53 + 1),
        str(2**53 + 3),
        None,
    ]


@pytest.mark.parametrize("before", range(4))
def test_a_byte_order_mark_may_stand_where_a_block_ends(tmp_path, before):
    head = "click,uid\n1,"
    text = head + "u" * ((1 << 20) - len(head) - 1 - before) + "\n\ufeff7,\ufeff\n"
    assert rows(log_of(tmp_path, text))[1] == ["7", "\ufeff"]


def test_an_encoding_that_the_mark_contradicts_is_refused(tmp_path):
    marked = TEXT.encode("utf-8-sig")
    assert "its byte-order mark says utf-8;" in refused(tmp_path, marked, dialect=Dialect(encoding="cp1252"))
    marked = b"\xff\xfe" + TEXT.encode("utf-16-le")
    assert rows(log_of(tmp_path, marked, dialect=Dialect(encoding="utf-16-le"))) == EXPECTED


@pytest.mark.parametrize(
    "begins",
    [
        b"7z\xbc\xaf\x27\x1c\0\4",
        b"SQLite format 3\0",
        b"log.csv\0\0\0click,uid\n",
        b"\x80\x04\x95\0\0",
        b"\x04\x22\x4d\x18c,d",
        b"ORC\n\x03\x00\x00\n\xf0\x00",
    ],
)
def test_what_is_no_text_is_no_log_in_another_encoding(tmp_path, begins):
    message = refused(tmp_path, begins + TEXT.encode())
    assert "of a format that is not read" in message
    assert "encoding=" not in message


def test_a_tar_and_what_is_packed_twice_are_named(tmp_path):
    for mode, name in {"": "log.tar", "gz": "log.tar.gz", "bz2": "log.csv", "xz": "log.txz"}.items():
        with tarfile.open(tmp_path / "tar", f"w:{mode}") as archive:
            archive.add(folder_of(tmp_path, "inner.csv") / "inner.csv", "inner.csv")
        assert f"{name}: a tar; unpack it" in refused(tmp_path, (tmp_path / "tar").read_bytes(), name)
    twice = gzip.compress(PACKED["log.csv.gz"])
    assert "packed as gz, and holds a gz file; unpack it once" in refused(tmp_path, twice, "log.csv.gz")
    assert "packed as zip, and holds a gz file" in refused(tmp_path, zipped(PACKED["log.csv.gz"]), "log.zip")


@pytest.mark.parametrize("name", ["log.arrow", "log.feather"])
def test_arrow_is_read_as_a_stream_and_as_the_first_feather(tmp_path, name):
    table = pa.table({"click": [0, 1], "ad": ["a", "b"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data = sink.getvalue().to_pybytes()
    assert rows(log_of(tmp_path, data, name)) == [[0, "a"], [1, "b"]]
    refused(tmp_path, data[:-20], name)
    feather.write_feather(table, tmp_path / name, version=1)
    assert rows(read_log(tmp_path / name)) == [[0, "a"], [1, "b"]]


def test_a_frame_that_is_to_be_skipped_may_begin_a_zst(tmp_path):
    skipped = struct.pack("<II", 0x184D2A5E, 4) + b"abcd"
    assert rows(log_of(tmp_path, skipped + PACKED["log.csv.zst"], "log.csv.zst")) == EXPECTED


def test_text_that_is_no_table_is_named(tmp_path):
    assert ".jsonl" in refused(tmp_path, '{"click": 1, "ad": 2}\n{"click": 0, "ad": 3}\n', "log.txt")
    assert "libsvm" in refused(tmp_path, "1 1:0.5 3:1\n0 2:1\n", "log.txt")
    sheet = tmp_path / "log.xlsx"
    with zipfile.ZipFile(sheet, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(UserError, match="save the sheet as CSV"):
        read_log(sheet)
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr("log.jsonl", '{"click": 1}\n{"click": 0}\n')
    assert rows(read_log(tmp_path / "log.zip")) == [[1], [0]]


def test_quotes_around_all_names_or_values_are_no_text(tmp_path):
    single = "\n".join(",".join(f"'{value}'" for value in line.split(",")) for line in TEXT.splitlines())
    assert rows(log_of(tmp_path, single)) == EXPECTED
    double = single.replace("'", '"')
    assert rows(log_of(tmp_path, double)) == EXPECTED
    assert "line 3: the quotation mark before 'b'" in refused(tmp_path, double.replace('"b"', '"b'))
    assert "line 4: the quotation mark before 'é' is never closed" in refused(tmp_path, double[:-1])


@pytest.mark.parametrize("above", [1, 3, 500])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_empty_lines_above_the_header_are_skipped_and_not_counted_as_rows(tmp_path, above, end):
    text = end * above + TEXT.replace("\n", end)
    assert rows(log_of(tmp_path, text)) == EXPECTED
    log = log_of(tmp_path, text + end.join(["1,u,a"] * 50 + ["1", ""]))
    assert "row 54 has 1 instead of 3 values ('1')" in log.notes[0]


@pytest.mark.parametrize("rows_below", [0, 1, 5])
def test_a_header_may_be_longer_than_what_is_looked_at_first(tmp_path, rows_below):
    names = ("click", *(f"a column with a long name {n}" for n in range(20_000)))
    row = "1" + ",007" * 20_000 + "\n"
    log = log_of(tmp_path, ",".join(names) + "\n" + row * rows_below)
    assert (len(log), log.names) == (rows_below, names)


def test_a_long_value_below_a_header_in_quotes_leaves_its_names(tmp_path):
    log = log_of(tmp_path, '"click","a, d"\n0,x\n1,' + "x" * 300_000 + "\n")
    assert (len(log), log.names) == (2, ("click", "a, d"))


def test_a_first_line_that_does_not_end_is_named(tmp_path):
    assert "its first line is longer than 16 MiB; it needs a header and rows" in refused(tmp_path, "click," * (3 << 20))


def test_lines_above_the_header_are_named(tmp_path):
    assert "('# of May'); mend it, or delete the lines above it" in refused(tmp_path, "# of May\n# by me\n" + TEXT)


def test_whole_numbers_of_json_keep_every_digit(tmp_path):
    ids = [2**53 + 1, 2**63 + 1, 2**64 + 1, 10**30 + 1]
    lines = "".join(f'{{"ad": {number}, "x": {number % 7}.5, "e": 1e22}}\n' for number in ids)
    found = log_of(tmp_path, lines, "log.jsonl").table
    assert [int(value.as_py()) for value in found["ad"]] == ids
    assert found["e"].to_pylist() == [1e22] * 4
    assert "write one object a line" in refused(tmp_path, '[{"click": 1}]', "log.json")


@pytest.mark.parametrize("other", ["NaN", "0.5", "9" * 80, "-Infinity", "9" * 400])
@pytest.mark.filterwarnings("error")
def test_ids_of_json_keep_every_digit_beside_any_number(tmp_path, other):
    ids = ["9007199254740993", "9007199254740992", other, "7", "-90071992547409930"]
    lines = "".join(f'{{"uid": {number}, "when": "2026-01-0{n + 1}", "x": 1e22}}\n' for n, number in enumerate(ids))
    found = log_of(tmp_path, lines, "log.jsonl").table
    assert found["uid"].to_pylist() == [None if number == "NaN" else number for number in ids]
    assert found["when"].to_pylist() == [f"2026-01-0{n + 1}" for n in range(5)]
    assert found["x"].to_pylist() == [1e22] * 5


@pytest.mark.parametrize("number", ["3.4028234664e+38", "1e300", "Infinity"])
def test_numbers_of_json_that_are_no_ids_stay_numbers(tmp_path, number):
    found = log_of(tmp_path, f'{{"x": {number}}}\n{{"x": 0.5}}\n', "log.jsonl").table
    assert found["x"].to_pylist() == [float(number), 0.5]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_json_lines_are_read_in_their_encoding(tmp_path, encoding):
    data = '{"ad": "café", "uid": 9007199254740993}\n{"ad": "b", "uid": NaN}\n'.encode(encoding)
    given = Dialect(encoding=encoding if encoding in ("cp1252", "latin-1") else "")
    assert rows(log_of(tmp_path, data, "log.jsonl", given)) == [["café", "9007199254740993"], ["b", None]]
    if given.encoding:
        message = refused(tmp_path, data, "log.jsonl")
        assert "line 1 is not UTF-8 (byte 0xe9)" in message
        assert "encoding=cp1252" in message


@pytest.mark.parametrize("bad", ['{"uid": 1, "uid": 2}', '{"uid": }', "", '{"uid": 1'])
@pytest.mark.parametrize("block", [60, 1 << 24])
def test_a_row_of_json_is_counted_from_1_in_its_file(tmp_path, monkeypatch, bad, block):
    monkeypatch.setattr(_reading, "BLOCK", block)
    lines = [f'{{"uid": {n}}}' for n in range(90)]
    for at in (1, 50, 89):
        text = "\n".join([*lines[:at], bad, *lines[at:], ""])
        if not bad:
            assert len(log_of(tmp_path, text, "log.jsonl")) == 90
            text = text.replace('"uid": 89', '"uid": ')
        row = at + 1 if bad else 90
        assert f"in row {row})" in refused(tmp_path, text, "log.jsonl")


@pytest.mark.parametrize("block", [60, 1 << 24])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "table", "data"])
def test_json_that_is_one_object_says_how_to_write_rows(tmp_path, monkeypatch, orient, indent, block):
    monkeypatch.setattr(_reading, "BLOCK", block)
    frame = pd.DataFrame({"click": [0, 1] * 9, "ad": ["a", "b"] * 9})
    text = frame.to_json(orient="records" if orient == "data" else orient, indent=indent)
    text = f'{{"data": {text}}}' if orient == "data" else text
    assert "one object in JSON, of columns or of a list; write one object a line" in refused(tmp_path, text, "a.json")
    assert "orient='records', lines=True" in refused(tmp_path, f"\n{text}\n", "a.json")
    row = log_of(tmp_path, '{"tags": ["a"], "click": 1}', "a.json")
    assert rows(row) == [[["a"], 1]]


@pytest.mark.parametrize("suffix", ["parquet", "feather", "jsonl"])
def test_missing_words_are_missing_in_every_format(tmp_path, suffix):
    frame = pd.DataFrame({"ad": ["NA", "a", "?", "a"], "age": [-999, 1, 2, -999], "rate": [0.5, -999.0, 1.5, 2.5]})
    path = tmp_path / f"log.{suffix}"
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        getattr(frame, f"to_{suffix}")(path)
    log = read_log(path, Dialect(missing=("NA", "?", "-999")))
    assert log.table.to_pydict() == {
        "ad": [None, "a", None, "a"], "age": [None, 1, 2, None], "rate": [0.5, None, 1.5, 2.5],
    }  # fmt: skip
    with pytest.raises(UserError, match="delimiter= is for text"):
        read_log(path, Dialect(delimiter=";"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([255, 1], pa.uint8()), ("-1", "256")),
        (pa.array([-25, 1], pa.int8()), ("999",)),
        (pa.array([-999, 0]), ("-999.9", "no", "False")),
        (pa.array([0.0, 1.0]), ("no", "False")),
        (pa.array([np.inf, 1.0], pa.float32()), ("1e300",)),
    ],
)
def test_a_missing_word_takes_no_number_that_is_another(tmp_path, values, words):
    pq.write_table(pa.table({"age": values}), tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet", Dialect(missing=words)).table["age"].to_pylist() == values.to_pylist()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (pa.array([date(1970, 1, 1), date(2026, 1, 1)]), "1970-01-01"),
        (pa.array([datetime(1970, 1, 1), datetime(2026, 1, 1, 5)]), "1970-01-01 00:00:00"),
        (pa.array([b"NA", b"a"]), "NA"),
        (pa.array([b"NA", b"a"], pa.binary_view()), "NA"),
        (pa.array(["NA", "a"], pa.string_view()), "NA"),
        (pa.array(["NA", "a"]).dictionary_encode(), "NA"),
        (pa.array([Decimal("-9.50"), Decimal("1.25")]), "-9.50"),
        (pa.array([-999.9, 1.0], pa.float32()), "-999.90"),
        (pa.array(np.array([-2.0, 1.0], np.float16)), "-2"),
        (pa.array([False, True]), "False"),
        (pa.array([np.iinfo(np.int64).max, 1]), "9223372036854775807"),
    ],
)
def test_a_missing_word_is_compared_with_what_a_value_is_shown_as(tmp_path, values, word):
    pq.write_table(pa.table({"x": values, "tags": [["NA"], []]}), tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet", Dialect(missing=(word, "?")))
    assert log.table["x"].is_null().to_pylist() == [True, False]
    assert log.table["x"].type == log.columns.schema.field("x").type
    assert log.table["tags"].to_pylist() == [["NA"], []]


def test_what_folders_say_is_a_column_and_names_the_row(tmp_path):
    for day in ("2026-01-01", "2026-01-02"):
        folder = tmp_path / f"day={day}"
        folder.mkdir()
        pd.DataFrame({"click": [0, 1]}).to_parquet(folder / "part-0.parquet")
    log = read_log(find_sources(str(tmp_path)).train)
    assert rows(log) == [[0, "2026-01-01"], [1, "2026-01-01"], [0, "2026-01-02"], [1, "2026-01-02"]]
    assert log.where(2) == "row 1 of day=2026-01-02/part-0.parquet"


def test_a_test_of_one_day_has_the_day_that_a_train_of_many_has(tmp_path):
    for day in ("1", "2", "7"):
        folder_of(tmp_path, f"day={day}/log.csv")
        lines = "".join(f"{n % 2},{n % 3}\n" for n in range(40))
        (tmp_path / f"day={day}" / "log.csv").write_text("click,ad\n" + lines)
    train, test = (str(tmp_path / "day=1"), str(tmp_path / "day=2")), str(tmp_path / "day=7")
    log = CsvLog(path=train, test=test, label="click").load(seed=1, context=Context())
    assert log.test.schema.names == ("ad", "day")
    assert set(log.test.rows["day"]) == {0}, "unseen"


@pytest.mark.parametrize("nothing", ["day=__HIVE_DEFAULT_PARTITION__", "day="])
def test_a_folder_that_says_nothing_is_a_missing_value(tmp_path, nothing):
    for folder in (nothing, "day=2026-01-02"):
        (tmp_path / folder).mkdir()
        pd.DataFrame({"click": [0, 1]}).to_parquet(tmp_path / folder / "part-0.parquet")
    log = read_log(find_sources(str(tmp_path)).train)
    assert sorted(rows(log), key=str) == [[0, "2026-01-02"], [0, None], [1, "2026-01-02"], [1, None]]
    assert Column.of(log.columns["day"]).values.tolist() == ["2026-01-02"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for folder, columns in {"a": "click", "b": "click,ad"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "log.csv").write_text(f"{columns}\n{columns.replace('click', '0')}\n")
    log = read_log([tmp_path / "a/log.csv", tmp_path / "b/log.csv"])
    assert "b/log.csv has columns that a/log.csv lacks, left out: ad" in log.notes
    with pytest.raises(UserError, match=r"a/log.csv: the column 'ad' of b/log.csv is not there"):
        read_log([tmp_path / "b/log.csv", tmp_path / "a/log.csv"])


def test_a_file_of_one_line_and_rows_beyond_a_block_are_named(tmp_path, monkeypatch):
    assert "not a readable log (one line, 'hello', without an end)" in refused(tmp_path, "hello")
    monkeypatch.setattr(_text, "BLOCK", 1 << 20)
    assert "a row is longer than 1 MiB" in refused(tmp_path, "click,uid\n0," + "u" * (3 << 20) + "\n")
