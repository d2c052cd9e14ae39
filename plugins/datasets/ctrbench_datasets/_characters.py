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
from pathlib import Path
from typing import Any

from ctrbench import UserError

from ctrbench_datasets._files import Kind, open_bytes

STAND_IN = b"\x1f"
"""Replaces a delimiter of several characters, which pyarrow does not support."""

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

    @contextmanager
    def open(self) -> Iterator[Characters]:
        """The stream of its characters."""
        with open_bytes(self.path, self.kind.packing) as raw:
            yield Characters(raw, self)


class Characters(io.RawIOBase):
    """The file as UTF-8 without a byte-order mark, whatever its encoding, for pyarrow to read like a file."""

    def __init__(self, raw: Any, text: Text) -> None:
        self._raw = raw
        self._text = text
        self._decode = codecs.getincrementaldecoder(text.encoding)().decode
        self._kept = ""  # the end of the last block, which may be half of a long delimiter
        self._lines = 0
        self._ready: list[bytes] = []
        self._done = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; none only at the end."""
        ready = sum(map(len, self._ready))
        while not self._done and (size < 0 or ready < size):
            self._ready.append(self._block())
            ready += len(self._ready[-1])
        data = b"".join(self._ready)
        given, rest = (data, b"") if size < 0 else (data[:size], data[size:])
        self._ready = [rest]
        return given

    def _block(self) -> bytes:
        raw = self._raw.read(1 << 20)
        try:
            block = self._decode(raw, not raw)
        except UnicodeError as error:
            start = error.start if isinstance(error, UnicodeDecodeError) else 0
            line = self._lines + raw[:start].count(b"\n") + 1
            bad = f"byte 0x{error.object[start]:02x}" if isinstance(error, UnicodeDecodeError) else str(error)
            name = "UTF-8" if self._text.encoding.startswith("utf-8") else self._text.encoding
            raise WrongEncodingError(
                f"{self._text.path}: line {line} is not {name} ({bad}); not a readable log, or in another encoding: "
                "say which, as in encoding=cp1252"
            ) from None
        self._lines += raw.count(b"\n")
        self._done = not raw
        if self._text.separator == self._text.delimiter:
            return block.encode()
        block = self._kept + block
        if STAND_IN.decode() in block:
            raise UserError(
                f"{self._text.path}: holds the control character 0x1f, so delimiter={self._text.delimiter} of "
                "several characters cannot be told; use another delimiter"
            )
        block = block.replace(self._text.delimiter, STAND_IN.decode())
        keep = 0 if self._done else len(self._text.delimiter) - 1
        self._kept = block[len(block) - keep :] if keep else ""
        return block[: len(block) - keep].encode()


def sample_of(text: Text) -> str:
    """The first lines, all of them complete unless one is longer than the sample."""
    with replace(text, delimiter=",").open() as file:
        data = file.read(SAMPLE)
        whole = not file.read(1)
    if not whole:
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        data = data[: end + 1] if end > 0 else data
    return data.decode("utf-8", "replace")


def lines_of(sample: str, most: int = 200) -> list[str]:
    """The first lines that are not empty."""
    return [line for line in re.split(r"\r\n|\n|\r", sample)[:most] if line]
