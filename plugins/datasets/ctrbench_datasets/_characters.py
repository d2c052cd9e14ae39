"""A text file as a stream of characters, whatever its encoding and however long its delimiter.

In: a file, its packing and encoding. Out: UTF-8, in which a delimiter of several characters is one, and a sample.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ctrbench import UserError

from ctrbench_datasets._files import Kind, open_bytes

STAND_IN = b"\x1f"
"""Replaces a delimiter of several characters, which pyarrow does not support."""

NAMED = re.compile(r'\A"?sep=([^\w\r\n"])"?(?=[\r\n])', re.IGNORECASE)
"""The line above the header by which Excel is told the delimiter."""

BOM = re.compile("(?<![^\\r\\n])\ufeff+")
"""A byte-order mark where a line begins, as at the start of a file or of a part that was appended to it."""

SAMPLE = 1 << 18
BLOCK = 1 << 24


class WrongEncodingError(UserError):
    """A file has bytes that its encoding does not know."""


@dataclass(frozen=True)
class Text:
    """A text file: where it is, how it is packed and written, and what is between its values."""

    path: Path
    kind: Kind
    encoding: str
    delimiter: str = ","

    @property
    def separator(self) -> str:
        """What separates values once the stream has been translated."""
        return self.delimiter if len(self.delimiter) == 1 and self.delimiter.isascii() else STAND_IN.decode()

    def restored(self, value: str) -> str:
        """What the file has where the stream has this, as in quotes around a delimiter."""
        return value.replace(self.separator, self.delimiter)

    @contextmanager
    def open(self) -> Iterator[Characters]:
        """The stream of its characters."""
        with open_bytes(self.path, self.kind.packing) as raw:
            yield Characters(_translated(raw, self))


class Characters(io.RawIOBase):
    """Blocks of UTF-8, for pyarrow to read like a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._ready = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none only at the end."""
        ready, held = [self._ready], len(self._ready)
        while (size < 0 or held < size) and (block := next(self._blocks, None)) is not None:
            ready.append(block)
            held += len(block)
        data = b"".join(ready)
        given, self._ready = (data, b"") if size < 0 else (data[:size], data[size:])
        return given


def _translated(raw: Any, text: Text) -> Iterator[bytes]:
    """The file as UTF-8 without byte-order marks, whatever its encoding, and with one character between values."""
    decode = codecs.getincrementaldecoder(text.encoding)().decode
    long = text.separator != text.delimiter
    kept, lines, more, first = "", 0, True, True  # what is kept of a block may be a part of a long delimiter
    begun = ""  # stands for what a block continues: nothing where it begins a line
    while more:
        data = raw.read(1 << 20)
        more = bool(data)
        try:
            block = decode(data, not more)
        except UnicodeError as error:
            start = error.start if isinstance(error, UnicodeDecodeError) else 0
            line = lines + data[:start].count(b"\n") + 1
            bad = f"byte 0x{error.object[start]:02x}" if isinstance(error, UnicodeDecodeError) else str(error)
            name = "UTF-8" if text.encoding.startswith("utf-8") else text.encoding
            example = "shift_jis" if name == "cp1252" else "cp1252"
            raise WrongEncodingError(
                f"{text.path}: line {line} is not {name} ({bad}); not a readable log, or in another encoding: "
                f"say which, as in encoding={example}"
            ) from None
        lines += data.count(b"\n")
        if "\ufeff" in block:
            block = BOM.sub("", begun + block)[len(begun) :]
        if block:
            begun = "" if block[-1] in "\r\n" else "x"
        if first:  # an empty line in its place keeps the numbers of the others
            block, first = NAMED.sub("", block), not block
        if long:
            if STAND_IN.decode() in block:
                raise UserError(
                    f"{text.path}: holds the control character 0x1f, so delimiter={text.delimiter} of "
                    "several characters cannot be told; use another delimiter"
                )
            block = (kept + block).replace(text.delimiter, text.separator)
            whole = max(0, len(block) - len(text.delimiter) + 1) if more else len(block)
            block, kept = block[:whole], block[whole:]
        yield block.encode()


def cut(value: str) -> str:
    """A value as a message shows it, which a cell of megabytes must not fill."""
    return value if len(value) <= 60 else f"{value[:60]}…"


def named_delimiter(text: Text) -> str:
    """The delimiter that a first line sep=; names, as for Excel; empty where there is no such line."""
    with open_bytes(text.path, text.kind.packing) as raw:
        head = codecs.getincrementaldecoder(text.encoding)("replace").decode(raw.read(64))
    named = NAMED.match(head)
    return named[1] if named else ""


def sample_of(text: Text) -> str:
    """A header and a few rows or more, all of them complete unless one is longer than a block."""
    with replace(text, delimiter=",").open() as file:
        data = file.read(SAMPLE)
        while len(data) < BLOCK and len(lines_of(data.decode("utf-8", "replace"), 4)) < 4:
            if not (more := file.read(len(data))):
                break
            data += more
        whole = not file.read(1)
    if not whole:
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        data = data[: end + 1] if end > 0 else data
    return data.decode("utf-8", "replace")


def lines_of(sample: str, most: int = 200) -> list[str]:
    """The first lines that are not empty."""
    return [line[0] for line in islice(re.finditer(r"[^\r\n]+", sample), most)]
