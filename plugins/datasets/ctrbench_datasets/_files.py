"""Which files hold a log, their bytes however they are compressed, and their checksums.

In: what a user named: a file, a folder, a pattern or several. Out: the files in a fixed order, with the splits that
their names indicate, and streams of their bytes; or a UserError that names the file and what is wrong with it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from glob import glob
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from ctrbench import Missing, UserError

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}

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
}
"""How a file of each kind begins."""


@dataclass(frozen=True)
class Sources:
    """The files of a log, in the order in which rows are read; valid or test are empty where none is given."""

    train: tuple[Path, ...]
    valid: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    notes: tuple[Any, ...] = ()  # of str; Any, so that a dict of splits may be unpacked into the others

    @property
    def all(self) -> tuple[Path, ...]:
        """All files."""
        return self.train + self.valid + self.test


def find_sources(path: str | Sequence[str], valid: str = "", test: str = "") -> Sources | Missing:
    """The files that were named; those of a folder by name, as splits where they are called train, valid and test.

    A pattern with * ? [ counts as one only where no file has exactly that name. Files come in the order of their names,
    those of several paths in the order given. What is left out of a folder is noted.
    """
    given = {split: at for split, at in (("valid", valid), ("test", test)) if at}
    remarks = _Remarks()
    try:
        named = [path] if isinstance(path, str) else list(path)
        if len(named) == 1 and os.path.isdir(folder := _expanded(named[0])):
            splits = _splits_in(folder, named[0], remarks)
            if splits:
                splits |= {split: tuple(_files_of(at, split, remarks)) for split, at in given.items()}
                return remarks.noted(Sources(**splits))
        found = [file for each in named for file in _files_of(each, "path", remarks)]
        parts = {split: tuple(_files_of(at, split, remarks)) for split, at in given.items()}
        sources = remarks.noted(Sources(tuple(found), **parts))
        if twice := [file for file, times in Counter(sources.all).items() if times > 1]:
            raise _Unusable(f"{min(twice)} is named twice; name it once")
        return sources
    except _Unusable as error:
        return Missing(str(error))


@dataclass
class _Remarks:
    """What is to be noted of the folders, and what else may hold rows in each."""

    told: list[str] = field(default_factory=list)
    others: dict[Path, list[Path]] = field(default_factory=dict)

    def noted(self, sources: Sources) -> Sources:
        """The sources with notes; what has been named besides its folder is read, and not left out."""
        notes = list(self.told)
        for folder, others in self.others.items():
            if left_out := [each for each in others if each not in sources.all]:
                shown = _shown(left_out, folder)
                notes.append(
                    f"left out of the folder {folder.absolute().name}, by name: {shown}; name what is a log in path="
                )
        return replace(sources, notes=tuple(notes))


class _Unusable(Exception):
    """What is wrong with what the user named."""


def _not_there(parameter: str, text: str) -> _Unusable:
    fix = "name a file or folder that is"
    if "://" in text:
        fix = "addresses are not read: download the file, and name it by its path"
    elif "$" in text:
        fix = "$ stands for itself here: write the path out"
    return _Unusable(f"{parameter}={text} is not there or may not be read; {fix}")


def _expanded(path: str) -> Path:
    if not path:
        raise _Unusable("the path is empty; name a file or folder")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # the home folder of a user who does not exist
        raise _not_there("path", path) from None


def _files_of(text: str, parameter: str, remarks: _Remarks) -> list[Path]:
    path = _expanded(text)
    try:
        if os.path.isfile(path):
            return [path]
        if os.path.isdir(path):
            files, others = _logs_below(path)
            if not files:
                raise _Unusable(f"the folder {parameter}={text} holds no readable log; logs end with .{KNOWN}")
            remarks.others[path] = others
            return files
        matches = sorted(map(Path, glob(str(path), recursive=True))) if re.search(r"[*?\[]", str(path)) else []
    except ValueError:  # a NUL in the path
        matches = []
    files = []
    for match in matches:
        below, others = ([match], []) if match.is_file() else _logs_below(match)
        files += below
        remarks.others[match] = others
    if not files:
        raise _not_there(parameter, text)
    return files


def _logs_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The logs in a folder and its sub-folders, such as one per day, by name; and what else there may hold rows."""
    logs, others = [], []
    for at, folders, files in os.walk(folder):
        here = Path(at)
        for name in files:
            if _known(name) and not name.startswith((".", "_")) and not _is_about(name):
                logs.append(here / name)
            elif _may_hold_rows(name):
                others.append(here / name)
        below = [here / name for name in folders if not name.startswith(".")]
        apart = [each for each in below if each.name.startswith("_") or each.is_symlink()]  # links may form a circle
        others += [each for each in apart if each.is_symlink() or _logs_below(each)[0]]
        folders[:] = [each.name for each in below if each not in apart]
    return sorted(logs), sorted(others)


def _known(name: str) -> bool:
    return kind_by_name(Path(name))[0] is not None


_ABOUT = re.compile(
    r"(readme|licen[cs]e|copying|notice|citation|authors|changelog|checksums?|\w*(md5|sha\d+)sums?)(?![a-z])"
    r"|.*\.(crc|md5|sha\d+|sig|asc|md|rst|html?|pdf)$",
    re.IGNORECASE,
)


def _is_about(name: str) -> bool:
    """Whether a file is a text about the data, or a checksum."""
    return bool(_ABOUT.match(name)) and (not _known(name) or name.lower().endswith(".txt"))


def _may_hold_rows(name: str) -> bool:
    hidden = name.startswith(".") or (name.startswith("_") and not _known(name))  # such as _SUCCESS
    return not hidden and not _is_about(name)


def _shown(files: Sequence[Path], folder: Path) -> str:
    more = f" and {len(files) - 5:,} more" if len(files) > 5 else ""
    return ", ".join(str(file.relative_to(folder)) for file in files[:5]) + more


def _splits_in(folder: Path, text: str, remarks: _Remarks) -> dict[str, tuple[Path, ...]]:
    """The files of each split, by name; empty where no names are those of splits: the files are then one log."""
    here: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for entry in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(entry.name.lower().split(".")[0])
        if (split and entry.is_dir()) or (split and entry.is_file() and _known(entry.name)):
            here[split].append(entry)
    logs, others = _logs_below(folder)
    if not (here["train"] and here["test"]) and (parts := _parts_in(folder, logs, text, remarks)):
        remarks.others[folder] = others
        return parts
    if not any(here.values()):
        return {}
    for split, entries in here.items():
        if len(entries) > 1:
            raise _Unusable(
                f"the folder path={text} has both {entries[0].name} and {entries[1].name}; it needs one file a split"
            )
        if not entries and split != "valid":
            raise _Unusable(
                f"the folder path={text} has no readable {split} file beside those of other splits; it needs one "
                f"file a split (valid may be left out), which ends with .{KNOWN}"
            )
    found = {}
    for split, (entry,) in ((split, entries) for split, entries in here.items() if entries):
        found[split], within = _logs_below(entry) if entry.is_dir() else ([entry], [])
        if not found[split]:
            raise _Unusable(f"in the folder path={text}, {entry.name} holds no readable log; logs end with .{KNOWN}")
        others += within
    read = {*chain(*found.values()), *chain(*here.values())}
    remarks.others[folder] = sorted({*logs, *others} - read)
    return {split: tuple(files) for split, files in found.items()}


_PART = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?![^\W\d_])", re.IGNORECASE)
"""How the name of a part of a split begins, as in train-00000-of-00002.parquet, test_x1.csv or valid2.csv."""


