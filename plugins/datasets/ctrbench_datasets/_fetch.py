"""Fetches the files of a published data set.

In: a folder, the wanted files with their published checksums, and the hosts that have them. Out: the files in the
folder, each complete and checked; or none of them, and a UserError that names every host and why it failed. What a
broken connection or an interrupt leaves behind is kept in FOLDER/.fetching, and the next call continues from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO
from urllib.parse import urlsplit

from ctrbench import UserError

Progress = Callable[[int, int | None, Mapping[str, float]], None]

Host = Sequence[str]
"""What to fetch from one host: the addresses of archives (zip, tar), or of the files themselves."""

Sums = Mapping[str, str]
"""File name → its md5 or SHA-256 in hexadecimal, told apart by their lengths; "" where nobody publishes one."""

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_ALGORITHMS = {32: "md5", 64: "sha256"}
_CHUNK = 1 << 16  # bytes
_WAIT = 60  # seconds without a byte, after which a connection counts as broken
_NONE: Sums = MappingProxyType({})


def fetch(folder: Path, sums: Sums, hosts: Sequence[Host], progress: Progress, *, archives: Sums = _NONE) -> None:
    """Put the files named in `sums` into the folder, from the first host whose files have these sums.

    An address, or a member of an archive, stands for the wanted name that its path ends with: "u.data", or
    "bts/all.csv" where two files differ only in their folder. `archives` has the published sums of archives by name.
    """
    place = folder / ".fetching"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror or error}); check its rights") from None
    with _alone(place):
        if not place.exists():  # the process that we waited for has fetched the files
            return
        failures: dict[str, None] = {}  # a host may be named twice, with the same reason
        try:
            for addresses in hosts:
                failure = _try(addresses, place, folder, sums, archives, progress)
                if failure is None:
                    shutil.rmtree(place)
                    return
                failures[f"{urlsplit(addresses[0]).netloc}: {failure}"] = None
            kept = _is_worth_keeping(place)
        finally:
            if not _is_worth_keeping(place):
                shutil.rmtree(place, ignore_errors=True)
    raise UserError(
        f"cannot download {', '.join(sums)} ({'; '.join(failures)}); "
        f"{'the same command goes on from what has come' if kept else 'try again later'}, "
        f"or put the files into {folder} by hand"
    )


def _is_worth_keeping(place: Path) -> bool:
    """Whether the next call can continue from what is there."""
    return any(part.with_suffix(".mark").exists() for part in [*place.glob("*.part"), *place.glob("*.whole")])


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One process at a time: a second one waits, and finds the files of the first."""
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _try(addresses: Host, place: Path, folder: Path, sums: Sums, archives: Sums, progress: Progress) -> str | None:
    """Fetch, check and move into place one host's files; None, or in one line why that failed."""
    from requests import RequestException

    unpacked = place / "unpacked"
    try:
        found: dict[str, Path] = {}
        for address in addresses:
            whole, path = _download(address, place, progress), PurePosixPath(urlsplit(address).path)
            if path.name.endswith(_ARCHIVES):
                _check(whole, path.name, archives.get(path.name, ""))
                found |= _unpack(whole, path.suffix == ".zip", sums, unpacked)
            elif name := _wanted(path, sums):
                found[name] = whole
        for name, published in sums.items():
            if name not in found:
                raise _Unfit(f"it has no {name}")
            _check(found[name], name, published)
        for name, file in found.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, folder / name)
    except RequestException as error:
        return _one_line(error)
    except (_Unfit, zipfile.BadZipFile, tarfile.TarError, zlib.error, RuntimeError, EOFError, OSError) as error:
        # RuntimeError: an archive that needs a password, or an unknown compression
        for whole in place.glob("*.whole"):
            whole.unlink()
        return str(error) if isinstance(error, _Unfit) else _one_line(error)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return None


class _Unfit(Exception):
    """What a host sent is not what was published."""


def _one_line(error: BaseException) -> str:
    """What an error comes from in the end: requests and urllib3 wrap it three times, and quote addresses each time."""
    while error.__context__ is not None:
        error = error.__context__
    said = (isinstance(error, OSError) and error.strerror) or error
    return " ".join(f"{type(error).__name__} {said}".split())


def _wanted(path: PurePosixPath, sums: Sums) -> str | None:
    """The wanted name that a path ends with."""
    return next(
        (name for name in sums if path.parts[-len(PurePosixPath(name).parts) :] == PurePosixPath(name).parts), None
    )


def _check(file: Path, name: str, published: str) -> None:
    if published:
        algorithm = _ALGORITHMS[len(published)]
        with open(file, "rb") as opened:
            found = hashlib.file_digest(opened, algorithm).hexdigest()
        if found != published:
            raise _Unfit(f"its {name} has the {algorithm} sum {found} instead of {published}")


def _download(address: str, place: Path, progress: Progress) -> Path:
    """The whole file behind an address, retried as long as each try gets further than the one before."""
    from requests import RequestException

    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    whole, part = place / f"{key}.whole", place / f"{key}.part"
    furthest = 0
    while not whole.exists():
        try:
            _receive(address, part, progress)
            os.replace(part, whole)
        except RequestException:
            size = part.stat().st_size if part.exists() else 0
            if size <= furthest:
                raise
            furthest = size
    return whole


def _receive(address: str, part: Path, progress: Progress) -> None:
    """Append to `part` what is missing, if the host still has the same file and can send a part of it."""
    import requests

    mark = part.with_suffix(".mark")  # the host's name for this state of the file, needed to resume
    size = part.stat().st_size if part.exists() and mark.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # so that the length counts bytes of the file
    if size:
        headers |= {"Range": f"bytes={size}-", "If-Range": mark.read_text()}
    with requests.get(address, headers=headers, stream=True, timeout=_WAIT) as answer:
        if size and answer.status_code == 416:  # nothing is missing
            return
        answer.raise_for_status()
        if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
            size = 0
        state = answer.headers.get("ETag", "")
        state = state if state and not state.startswith("W/") else answer.headers.get("Last-Modified", "")
        mark.write_text(state) if state else mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = size + int(length) if length else None
        _expect_room(part.parent, int(length or 0))
        with open(part, "ab" if size else "wb") as file:
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                size += len(chunk)
                progress(size, total, {})


def _unpack(archive: Path, is_zip: bool, sums: Sums, target: Path) -> dict[str, Path]:
    """Copy the wanted files out of an archive; a member's own path only names it, and links are not followed."""
    found = {}
    for name, size, source in _members(archive, is_zip, sums):
        _expect_room(archive.parent, size)
        found[name] = target / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        with open(found[name], "wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK)
    return found


def _members(archive: Path, is_zip: bool, sums: Sums) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of each wanted file in an archive."""
    if is_zip:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                name = _wanted(PurePosixPath(info.filename), sums)
                if name and not stat.S_ISLNK(info.external_attr >> 16):
                    with opened.open(info) as source:
                        yield name, info.file_size, source
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = _wanted(PurePosixPath(member.name), sums)
                content = tar.extractfile(member) if name and member.isreg() else None
                if name and content:
                    yield name, member.size, content


def _expect_room(place: Path, size: int) -> None:
    free = shutil.disk_usage(place).free
    if size > free:
        raise _Unfit(f"it takes {size / 1e9:.1f} GB more, and {free / 1e9:.1f} GB are free")
