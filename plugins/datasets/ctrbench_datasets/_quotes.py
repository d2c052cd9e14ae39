"""Whether quotation marks in a text file enclose values, or are text.

In: the file, a sample of it, and what its owner says. Out: how its values are quoted; UserError where that cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ctrbench import UserError, counted

from ctrbench_datasets._characters import BLOCK, Characters, Text, lines_of


@dataclass(frozen=True)
class Quoting:
    """How values stand in quotes, and what is worth noting."""

    quote: str  # empty: none
    escape: str = ""
    several_lines: bool = False
    notes: tuple[str, ...] = ()


def quoting_of(text: Text, sample: str, given: str, escape: str) -> Quoting:
    """Whether quotation marks enclose values or are text, judged from the whole file.

    They enclose values where every value that begins with one ends with one, on the same line. Where values would span
    several lines although every line is a row by itself, they are text: quoted text over several lines does not make
    each line a whole row.
    """
    if given == "none":
        return Quoting("")
    first = lines_of(sample, 2)
    width = first[0].count(text.separator) + 1
    quote = given or ("'" if _encloses("'", first, text.separator) else '"')
    grammar = _Grammar(quote, text.separator, escape)
    first_bad = _first_bad_line(text, grammar)
    if first_bad is None:
        return Quoting(quote, escape)
    if not given:
        slashed = replace(grammar, escape="\\")
        if not escape and slashed.used(text) and slashed.fits(text):  # which takes all of the file at once
            note = f"a quotation mark inside quotes is written \\{quote}, first in line {first_bad}"
            return Quoting(quote, "\\", True, (note,))
        if width > 1 and not _encloses(quote, first, text.separator) and _all_of_width(text, width):
            note = f"quotation marks are text: from line {first_bad} on they do not enclose values"
            return Quoting("", notes=(note,))
    over = _over_lines(text, grammar, width, trusted=bool(given))
    if isinstance(over, str):
        raise UserError(
            f"{text.path}: line {first_bad}: {over}; mend it, or say quote=none where quotation marks are text"
        )
    return Quoting(quote, escape, True, over)


@contextmanager
def with_doubled_quotes(text: Text, quoting: Quoting) -> Iterator[Characters]:
    """The file as a stream in which quotation marks inside quotes are doubled, and none has a backslash before it.

    pyarrow and Python's reader drop every backslash where they are told to understand some, that of DOM\\ann too.
    """
    with text.open() as file:
        yield Characters(_with_doubled_quotes(file, text, quoting)) if quoting.escape else file


def doubled(sample: str, text: Text, quoting: Quoting) -> str:
    """A sample of the file as `with_doubled_quotes` gives it."""
    grammar = _Grammar(quoting.quote, text.separator, quoting.escape)
    return grammar.doubled(sample.encode()).decode() if quoting.escape else sample


def _with_doubled_quotes(file: Characters, text: Text, quoting: Quoting) -> Iterator[bytes]:
    grammar = _Grammar(quoting.quote, text.separator, quoting.escape)
    rest = b""
    for block, _ in _whole_lines(file):
        data = rest + block
        end = grammar.first_bad(data, lines=True)  # where a value begins that ends in the next block
        whole, rest = (data, b"") if end is None else (data[:end], data[end:])
        yield grammar.doubled(whole)
    yield grammar.doubled(rest)


def _encloses(quote: str, first: Sequence[str], separator: str) -> bool:
    """Whether all names or all values of the first row stand in quotes, so that these cannot be text."""
    between, width = quote + separator + quote, first[0].count(separator)
    return any(len(line) > 1 and line[0] == line[-1] == quote and line[1:-1].count(between) == width for line in first)


def _first_bad_line(text: Text, grammar: _Grammar) -> int | None:
    """The number of the first line in which a value begins with a quotation mark and does not end with one."""
    with text.open() as file:
        for block, before in _whole_lines(file):
            if grammar.mark in block and (at := grammar.first_bad(block)) is not None:
                return before + block[:at].count(b"\n") + 1
    return None


def _all_of_width(text: Text, width: int) -> bool:
    """Whether all lines, cut at every delimiter, have this many values."""
    with text.open() as file:
        for block, _ in _whole_lines(file):
            if any(line and line.count(text.separator.encode()) + 1 != width for line in block.splitlines()):
                return False
    return True


@dataclass(frozen=True)
class _Grammar:
    """Which texts are rows of values, some in quotes, with inner quotes doubled or escaped."""

    quote: str
    delimiter: str
    escape: str = ""

    @property
    def mark(self) -> bytes:
        return self.quote.encode()

    @property
    def separator(self) -> bytes:
        return self.delimiter.encode()

    def _value(self, lines: bool, ends_well: bool = True) -> bytes:
        """A quoted value with what must come before it, and after it unless it may end anywhere."""
        q, d = re.escape(self.mark), re.escape(self.separator)
        ends = b"" if lines else rb"\r\n"
        e = re.escape(self.escape.encode())
        inner = b"[^" + q + e + ends + b"]++|" + q + q + (b"|" + e + (b"." if not lines else rb"[\s\S]") if e else b"")
        after = q + b"(?=[\\r\\n" + d + b"]|\\Z)" if ends_well else b"(?:" + q + b"|\\Z)"
        return b"(?<![^\\r\\n" + d + b"])" + q + b"(?:" + inner + b")*+" + after

    def first_bad(self, block: bytes, lines: bool = False) -> int | None:
        """The position of the first value that begins with a quotation mark and does not end with one."""
        q, d = re.escape(self.mark), re.escape(self.separator)
        good = b"(?:" + self._value(lines) + b"|[^" + q + b"]++|(?<=[^\\r\\n" + d + b"])" + q + b")*+"
        found = re.compile(good).match(block)
        end = found.end() if found else 0
        return None if end == len(block) else end

    def doubled(self, data: bytes) -> bytes:
        """The same values with each escaped quotation mark doubled; other escapes stay as they are."""
        pair = re.compile(re.escape(self.escape.encode()) + rb"([\s\S])")

        def rewritten(value: re.Match[bytes]) -> bytes:
            return pair.sub(lambda found: self.mark * 2 if found[1] == self.mark else found[0], value[0])

        return re.sub(self._value(lines=True), rewritten, data)

    def fits(self, text: Text) -> bool:
        with text.open() as file:
            return self.first_bad(file.read(), lines=True) is None

    def used(self, text: Text) -> bool:
        """Whether the escape comes before a quotation mark anywhere."""
        with text.open() as file:
            return any((self.escape + self.quote).encode() in block for block, _ in _whole_lines(file))


def _whole_lines(file: Characters) -> Iterator[tuple[bytes, int]]:
    """Blocks that end where a line ends, and the number of lines before each."""
    rest, before = b"", 0
    while data := file.read(BLOCK):
        data = rest + data
        end = data.rfind(b"\n") + 1 or (data.rfind(b"\r", 0, len(data) - 1) + 1)
        block, rest = data[:end], data[end:]
        if block:
            yield block, before
            before += block.count(b"\n")
    if rest:
        yield rest, before


def _over_lines(text: Text, grammar: _Grammar, width: int, *, trusted: bool) -> tuple[str, ...] | str:
    """A note on the values that span several lines; or why they cannot be what the writer meant."""
    with text.open() as file:
        data = file.read()
    at = grammar.first_bad(data, lines=True)
    if at is not None and not trusted:
        closed = re.compile(re.escape(grammar.mark)).search(data, at + 1)
        shown = text.restored(lines_of(data[at : at + 30].decode("utf-8", "replace"))[0])
        why = "is never closed" if closed is None else "does not enclose a value"
        return f"the quotation mark before {shown[1:]!r} {why}"
    joined = whole = values = 0
    for found in re.finditer(grammar._value(lines=True, ends_well=not trusted), data):
        inside = [line for line in found[0].splitlines()[1:-1] if line]
        if found[0].count(b"\n") or found[0].count(b"\r"):
            values += 1
            joined += len(inside)
            whole += sum(line.count(grammar.separator) + 1 == width for line in inside)
    if width > 1 and whole and 2 * whole >= joined and not trusted:
        return f"quotation marks join {whole:,} lines that are rows by themselves"
    told = f"{counted(values, 'value')} in quotes reach over several lines"
    if trusted and width > 1 and whole:
        told += f", and join {whole:,} that are rows by themselves; say quote=none where quotation marks are text"
    return (told,) if values else ()
