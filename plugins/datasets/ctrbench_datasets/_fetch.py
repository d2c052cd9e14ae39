"""Fetches the files of a published data set.

In: a folder, the files' names and published md5 sums, and the hosts that have them. Out: the files in the folder, each
whole and checked; or none of them, and a UserError that names every host and why it failed.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from ctrbench import UserError

Progress = Callable[[int, int | None, Mapping[str, float]], None]

Host = Sequence[str]
"""What to fetch from one host: the address of a zip archive, or of each file."""


def fetch(folder: Path, md5: Mapping[str, str], hosts: Sequence[Host], progress: Progress) -> None:
    """Put the files named in `md5` into the folder, from the first host whose files have these sums."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror or error}); check its rights") from None
    failures = []
    for addresses in hosts:
        # Everything happens in a folder that goes away, whatever ends this; whole files are then moved at once.
        with TemporaryDirectory(prefix=".fetching-", dir=folder) as place:
            failure = _try(addresses, Path(place), md5, progress)
            if failure is None:
                for name in md5:
                    os.replace(Path(place, name), folder / name)
                return
        failures.append(f"{urlsplit(addresses[0]).netloc}: {failure}")
    raise UserError(
        f"cannot download {', '.join(md5)} ({'; '.join(failures)}); "
        f"try again later, or put the files into {folder} by hand"
    )


def _try(addresses: Host, place: Path, md5: Mapping[str, str], progress: Progress) -> str | None:
    """Fetch and check one host's files; why that failed, in one line, or None."""
    import pooch
    from requests import RequestException

    try:
        for address in addresses:
            target = place / PurePosixPath(urlsplit(address).path).name
            pooch.HTTPDownloader(progressbar=_Bar(progress), chunk_size=1 << 16)(address, str(target), None)
            if target.suffix == ".zip":
                _unpack(target, place, md5)
        for name, published in md5.items():
            found = pooch.file_hash(str(place / name), alg="md5")
            if found != published:
                return f"its {name} has the md5 sum {found} instead of {published}"
    except (RequestException, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as error:
        # RuntimeError: an archive that wants a password, or was packed in an unknown way
        return " ".join(f"{type(error).__name__} {error}".split())
    return None


def _unpack(archive: Path, place: Path, names: Mapping[str, str]) -> None:
    """Copy the wanted files out of an archive, wherever they stand in it; a member's own path is never used."""
    with zipfile.ZipFile(archive) as members:
        for member in members.namelist():
            name = PurePosixPath(member).name
            if name in names:
                with members.open(member) as source, open(place / name, "wb") as target:
                    shutil.copyfileobj(source, target)


class _Bar:
    """What pooch takes for a progress bar, passing bytes on to the task's progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0
        self.total = 0

    def update(self, amount: int) -> None:
        self._done += amount
        total = max(self.total, 0)
        self._progress(min(self._done, total) if total else self._done, total or None, {})

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is held open."""
