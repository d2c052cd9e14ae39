"""Which encoding a text file is in, and whether it is text at all.

In: a file, and the encoding that its owner names, if any. Out: the encoding to read it in.
"""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from pathlib import Path

from ctrbench import UserError

from ctrbench_datasets._files import KNOWN, MARKS, Kind, open_bytes

BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_BINARY = re.compile(rb"[\x00\x04-\x06\x08\x0e-\x1a]")
"""What no text holds, not even as a delimiter or to colour a terminal."""

_ZEROS = {
    b"\1\0\1\0": "utf-16-le",
    b"\0\1\0\1": "utf-16-be",
    b"\1\0\0\0": "utf-32-le",
    b"\0\0\0\1": "utf-32-be",
}
"""Which of the first four bytes are 0 in text of ASCII letters without a byte-order mark."""


def encoding_of(path: Path, kind: Kind, given: str) -> str:
    """By the byte-order mark, else as given, else by where letters have zero bytes, else UTF-8.

    UserError where the mark says another one than is given, and where a file is no text.
    """
    with open_bytes(path, kind.packing) as file:
        head = file.read(1024)
    if head[257:262] == b"ustar":
        raise UserError(f"{path}: a tar; unpack it, and name the log or the folder")
    if inside := next((what for begin, what in MARKS.items() if kind.packing and head.startswith(begin)), ""):
        raise UserError(f"{path}: packed as {kind.packing}, and holds a {inside} file; unpack it once")
    marked = next((name for mark, name in BOMS if head.startswith(mark)), "")
    name = codecs.lookup(given).name if given else ""
    if marked:
        family = marked.removesuffix("-sig")
        if not name.startswith(family) and name:
            raise UserError(f"{path}: encoding={given}, but its byte-order mark says {family}; leave encoding out")
        return marked
    zeros = bytes(min(byte, 1) for byte in head[:4])
    found = _ZEROS.get(zeros, "") if zeros[:2] != b"\1\1" else ""
    binary = not found and _BINARY.search(head if _is_no_utf8(head) else head.partition(b"\n")[0])
    if binary:
        found = _wide(head)
    if name:
        return found if name in ("utf-16", "utf-32") and found.startswith(name) else name
    if binary and not found:
        raise UserError(
            f"{path}: its first line is no text (it begins with {head[:8]!r}), so it is of a format that is not read; "
            f"convert it to .{KNOWN}"
        )
    return found or "utf-8"


def _wide(head: bytes) -> str:
    """How text is written whose first letters are not ASCII ones: read otherwise, it holds what is no letter."""
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        with suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder(name)().decode(head)
            if "\n" in text and "".join(text.split()).isprintable():
                return name
    return ""


def _is_no_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return False
