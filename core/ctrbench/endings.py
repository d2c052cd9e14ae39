"""What it means that a task did not end well: a bug, too little memory, an edited source, or somebody from outside.

In: what a task raised, or the exit status of the process that did it and what was known of it. Out: a `TaskResult`,
which says whether the method is to blame.
"""

from __future__ import annotations

import errno
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import psutil

from ctrbench.contract import ContractError
from ctrbench.errors import Skip, UserError
from ctrbench.results import KILLED_FROM_OUTSIDE, Bookkeeping, Stage, Status, TaskResult
from ctrbench.store.artefacts import LostArtefactError
from ctrbench.text import how_it_ended, in_bytes, is_a, message, one_line, trace

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.ENFILE)
"""Errors of the system that are no method's doing."""

_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)  # exit statuses that no bug has


class EditedError(UserError):
    """What a job is made of was edited: its failure says nothing of what the job's key stands for."""


def failure(error: BaseException, stage: Stage | None) -> TaskResult:
    """What a task raised means, and in which stage."""
    status, said = Status.FAILED, message(error)
    if is_a(error, Skip):
        status = Status.SKIPPED
    elif is_a(error, TimeoutError):
        status = Status.TIMED_OUT
    elif is_a(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said:
        status = Status.OUT_OF_MEMORY
    plain = bool(said) and is_a(error, Skip, UserError, ContractError)  # without a word, its class and line tell more
    return TaskResult(
        status,
        stage=Stage.READ if is_a(error, LostArtefactError) else stage,
        reason=said if plain else one_line(error),
        traceback="" if plain else trace(error),
        bookkeeping=Bookkeeping(edited=is_a(error, EditedError), no_room=_tells_of_no_room(error)),
        users_mistake=plain and is_a(error, UserError),
    )


def _tells_of_no_room(error: BaseException) -> bool:
    with suppress(Exception):  # its `errno` may be anything that its author made
        return is_a(error, OSError) and cast(OSError, error).errno in _NO_ROOM
    return False


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
    used = f"; it used {in_bytes(memory)} when last seen" if memory else ""
    if status == -signal.SIGKILL and kernel_kills() > kills:
        total = in_bytes(psutil.virtual_memory().total)
        reason = f"killed by SIGKILL while the kernel ran out of memory (this machine has {total}){used}"
        return TaskResult(Status.OUT_OF_MEMORY, reason=f"{reason}: try fewer workers, or set a limit of memory")
    reason = f"the {who} died ({how}, not by ctrbench: by hand, or by a memory limit from outside){used}"
    return TaskResult(Status.CRASHED, reason=reason, bookkeeping=KILLED_FROM_OUTSIDE)


def with_log(result: TaskResult, log: Path | None) -> TaskResult:
    """The same, with the place of what its task printed where that may be all that tells why it crashed."""
    if log is None or result.status is not Status.CRASHED:
        return result
    return replace(result, reason=f"{result.reason}; what it printed is in {log}")


def kernel_kills() -> int:
    """How often the kernel has killed for want of memory since the machine started; 0 where it is not told."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
