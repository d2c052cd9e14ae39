"""Does each job in this process, one after the other: for debugging, and for plug-ins that live in a test.

In: jobs, and whether somebody debugs. Out: their events. Who debugs sees what a plug-in prints, may call
`breakpoint()` in it, and is put into the debugger where it fails.

A plug-in that hangs or kills its process takes the run with it; the local executor is for everything else.
"""

from __future__ import annotations

import bdb
import contextlib
import os
import pdb
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import replace

from ctrbench.endings import with_log
from ctrbench.errors import Skip, UserError
from ctrbench.executors import Event, Finished, Progress, WorkerSettings, thread_environment
from ctrbench.jobs import Job
from ctrbench.limits import Limits
from ctrbench.perform import Workspace, perform
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts
from ctrbench.text import one_line

_HERE = threading.RLock()
"""Where plug-ins print, draw and count threads is the whole process's: a run in another thread waits."""


class InlineExecutor:
    """One job at a time, here; what a job prints goes to its log."""

    slots = 1

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._waiting: deque[tuple[str, Job, Limits]] = deque()
        self._events: list[Event] = []
        with contextlib.ExitStack() as stack:  # left again where an import is interrupted
            stack.enter_context(_HERE)
            stack.enter_context(thread_environment(settings.threads))
            settings.import_all()
            self._cleanup = stack.pop_all()

    def submit(self, task: str, job: Job, limits: Limits) -> None:
        """Queue a job."""
        self._waiting.append((task, job, limits))

    def wait(self, seconds: float) -> list[Event]:
        """What happens in the next job, which is done now: its end is known before another one begins."""
        if self._waiting:
            self._do(*self._waiting.popleft())
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Set the environment back."""
        self._cleanup.close()

    def _do(self, task: str, job: Job, limits: Limits) -> None:
        """Do a job; of its limits a plug-in is told the time for the whole task, and nobody enforces any."""
        workspace = Workspace(
            Artefacts(self._settings.artefacts),
            self._settings.checkpoints,
            self._settings.budget,
            time.time() + limits.seconds if limits.seconds and not self._settings.debug else None,
            lambda step, total, values: self._events.append(Progress(task, step, total, values)),
        )
        if self._settings.debug:
            self._events.append(Finished(task, perform(job, replace(workspace, failed=_debug))))
            return
        try:
            log = self._settings.open_log(job, os.getpid())
            with (
                open(log, "w", encoding="utf-8") as out,
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
            ):
                result = perform(job, workspace)
            result = with_log(result, self._settings.close_log(job, os.getpid()))
        except OSError as error:  # the log's: no disk, or no right to it
            result = TaskResult(Status.FAILED, job.plugin.registered, Stage.KEEP, one_line(error))
        self._events.append(Finished(task, result))


def _debug(error: BaseException) -> None:
    """Show where a plug-in failed and, on a terminal, look around there; quitting the debugger ends the run."""
    if isinstance(error, Skip | UserError):
        return
    if isinstance(error, bdb.BdbQuit):  # from a `breakpoint()`
        raise KeyboardInterrupt
    traceback.print_exception(error)
    if sys.stdin.isatty():
        debugger = pdb.Pdb()
        debugger.reset()
        debugger.interaction(None, error.__traceback__)
        if debugger.quitting:
            raise KeyboardInterrupt
