"""The machine and the versions behind a result, recorded beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from ctrbench import gpu, installed
from ctrbench.results import Environment

_LARGEST = 2**24  # bytes of a file of git's that are read

LIBRARIES = (
    "ctrbench", "numpy", "pandas", "torch", "scikit-learn", "scipy", "pyarrow",
    "imbalanced-learn", "sdv", "ctgan", "copulas", "rdt", "fuxictr",
)  # fmt: skip


def describe(
    device: str, threads: int, distributions: Mapping[str, str], elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Environment:
    """What may make two results of one key differ: versions, CPU, device, threads, git commits.

    `distributions` are those that bring plug-ins, with their versions; what they require is listed too. `elsewhere` are
    the versions of other interpreters and their libraries.
    """
    return Environment(
        python=platform.python_version(),
        plugins=dict(distributions),
        libraries={**libraries(distributions), **elsewhere},
        cpu=_cpu(),
        cores=os.cpu_count(),
        device=device,
        gpu=gpu.describe(device),
        threads=threads,
        platform=platform.platform(),
        host=host(),
        git=_git_commit(Path(__file__).parent),
        working_directory=_git_commit(None),
    )


def libraries(distributions: Iterable[str] = ()) -> dict[str, str]:
    """The versions of what results may depend on, so far as it is installed: libraries, and what plug-ins require."""
    return installed.versions([*LIBRARIES, *_required(distributions)])


def host() -> str:
    """A digest of this machine's name: tells machines apart, names none."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def _required(distributions: Iterable[str]) -> list[str]:
    """The names of what third parties' distributions require."""
    found = dict.fromkeys(name for each in distributions if each != "ctrbench" for name in installed.needs(each))
    return [name for name in found if name not in LIBRARIES]


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _git_commit(folder: Path | None) -> str:
    """The commit of the tree that a folder, or the working directory, belongs to; empty where there is none.

    Read from git's own files: git itself may run whatever the tree's configuration names (filters, monitors), so it is
    not asked, and nobody can tell whether the tree has changes.
    """
    try:
        folder = folder or Path.cwd()  # which may be gone
        top = next(each for each in (folder, *folder.parents) if (each / ".git").exists())
        own = top / ".git"
        if own.is_file():  # of a work tree or a submodule
            own = top / _read(own).removeprefix("gitdir:").strip()
        common = own / _read(own / "commondir") if (own / "commondir").is_file() else own
        head = _read(own / "HEAD")
        for _ in range(5):  # a name may stand for another one
            if not head.startswith("ref:"):
                break
            head = _resolve(head.removeprefix("ref:").strip(), own, common)
    except (OSError, ValueError, StopIteration):
        return ""
    return head[:12] if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", head) else ""


def _resolve(name: str, own: Path, common: Path) -> str:
    """What a reference of a repository holds; empty where it has none of that name."""
    if not re.fullmatch(r"refs/[\w./+@-]+", name) or ".." in name:
        return ""
    for place in (own, common):
        if (place / name).is_file():
            return _read(place / name)
    packed = _read(common / "packed-refs").splitlines()
    return next((line.split()[0] for line in packed if line.split()[1:] == [name]), "")


def _read(path: Path) -> str:
    """The text of one of git's small files; a pipe or a device in its place is not opened."""
    if not path.is_file():
        raise FileNotFoundError(path)
    with open(path, "rb") as file:
        return file.read(_LARGEST).decode("utf-8", "replace").strip()