def _parts_in(folder: Path, logs: Sequence[Path], text: str, remarks: _Remarks) -> dict[str, tuple[Path, ...]]:
    """The logs by split, where all, or folders that they are in, are called like parts of train, test and valid."""
    found: dict[str, list[Path]] = {}
    for log in logs:
        begin = next(filter(None, map(_PART.match, log.relative_to(folder).parts)), None)
        found.setdefault(SPLIT_NAMES[begin[1].lower()] if begin else "", []).append(log)
    if not {"train", "test"} <= set(found):
        return {}
    if "" in found:
        remarks.told.append(
            f"{found['train'][0].name} and {found['test'][0].name} are called like splits, but {found[''][0].name} is "
            "not, so that all are one log; to keep them apart, name them in path=, valid= and test="
        )
        return {}
    bare: dict[Path, Path] = {}
    for log in logs:
        if (other := bare.setdefault(_without_suffixes(log), log)) != log:
            raise _Unusable(f"the folder path={text} has both {other.name} and {log.name}; it needs one of them")
    told = "; ".join(f"{split} is {_shown(found[split], folder)}" for split in SPLITS if split in found)
    remarks.told.append(f"the folder {folder.absolute().name} is split by the names of its files: {told}")
    return {split: tuple(files) for split, files in found.items()}


def _without_suffixes(path: Path) -> Path:
    while path.suffix.lower().lstrip(".") in {*FORMATS, *PACKINGS}:
        path = path.with_suffix("")
    return path


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


def checksum(path: Path, algorithm: str) -> str:
    """The file's md5, sha256, … in hexadecimal; read again only if the file has changed."""
    with readable(path):
        found = os.stat(path)
        return _checksum(path, algorithm, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1024)
def _checksum(path: Path, algorithm: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


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
