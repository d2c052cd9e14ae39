"""Does jobs in worker processes of this machine: spawned, warm, replaced when one hangs or dies.

Pebble keeps the pool and the time limits; here are what it leaves open: a plug-in's own processes, and the driver's
own death.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.resource_tracker
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, TimeoutError
from pathlib import Path
from typing import Any

import psutil
from pebble import ProcessExpired, ProcessPool

from ctrbench.executors import Event, Finished, Progress, Site, _worker, thread_limits
from ctrbench.jobs import Job
from ctrbench.results import Status, TaskResult
from ctrbench.text import one_line

_GRACE = 5.0  # seconds that a task has to end by itself after its deadline


class LocalExecutor:
    """So many worker processes, one job each at a time."""

    def __init__(self, workers: int, site: Site) -> None:
        self.slots = workers
        self._site = site
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._running: dict[str, int] = {}  # task → the worker's process, and its group
        self._groups: set[int] = set()
        self._open: dict[str, str] = {}  # task that has not ended → who is to blame
        self._missed: dict[str, float] = {}  # task → since when its worker is gone
        self._cleanup = contextlib.ExitStack()
        self._cleanup.enter_context(thread_limits(site.threads))
        folder = Path(tempfile.mkdtemp(prefix="ctrbench-"))
        self._reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reports.bind(os.fspath(folder / "reports"))
        with _interrupts_held():  # else this thread would take the Ctrl-C that the main thread holds back
            threading.Thread(target=self._listen, daemon=True).start()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", os.fspath(Path(__file__).with_name("_guard.py")), os.fspath(folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        _start_quiet_tracker()
        self._pool = ProcessPool(
            max_workers=workers,
            context=multiprocessing.get_context("spawn"),
            initializer=_worker.start,
            initargs=(site, os.fspath(folder / "reports")),
        )

    def submit(self, task: str, job: Job, timeout: float | None) -> None:
        """Queue a job."""
        self._open[task] = job.plugin.registered
        limit = timeout + min(_GRACE, timeout / 10) if timeout else None
        with _interrupts_held():
            future = self._pool.schedule(_worker.work, args=(task, job, timeout), timeout=limit)
        future.add_done_callback(lambda done: self._settle(task, job, timeout, done))

    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call."""
        events: list[Event] = self._vanished()
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        return events

    def close(self) -> None:
        """Kill the workers and all they started."""
        self._pool.stop()
        for group in list(self._groups):
            self._kill(group)
        self._pool.join()
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()
        self._reports.close()
        self._cleanup.close()

    def _vanished(self) -> list[Event]:
        """The ends of tasks whose worker left with exit status 0, which pebble takes for no death."""
        ends: list[Event] = []
        for task, worker in list(self._running.items()):
            if task not in self._open:  # its worker's report came after its end
                self._running.pop(task, None)
            elif psutil.pid_exists(worker):
                self._missed.pop(task, None)
            elif time.monotonic() - self._missed.setdefault(task, time.monotonic()) > _GRACE:
                who = self._open.pop(task)
                self._running.pop(task, None)
                self._kill(worker)
                reason = "the worker process ended in the middle of the task (exit status 0)"
                ends.append(Finished(task, TaskResult(Status.CRASHED, who, reason=reason)))
        return ends

    def _settle(self, task: str, job: Job, timeout: float | None, done: Future[Any]) -> None:
        """Turn pebble's ways of ending into a result."""
        if self._open.pop(task, None) is None:  # given up already
            return
        worker = self._running.pop(task, None)
        try:
            result = done.result()
        except CancelledError:
            return
        except TimeoutError:
            self._end(job, worker)
            result = TaskResult(Status.TIMED_OUT, job.plugin.registered, reason=f"took longer than {timeout:g} s")
        except ProcessExpired as error:
            reason = _last_words(error, self._end(job, worker))
            result = TaskResult(Status.CRASHED, job.plugin.registered, reason=reason)
        except BaseException as error:
            result = TaskResult(Status.FAILED, job.plugin.registered, stage="hand over", reason=one_line(error))
        self._events.put(Finished(task, result))

    def _end(self, job: Job, worker: int | None) -> Path | None:
        """Kill what a worker started, and find what it printed."""
        if worker is None:
            return None
        self._kill(worker)
        return self._site.close_log(job, worker)

    def _kill(self, group: int) -> None:
        self._groups.discard(group)
        self._tell_guard(-group)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)

    def _tell_guard(self, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is gone, or its input is closed: the end is near
            if self._guard.stdin:
                self._guard.stdin.write(f"{number}\n".encode())
                self._guard.stdin.flush()

    def _listen(self) -> None:
        """Take the workers' reports until the socket is closed."""
        while True:
            try:
                message = json.loads(self._reports.recv(65536))
            except OSError:
                return
            except ValueError:
                continue
            if "born" in message:
                self._groups.add(message["born"])
                self._tell_guard(message["born"])
            elif "pid" in message:
                self._running[message["task"]] = message["pid"]
            else:
                step, total, values = message["step"], message["total"], message["values"]
                self._events.put(Progress(message["task"], step, total, values))


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits; processes and threads that are started meanwhile, and theirs, never hear of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_quiet_tracker() -> None:
    """Start Python's tracker of semaphores so that it cleans up after killed workers without a warning."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    try:
        multiprocessing.resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _last_words(error: ProcessExpired, log: Path | None) -> str:
    code = error.exitcode
    how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"
    said = f"; what it printed is in {log}" if log else ""
    return f"the worker process died ({how}){said}"
