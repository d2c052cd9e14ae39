"""The machine and the versions behind a result, recorded beside it."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "ctrbench", "numpy", "pandas", "torch", "scikit-learn",
    "imbalanced-learn", "sdv", "ctgan", "copulas", "rdt", "fuxictr",
)  # fmt: skip


def describe(device: str, threads: int) -> dict[str, Any]:
    """What may make two results of one key differ: versions, CPU, device, threads, git commit."""
    return {
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "device": device,
        "threads": threads,
        "platform": platform.platform(),
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12],
        "git": _git_commit(),
    }


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


def _git_commit() -> str:
    """The commit of the source tree that runs, `+` where it has changes; empty for an installed wheel."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip()
