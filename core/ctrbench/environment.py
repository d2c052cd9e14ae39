"""The machine and the versions behind a result, recorded beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from ctrbench import gpu
from ctrbench.results import Environment

LIBRARIES = (
    "ctrbench", "numpy", "pandas", "torch", "scikit-learn", "scipy", "pyarrow",
    "imbalanced-learn", "sdv", "ctgan", "copulas", "rdt", "fuxictr",
)  # fmt: skip


def describe(device: str, threads: int, distributions: Mapping[str, str]) -> Environment:
    """What may make two results of one key differ: versions, CPU, device, threads, git commits.

    `distributions` are those that bring plug-ins, with their versions; what they require is listed too.
    """
    return Environment(
        python=platform.python_version(),
        plugins=dict(distributions),
        libraries=libraries(_required(distributions)),
        cpu=_cpu(),
        cores=os.cpu_count(),
        device=device,
        gpu=gpu.describe(device),
        threads=threads,
        platform=platform.platform(),
        host=host(),
        git=_git_commit(Path(__file__).parent),
        working_directory=_git_commit(Path.cwd()),
    )


def libraries(more: Iterable[str] = ()) -> dict[str, str]:
    """The versions of the libraries on which results may depend, and of more, so far as they are installed."""
    return {name: found for name in [*LIBRARIES, *more] if (found := _version(name))}


def host() -> str:
    """A digest of this machine's name: tells machines apart, names none."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def _required(distributions: Iterable[str]) -> list[str]:
    """The names of what third parties' distributions require."""
    found: dict[str, None] = {}
    for name in distributions:
        if name != "ctrbench":
            try:
                needs = requires(name) or []
            except PackageNotFoundError:
                continue
            found |= dict.fromkeys(match[0] for need in needs if (match := re.match(r"[\w.-]+", need)))
    return [name for name in found if name not in LIBRARIES]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _git_commit(folder: Path) -> str:
    """The commit of the tree that a folder belongs to, `+` where it has changes; empty where there is none."""
    try:
        commit = subprocess.run(
            # a file-system monitor is a program that the tree's own configuration names
            ["git", "-c", "core.fsmonitor=false", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=5, check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip()
