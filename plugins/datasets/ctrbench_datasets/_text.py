"""Delimited text, read so that no character and no row is lost silently.

In: a file and what is known about its dialect. Out: an Arrow table in which every value is text as it was written, and
what was found out about the file; rows that do not fit are counted and named. pyarrow parses, but it swallows rows
between stray quotes, so quotes are checked first.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ctrbench import UserError, counted

from ctrbench_datasets._characters import BLOCK, Text, lines_of, named_delimiter, sample_of
from ctrbench_datasets._encodings import encoding_of
from ctrbench_datasets._files import Kind, readable
from ctrbench_datasets._quotes import Quoting, doubled, quoting_of, with_doubled_quotes

DELIMITERS = (",", "\t", ";", "|", "\x01", "::", "^", " ")
"""Possible delimiters where none is given, likelier ones first."""

SPILLED_FROM = 1 << 25
"""What is parsed of a file of so many bytes lies in a scratch file, and not in memory."""

MOST_BAD_ROWS = 0.05
"""Up to this share of rows that do not fit the header are left out with a note; more are an error."""

MISSING_WORDS = ("\\n", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "null", "none", "nil")
"""What often stands for a missing value, in lower case: in the first row it tells neither names nor data."""

WORDS = {"\t": "a tab", ",": "a comma", ";": "a semicolon", "|": "a bar", " ": "a blank"}


@dataclass(frozen=True)
class Dialect:
    """How a text file is written; whatever is empty is detected.

    `quote="none"` takes quotation marks for text; `escape` comes before a quotation mark inside quotes. `columns` names
    those of a file without a header. `missing` are the texts, besides the empty one, that mean a missing value.
    """

    delimiter: str = ""
    quote: str = ""
    escape: str = ""
    encoding: str = ""
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.quote not in ("", "none") and (len(self.quote) != 1 or not self.quote.isascii()):
            raise UserError(f"quote={self.quote} must be one character, or none")
        if self.delimiter and (self.delimiter == self.quote or set(self.delimiter) & set("\r\n")):
            raise UserError(f"delimiter={self.delimiter!r} must be other than the quote and no end of a line")
        if self.encoding:
            try:
                known = codecs.lookup(self.encoding)._is_text_encoding
            except (LookupError, ValueError):
                known = False
            if not known:
                raise UserError(f"encoding={self.encoding} is not known; latin-1, cp1252 and utf-16 are, for instance")
        twice = [name for name in self.columns if self.columns.count(name) > 1]
        if twice:
            raise UserError(f"columns has {twice[0]!r} twice; give each column a name of its own")


@dataclass(eq=False)
class TextFile:
    """A parsed file: its columns as text, the rows left out (numbered from 1) and what is worth noting."""

    table: Any  # pyarrow.Table of dictionary<int32, string>
    left_out: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dialect: Dialect = field(default_factory=Dialect)


def read_text(path: Path, kind: Kind, dialect: Dialect, only: Sequence[str] | None = None) -> TextFile:
    """Parse a file; `only` names the columns to keep. UserError where it cannot be read as a table."""
    with readable(path):
        text = Text(path, kind, encoding_of(path, kind, dialect.encoding))
        sample = sample_of(text)
        _check_is_table(path, sample)
        if not sample.strip():
            raise UserError(f"{path}: the file is empty; it needs a header and rows")
        text = replace(text, delimiter=dialect.delimiter or named_delimiter(text) or _delimiter(sample, path))
        sample = sample.replace(text.delimiter, text.separator)
        quoting = quoting_of(text, sample, dialect.quote, dialect.escape)
        header = _header(text, sample, quoting, dialect)
        return _parse(text, quoting, header, sample, dialect, only)


# What the file looks like

_PAIRS = re.compile(r"[+-]?[\d.]+( \d+(:\d+)?:[^ :]+)+ *")


def _check_is_table(path: Path, sample: str) -> None:
    """UserError for text that other tools read, and that is no table."""
    lines = lines_of(sample, 5)
    if not re.search(r"[\r\n]", sample):
        if len(sample.encode()) >= BLOCK:
            raise UserError(f"{path}: its first line is longer than {BLOCK >> 20} MiB; it needs a header and rows")
        raise UserError(
            f"{path}: not a readable log (one line, {sample[:40]!r}, without an end); it needs a header and rows"
        )
    if lines and all(re.fullmatch(r"\s*\{.*\}\s*", line) for line in lines):
        raise UserError(f"{path}: its lines are JSON; let its name end in .jsonl")
    if lines and all(map(_PAIRS.fullmatch, lines)):
        raise UserError(
            f"{path}: its lines are index:value pairs, as of libsvm or libffm; write a column for each field"
        )


def _delimiter(sample: str, path: Path) -> str:
    """The one that cuts most lines into as many values as the first, at least two; in a tie, the one with more values.

    The delimiter that the file's suffix stands for is preferred where it fits: tabs at once, commas where all lines
    agree. A blank that follows another delimiter belongs to it where only so all lines agree: a quotation mark
    encloses a value right after a delimiter alone.
    """
    lines = lines_of(sample)
    suffixes = {suffix.lower() for suffix in path.suffixes}
    tabs = bool(suffixes & {".tsv", ".tab"})
    best, found = (0.0, 0), ("\t" if tabs else ",")
    for delimiter in DELIMITERS:
        counts = [_count(line, delimiter) for line in lines]
        share = sum(count == counts[0] for count in counts) / len(counts)
        if counts[0] < 2 or share < (1.0 if delimiter in (" ", "^") else 0.5):
            continue
        if (tabs and delimiter == "\t") or (".csv" in suffixes and delimiter == "," and share == 1):
            return delimiter
        score = (round(share, 1), min(counts[0], 2 if delimiter in (" ", "^") else counts[0]))
        if score > best:
            best, found = score, delimiter
    for delimiter in (",", ";", "|"):
        width = _width(lines, f"{delimiter} ")
        alone_differs = found == delimiter and not _width(lines, delimiter)
        if width > 1 and (alone_differs or (found == " " and _width(lines, " ") == width)):
            return f"{delimiter} "
    return found


def _width(lines: Sequence[str], delimiter: str) -> int:
    """How many values each line has; 0 where they differ."""
    counts = {_count(line, delimiter) for line in lines}
    return counts.pop() if len(counts) == 1 else 0


def _count(line: str, delimiter: str) -> int:
    """Values in a line; closed quotes are one value."""
    d = re.escape(delimiter)
    return len(re.findall(d, re.sub(rf'(?:(?<=^)|(?<={d}))"(?:[^"]|"")*"(?={d}|$)', "", line))) + 1


# The header


@dataclass(frozen=True)
class _Header:
    names: tuple[str, ...]
    present: bool
    notes: tuple[str, ...] = ()


def _header(text: Text, sample: str, quoting: Quoting, dialect: Dialect) -> _Header:
    rows = _rows(text, sample, quoting)
    first = rows[0]
    if dialect.columns:
        if len(first) == len(dialect.columns):
            return _Header(dialect.columns, present=tuple(first) == dialect.columns)
        raise UserError(
            f"{text.path}: columns has {len(dialect.columns)} names, but the first row has "
            f"{counted(len(first), 'value')}, separated by {_told(text.delimiter)}; name each"
        )
    if len(rows) > 1 and _looks_like_data(first, rows[1:], dialect.missing):
        shown = ", ".join(first[:5]) + (", …" if len(first) > 5 else "")
        raise UserError(
            f"{text.path}: the first row looks like data ({shown}), so the file seems to have no header; name its "
            f"{len(first)} columns, as in columns=(label, user, …), which also takes a header that is as named"
        )
    return _Header(_named(first), present=True)


def _rows(text: Text, sample: str, quoting: Quoting) -> list[list[str]]:
    """The first rows of the sample."""
    lines = lines_of(sample)
    if not quoting.quote:
        return [line.split(text.separator) for line in lines]
    if quoting.several_lines:
        lines = list(islice(io.StringIO(doubled(sample, text, quoting), newline=""), 200))
    found = []
    with suppress(csv.Error):  # as where a value is longer than 128 KiB
        for row in filter(None, csv.reader(lines, delimiter=text.separator, quotechar=quoting.quote)):
            found.append([text.restored(value) for value in row])
    return found or [line.split(text.separator) for line in lines]


def _looks_like_data(first: list[str], rows: list[list[str]], missing: Sequence[str]) -> bool:
    """Whether a number heads a column of numbers and no name heads one; 0, 1, 2, … are names as in pandas."""

    def told(cell: str) -> bool:
        return cell not in ("", *missing) and cell.strip().lower() not in MISSING_WORDS

    if [cell.strip() for cell in first] in (
        [str(n) for n in range(len(first))],
        [str(n + 1) for n in range(len(first))],
    ):
        return False
    data = 0
    for place, cell in enumerate(first):
        below = [row[place] for row in rows if len(row) > place and told(row[place])]
        if below and all(map(_is_figure, below)):
            if _is_figure(cell):
                data += 1
            elif told(cell):
                return False
    return data > 0


_FIGURE = re.compile(
    r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*|\d{4}-\d\d-\d\d([T ][\d:.,]+)?\s*(Z|UTC|[+-][\d:]+)?"
)


def _is_figure(text: str) -> bool:
    return _FIGURE.fullmatch(text) is not None


def _named(header: Sequence[str]) -> tuple[str, ...]:
    """The names of a header; a column without one is named as pandas does, or by its position where that is taken."""
    names = list(header)
    for place, name in enumerate(header):
        if not name.strip():
            given = f"Unnamed: {place}"
            names[place] = f"(column {place + 1})" if given in header else given
    return tuple(names)


def _told(delimiter: str) -> str:
    return WORDS.get(delimiter, repr(delimiter))


# Parsing


def _parse(
    text: Text, quoting: Quoting, header: _Header, sample: str, dialect: Dialect, only: Sequence[str] | None
) -> TextFile:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    twice = sorted(name for name, times in Counter(header.names).items() if times > 1)
    if twice:
        raise UserError(f"{text.path}: two columns are called {twice[0]!r}; rename one")
    above = _lines_of_header(sample) if header.present else 0
    bad = _BadRows(text, len(header.names), above)
    places = [f"f{place}" for place in range(len(header.names))]
    wanted = [place for place, name in zip(places, header.names, strict=True) if only is None or name in only]
    options = {
        "read_options": arrow_csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK,
            column_names=places,
            skip_rows_after_names=above,
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=text.separator,
            quote_char=quoting.quote or False,
            newlines_in_values=quoting.several_lines,
            invalid_row_handler=bad,
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(places, pa.dictionary(pa.int32(), pa.string())),
            include_columns=wanted,
            null_values=["", *(word.replace(text.delimiter, text.separator) for word in dialect.missing)],
            strings_can_be_null=True,
        ),
    }
    with with_doubled_quotes(text, quoting) as file:
        source = pa.PythonFile(file, "r")
        try:
            if text.path.stat().st_size < SPILLED_FROM:
                table = arrow_csv.read_csv(source, **options)
                batches = (_restored(batch, text) for batch in table.to_batches())
                table = pa.Table.from_batches(batches, table.schema)
            else:
                table = _spilled(arrow_csv.open_csv(source, **options), text)
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error):
                raise
            raise UserError(f"{text.path}: a row is longer than {BLOCK >> 20} MiB; mend it, or say quote=") from None
    names = dict(zip(places, header.names, strict=True))
    table = table.rename_columns([names[place] for place in wanted])
    notes = [*quoting.notes, *header.notes, *bad.notes(len(table))]
    return TextFile(table, bad.numbers, notes, Dialect(text.delimiter, quoting.quote or "none"))


def _restored(batch: Any, text: Text) -> Any:
    """The rows with their delimiter in the values that hold it, in quotes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if text.separator == text.delimiter:
        return batch
    columns = [
        pa.DictionaryArray.from_arrays(
            column.indices, pc.replace_substring(column.dictionary, text.separator, text.delimiter)
        )
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _spilled(batches: Any, text: Text) -> Any:
    """The rows as a table that lies in a scratch file and is mapped: it takes memory where a column is looked at."""
    import pyarrow as pa

    with tempfile.NamedTemporaryFile(prefix="ctrbench-") as scratch:
        with _with_room(text.path):
            sink = pa.OSFile(scratch.name, "wb")
            writer = pa.ipc.new_stream(sink, batches.schema)
        for batch in batches:
            with _with_room(text.path):
                writer.write_batch(_restored(batch, text))
        with _with_room(text.path):
            writer.close()
            sink.close()
        return pa.ipc.open_stream(pa.memory_map(scratch.name)).read_all()  # the map outlives the file's name


@contextmanager
def _with_room(path: Path) -> Iterator[None]:
    """UserError where the disk of scratch files has no room."""
    try:
        yield
    except OSError as error:
        why = " ".join(str(error.strerror or error).split())
        raise UserError(
            f"{path}: its columns find no room in {tempfile.gettempdir()} ({why}); make room there, or name another "
            "folder by TMPDIR"
        ) from None


def _lines_of_header(sample: str) -> int:
    """Lines to skip, including the empty ones before the header, which pyarrow counts here."""
    lines = re.split(r"\r\n|\n|\r", sample)
    return next(place for place, line in enumerate(lines) if line) + 1


class _BadRows:
    """Collects rows that have more or fewer values than the header has names."""

    def __init__(self, text: Text, width: int, above: int) -> None:
        self.text, self.width = text, width
        self.numbers: list[int] = []
        self.shown: list[str] = []
        self.longer = 0
        self._above = above

    def __call__(self, row: Any) -> str:
        number = (row.number or 0) - self._above
        self.numbers.append(number)
        self.longer += row.actual_columns > self.width
        if len(self.shown) < 3:
            start = self.text.restored(row.text)
            start = start if len(start) <= 40 else start[:40] + "…"
            self.shown.append(f"row {number} has {row.actual_columns} instead of {self.width} values ({start!r})")
        return "skip"

    def notes(self, rows: int) -> list[str]:
        if not self.numbers:
            return []
        text = self.text
        count, total = len(self.numbers), rows + len(self.numbers)
        more = f", and {count - len(self.shown):,} more" if count > len(self.shown) else ""
        told = f"{'; '.join(self.shown)}{more}"
        if count > MOST_BAD_ROWS * total:
            if self.longer > total / 2:
                first = repr(lines_of(sample_of(text), 1)[0][:40])
                raise UserError(
                    f"{text.path}: its rows have more values than its header has names ({first}); mend it, or delete "
                    "the lines above it"
                )
            raise UserError(
                f"{text.path}: {count:,} of {total:,} rows do not fit the header: {told}; mend them, or say "
                f"delimiter= or quote= (now {_told(text.delimiter)} and as found)"
            )
        return [f"{count:,} of {total:,} rows of {text.path.name} do not fit the header and are left out: {told}"]
