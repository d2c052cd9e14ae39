"""The life of a worker process: it sets itself up once, then does jobs, each with its own log.

In: jobs, over a line that is this worker's own, so that no death can hurt another one. Out: over the same line, what
it is at and what came of it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from ctrbench import _guard, _state, resources
from ctrbench.endings import with_log
from ctrbench.executors import WorkerSettings
from ctrbench.executors._processes import SAFE_PATH
from ctrbench.jobs import Job
from ctrbench.perform import Workspace, perform
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts
from ctrbench.text import one_line

_REPORT_EVERY = 0.5  # seconds


def serve(line: Connection, driver: int, settings: WorkerSettings) -> None:
    """Do jobs until the driver closes the line."""
    number = settle_in(driver)
    print_to(Path(os.devnull))
    resources.keep_freed_memory()
    resources.let_arrow_free_memory()
    settings.import_all()
    reports = _Reports(line)
    watch = _state.Watch()
    reports.send("ready")
    while True:
        try:
            job, seconds = line.recv()
        except (EOFError, ConnectionError):
            return
        result = _do(job, seconds, settings, reports, number)
        reports.send("done", result, watch.changes(patches=job.plugin.foreign))


def settle_in(driver: int) -> int:
    """Make this process one that can be killed with all it starts, and that dies with its driver.

    It leads a group, or its keeper does; what its descendants leave behind becomes its own child, so that nothing
    leaves its family; of all processes it is the one to go when memory runs out; Ctrl-C is the driver's business.
    Returns the number by which the driver knows it: its own, or its keeper's.
    """
    number = os.getpid()
    os.setsid()  # a group of its own, and no terminal that it could change
    if os.environ.get(SAFE_PATH[0]) == SAFE_PATH[1]:
        del os.environ[SAFE_PATH[0]]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # it was held while this process started
    if os.getppid() != driver:  # it died before it could be heard
        os._exit(1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_guard.PR_SET_CHILD_SUBREAPER, 1)
        if worker := os.fork():
            _become_keeper(driver, worker)
        ctypes.CDLL(None).prctl(_guard.PR_SET_PDEATHSIG, signal.SIGKILL)
        ctypes.CDLL(None).prctl(_guard.PR_SET_CHILD_SUBREAPER, 1)  # which is not inherited
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")
        if os.getppid() != number:
            os._exit(1)
    faulthandler.enable()
    return number


def _become_keeper(driver: int, worker: int) -> NoReturn:
    """Be the process that ends all below it, in a few megabytes, and hold nothing open that others wait for."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in range(3):
        os.dup2(nothing, file)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    program = os.fspath(Path(_guard.__file__))
    os.execv(sys.executable, [sys.executable, "-I", "-S", program, str(driver), str(worker)])


def print_to(path: Path) -> None:
    """Send all that this process and its children print to the end of a file."""
    _state.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


class _Reports:
    """What the driver hears of: from any thread of this process, and from no process that it forked."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._last = 0.0

    def send(self, what: str, *about: Any) -> None:
        """Say something; where the driver is gone, so is this process."""
        if os.getpid() != self._process:
            return
        with self._lock:
            try:
                self._line.send((what, *about))
            except OSError:
                os._exit(1)

    def begin(self) -> None:
        """Say that a task begins, from which its time counts; its first progress is reported at once."""
        self._last = 0.0
        self.send("begun")

    def progress(self, step: int, total: int | None, values: Mapping[str, float]) -> None:
        """Say how far a task is, now and then."""
        if time.monotonic() - self._last >= _REPORT_EVERY:
            self._last = time.monotonic()
            self.send("progress", step, total, dict(values))


def _do(job: Job, seconds: float | None, settings: WorkerSettings, reports: _Reports, number: int) -> TaskResult:
    reports.begin()
    workspace = Workspace(
        Artefacts(settings.artefacts),
        settings.checkpoints,
        settings.budget,
        time.time() + seconds if seconds else None,
        reports.progress,
        lambda stage: reports.send("stage", stage),
    )
    try:
        print_to(settings.open_log(job, number))
        result = perform(job, workspace)
    except OSError as error:  # the log's: no disk, or no right to it
        result = TaskResult(Status.FAILED, job.plugin.registered, Stage.KEEP, one_line(error))
    except KeyboardInterrupt as error:  # this process ignores Ctrl-C, so a plug-in raised it
        result = TaskResult(Status.FAILED, job.plugin.registered, reason=one_line(error))
    finally:
        _end_children()
        print_to(Path(os.devnull))
        log = None
        with suppress(OSError):
            log = settings.close_log(job, number)
    return with_log(result, log)


def _end_children() -> None:
    """Kill what a task started and left running: it would take from the tasks that follow."""
    with suppress(ChildProcessError, AttributeError):  # there is none, or this system cannot tell
        for _ in range(100):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            for number in _guard.below(os.getpid()):
                _guard.send(number, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.01)
