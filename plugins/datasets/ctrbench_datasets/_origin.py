"""Where a public log comes from, and where it lies on this machine.

In: its files with their published sums, the hosts that have them, its licence, and the folder that a user named, if
any. Out: the folder with all files in it, downloaded only where nobody named a folder; and the notes that belong to
them.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from ctrbench import Dataset, Missing, Ready, UserError, file_digest

from ctrbench_datasets._fetch import Host, Progress, Sums, fetch


@dataclass(frozen=True)
class Origin:
    """A public log as its owner publishes it: `files` and `archives` are names and sums, `folder` its usual name."""

    name: str  # the plug-in's
    folder: str
    files: Sums
    hosts: tuple[Host, ...]
    licence: str
    archives: Sums = field(default_factory=dict)
    size: str = ""  # of the download

    def availability(self, path: str) -> Ready | Missing:
        """Ready where all files are present; a folder that was named is never filled by a download."""
        absent = self._absent(self.place(path))
        if not absent:
            return Ready()
        if path:
            return Missing(f"path={path} has no readable {absent[0]}; name the folder of {', '.join(self.files)}")
        size = f" ({self.size})" if self.size else ""
        return Missing(
            f"not on this machine{size}: named with -d it is downloaded; or give {self.name}[path=FOLDER] or set "
            "CTRBENCH_DATA",
            download=True,
        )

    def version(self, path: str) -> str:
        """The sums of the files; before a download, the published ones that it will require."""
        folder = self.place(path)
        if self._absent(folder):
            return " ".join(filter(None, (*self.files.values(), *self.archives.values())))
        return " ".join(_sum(folder / name, published) for name, published in self.files.items())

    def bring(self, path: str, progress: Progress) -> Path:
        """The folder with all files in it, downloaded where none was named; UserError where they cannot be had."""
        available, folder = self.availability(path), self.place(path)
        if isinstance(available, Missing):
            if not available.download:
                raise UserError(f"{self.name}: {available.reason}")
            fetch(folder, self.files, self.hosts, progress, archives=self.archives)
        return folder

    def notes(self, folder: Path) -> list[str]:
        """The licence, and which files differ from the published ones."""
        sums = {
            name: (_sum(folder / name, published), published) for name, published in self.files.items() if published
        }
        kind = {32: "md5", 64: "SHA-256"}
        return [
            self.licence,
            *(
                f"{name} has the {kind[len(published)]} sum {found}, the published one {published}"
                for name, (found, published) in sums.items()
                if found != published
            ),
        ]

    def place(self, path: str) -> Path:
        """Where the files are, or where a download would put them."""
        if path:
            return Path(path).expanduser()
        parent = os.environ.get("CTRBENCH_DATA")
        if parent and not self._absent(Path(parent, self.folder)):
            return Path(parent, self.folder)
        import pooch

        return Path(pooch.os_cache("ctrbench"), self.folder)

    def _absent(self, folder: Path) -> list[str]:
        return [name for name in self.files if not os.path.isfile(folder / name)]


class PublicLog(Dataset):
    """A data set whose files have an origin."""

    path: str

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Where it comes from, with these parameters."""

    def availability(self) -> Ready | Missing:
        """Ready where all files are present; a folder that was named is never filled by a download."""
        return self.origin.availability(self.path)

    def version(self) -> str:
        """The sums of the files; before a download, the published ones that it will require."""
        return self.origin.version(self.path)


def _sum(file: Path, published: str) -> str:
    return file_digest(file, "md5" if len(published) == 32 else "sha256")
