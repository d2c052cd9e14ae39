"""What the death of a process means that did a task: a bug, too little memory, or somebody from outside.

In: its exit status, and what was known of it. Out: a `TaskResult`, which says whether the method is to blame.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import psutil

from ctrbench.results import KILLED_FROM_OUTSIDE, Status, TaskResult
from ctrbench.text import how_it_ended

_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)  # exit statuses that no bug has


def death(who: str, status: int | None, kills: int, memory: int = 0) -> TaskResult:
    """What a death means: the kernel kills by the same signal as anybody, but it counts its kills.

    `kills` is what `kernel_kills` told before the task, `memory` the bytes that were in use when last seen.
    """
    how = how_it_ended(status)
    if status == -signal.SIGBUS:  # of a mapped file, and no method's doing: who tries again verifies it first
        how += ": a mapped artefact was cut short, or its disk failed; `ctrbench store check` finds it"
        return TaskResult(Status.CRASHED, reason=f"the {who} died ({how})", bookkeeping=KILLED_FROM_OUTSIDE)
    if status not in _FROM_OUTSIDE:
        return TaskResult(Status.CRASHED, reason=f"the {who} died ({how})")
    used = f"; it used {gigabytes(memory)} when last seen" if memory else ""
    if status == -signal.SIGKILL and kernel_kills() > kills:
        total = gigabytes(psutil.virtual_memory().total)
        reason = f"killed by SIGKILL while the kernel ran out of memory (this machine has {total}){used}"
        return TaskResult(Status.OUT_OF_MEMORY, reason=f"{reason}: try fewer workers, or set a limit of memory")
    reason = f"the {who} died ({how}, not by ctrbench: by hand, or by a memory limit from outside){used}"
    return TaskResult(Status.CRASHED, reason=reason, bookkeeping=KILLED_FROM_OUTSIDE)


def kernel_kills() -> int:
    """How often the kernel has killed for want of memory since the machine started; 0 where it is not told."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def gigabytes(size: float) -> str:
    """A size in words."""
    return f"{size / 1e9:.2f} GB"
