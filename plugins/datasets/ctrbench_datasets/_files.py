"""What kind of file a log is in, and its bytes however they are compressed.

In: a file. Out: its format, a stream of its bytes; or a UserError that names the file and what is wrong with it.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ctrbench import UserError

FORMATS = {
    **dict.fromkeys(("csv", "txt", "tsv", "tab", "dat", "data"), "text"),
    **dict.fromkeys(("parquet", "pq"), "parquet"),
    **dict.fromkeys(("feather", "arrow"), "feather"),
    **dict.fromkeys(("jsonl", "ndjson", "json"), "jsonl"),
}
PACKINGS = {"gz": "gz", "gzip": "gz", "bz2": "bz2", "xz": "xz", "zip": "zip", "zst": "zst", "zstd": "zst"}
KNOWN = "csv, tsv, txt, dat, parquet, feather or jsonl, packed as gz, bz2, xz, zip or zst or not at all"

MARKS = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zst",
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"FEA1": "feather",  # version 1
    b"\xff\xff\xff\xff": "feather",  # a stream of Arrow
    **{bytes([sign]) + b"\x2a\x4d\x18": "zst" for sign in range(0x50, 0x60)},  # a frame to be skipped
}
"""How a file of each kind begins."""


def kind_by_name(path: Path) -> tuple[str | None, str | None]:
    """The format and the compression by the suffixes, in any case: LOG.TSV.GZ is text in gz."""
    suffixes = [suffix.lower().lstrip(".") for suffix in path.suffixes]
    packing = PACKINGS.get(suffixes[-1]) if suffixes else None
    inner = suffixes[:-1] if packing else suffixes
    return (FORMATS.get(inner[-1]) if inner else "text" if packing else None), packing


@dataclass(frozen=True)
class Kind:
    """What a file is: by its first bytes if they show it, otherwise by its name."""

    format: str  # text, parquet, feather or jsonl
    packing: str | None


def kind_of(path: Path) -> Kind:
    """What a file is; UserError where its name and its bytes disagree, as after a failed download."""
    by_name, packing = kind_by_name(path)
    with readable(path), open(path, "rb") as file:
        head = file.read(64)
    if not head:
        raise UserError(f"{path}: the file is empty; it needs a header and rows")
    mark = next((kind for begin, kind in MARKS.items() if head.startswith(begin)), None)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path}: a page of HTML or XML, not a log, whatever its name; download the file itself")
    expected = packing or (by_name if by_name in ("parquet", "feather") else None)
    if expected and mark != expected:
        raise UserError(
            f"{path}: not a {expected} file, though its name says so (it begins with {head[:8]!r}); fetch it again, or "
            "mend its name"
        )
    if mark in ("parquet", "feather"):
        return Kind(mark, None)
    if mark == "zip":
        with readable(path), zipfile.ZipFile(path) as archive:
            by_name = kind_by_name(Path(_only_member(path, archive)))[0] or by_name
    if by_name in ("parquet", "feather"):
        raise UserError(f"{path}: {by_name} files pack themselves and are not read out of a {mark} file; unpack it")
    return Kind(by_name or "text", mark)


@contextmanager
def open_bytes(path: Path, packing: str | None) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed as they are read."""
    with readable(path):
        if packing is None:
            with open(path, "rb", buffering=0) as file:
                yield io.BufferedReader(file, 1 << 20)
        elif packing == "zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
                yield member
        elif packing == "zst":
            import pyarrow as pa

            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
                yield stream
        elif packing == "gz":
            import gzip

            with gzip.open(path) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            import bz2
            import lzma

            with open(path, "rb") as file:
                yield io.BufferedReader(
                    _Streams(file, {"bz2": bz2.BZ2Decompressor, "xz": lzma.LZMADecompressor}[packing])
                )


class _Streams(io.RawIOBase):
    """Streams packed one after the other. What follows the first one is never skipped, as Python does with damage."""

    def __init__(self, packed: IO[bytes], unpacker: Callable[[], Any]) -> None:
        self._packed, self._unpacker, self._stream = packed, unpacker, unpacker()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            more = b""
            if self._stream.eof:
                more = self._stream.unused_data.lstrip(b"\0") or self._packed.read(1 << 20).lstrip(b"\0")  # padding
                if not more:
                    return 0
                self._stream = self._unpacker()
            elif self._stream.needs_input and not (more := self._packed.read(1 << 20)):
                raise EOFError("it ends before the end of its stream")
            data = self._stream.decompress(more, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    """The one file in an archive, apart from what a Mac adds."""
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/") and not Path(name).name.startswith(".")
    ]
    if "[Content_Types].xml" in names:
        raise UserError(f"{path}: an Excel workbook or another document of Office; save the sheet as CSV")
    if len(names) != 1:
        held = f"{len(names)} files ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else "no file"
        raise UserError(f"{path}: the archive holds {held}; pack one log in an archive, or unpack it")
    return names[0]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever any of the reading libraries raises about a file into one line that names the file."""
    import lzma

    import pyarrow as pa

    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or cut off, it cannot be unpacked ({why}); fetch it again") from None
    except (pa.ArrowException, NotImplementedError, RuntimeError, ValueError) as error:  # Arrow's are some of these
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable log ({why}); mend or convert it") from None
    except OSError as error:
        why = " ".join(str(error.strerror or error).split())
        raise UserError(f"{path}: cannot be read ({why}); check the path, its rights and that it is whole") from None
    except MemoryError:
        raise UserError(
            f"{path}: needs more memory than there is; name fewer columns with keep or split the file"
        ) from None
