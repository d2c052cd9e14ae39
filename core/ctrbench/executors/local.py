"""Does jobs in worker processes of this machine: spawned, warm, replaced when one hangs, dies or takes too much.

One thread keeps the workers: it hands jobs out, hears what is said, watches clocks and memory, and kills. Nothing is
shared between workers, so that one may die at any moment without harm to the others.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import queue
import signal
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ctrbench.executors import Event, Finished, Progress, Site, _logs, _worker, thread_limits
from ctrbench.executors._processes import Child, Guard, how_it_ended, interrupts_held, kill
from ctrbench.jobs import Job
from ctrbench.limits import Limits
from ctrbench.results import KILLED_FROM_OUTSIDE, Stage, Status, TaskResult

_TICK = 0.2  # seconds between two looks at clocks and memory
_GRACE = 5.0  # seconds that a task has to end by itself after its deadline
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)  # exit statuses that no bug has
_TRIES = 3  # so many workers may die before they have begun a task
_START = 600.0  # seconds that a worker may take to start: it imports what is heavy


class LocalExecutor:
    """So many worker processes, one job each at a time; a temporary folder goes with them, however they end."""

    def __init__(self, workers: int, site: Site, temporary: Path | None = None) -> None:
        self.slots = workers
        self._site = site
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[_Task | _Said | None] = queue.SimpleQueue()  # None: stop
        self._waiting: deque[_Task] = deque()
        self._workers: list[_Worker] = []
        self._cleanup = contextlib.ExitStack()
        self._cleanup.enter_context(thread_limits(site.threads))
        self._guard = Guard()
        if temporary:
            self._guard.tell("folder", temporary)
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        with interrupts_held():  # else that thread would take the Ctrl-C that the main thread holds back
            self._keeper.start()
        atexit.register(self.close)

    def submit(self, task: str, job: Job, limits: Limits) -> None:
        """Queue a job."""
        self._inbox.put(_Task(task, job, limits))

    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call."""
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            event = self._events.get(timeout=seconds)
            while True:
                if isinstance(event, BaseException):  # a bug of this module: better a traceback than a run that hangs
                    raise event
                events.append(event)
                event = self._events.get_nowait()
        return events

    def close(self) -> None:
        """Kill the workers and all they started."""
        atexit.unregister(self.close)
        self._inbox.put(None)
        self._keeper.join()
        self._guard.close()
        self._cleanup.close()

    # What follows is done by the keeper's thread alone.

    def _keep(self) -> None:
        try:
            looked = 0.0
            while self._take_what_came():
                if time.monotonic() - looked >= _TICK:
                    looked = time.monotonic()
                    for worker in list(self._workers):
                        self._watch(worker)
                self._hand_out()
        except BaseException as error:
            self._events.put(error)
        finally:
            kill([worker.child for worker in self._workers])

    def _take_what_came(self) -> bool:
        """Take jobs and reports, waiting a little for the first; False where it is time to stop."""
        with contextlib.suppress(queue.Empty):
            came = self._inbox.get(timeout=_TICK)
            while came is not None:
                if isinstance(came, _Task):
                    self._waiting.append(came)
                elif came.worker in self._workers:  # else it was killed meanwhile
                    self._hear(came.worker, *came.words)
                came = self._inbox.get_nowait()
            return False
        return True

    def _hear(self, worker: _Worker, what: str, *about: Any) -> None:
        task, worker.heard = worker.task, True
        match what:
            case "begun" if task:
                task.begun = time.monotonic()
            case "stage" if task:
                task.stage, task.stage_begun = about[0], time.monotonic()
            case "progress" if task:
                self._events.put(Progress(task.name, *about))
            case "done" if task:
                worker.task = None
                self._events.put(Finished(task.name, about[0]))
            case "silent":
                self._bury(worker)

    def _watch(self, worker: _Worker) -> None:
        """Kill a worker whose task is beyond a limit, and notice the death of one."""
        if not worker.child.alive:
            self._bury(worker)
            return
        task = worker.task
        if task is None:
            return
        worker.child.look()
        _logs.bound(self._site.open_log(task.job, worker.child.number))
        verdict = task.beyond_its_time() or self._beyond_its_memory(worker, task)
        if verdict:
            worker.child.kill()
            self._give_up(worker, verdict)

    def _beyond_its_memory(self, worker: _Worker, task: _Task) -> TaskResult | None:
        limit = task.limits.memory or math.inf
        if task.begun is None:
            return None
        task.memory = worker.child.memory(limit)
        if task.memory <= limit:
            return None
        reason = f"used {_gigabytes(task.memory)} of memory, over the limit of {_gigabytes(limit)}: raise --memory"
        return TaskResult(Status.OUT_OF_MEMORY, reason=reason, peak_memory=task.memory)

    def _bury(self, worker: _Worker) -> None:
        """Take leave of a worker that has died, or has closed its line to us."""
        worker.child.wait(1)
        lively = worker.child.alive
        status = worker.child.kill()
        task = worker.task
        if task and (task.begun or task.tries == _TRIES):
            closed = TaskResult(Status.CRASHED, reason="the worker process closed its line to the driver")
            self._give_up(worker, closed if lively else _death(status, task))
            return
        self._workers.remove(worker)
        if task:  # the worker died of something else
            self._waiting.appendleft(task)

    def _give_up(self, worker: _Worker, verdict: TaskResult) -> None:
        """The end of a task whose worker is dead."""
        self._workers.remove(worker)
        task = worker.task
        if task is None:
            return
        log = None
        with contextlib.suppress(OSError):
            log = self._site.close_log(task.job, worker.child.number)
        self._events.put(Finished(task.name, task.verdict(verdict, log)))

    def _hand_out(self) -> None:
        """Give waiting jobs to idle workers, those first that have started; more workers where there are too few."""
        idle = sorted((worker for worker in self._workers if worker.task is None), key=lambda w: not w.heard)
        # With the first job all workers are started, so that their imports go on side by side.
        wanted = len(self._waiting) if self._workers else self.slots
        while self._waiting and len(self._workers) < self.slots and len(idle) < wanted:
            idle.append(self._new_worker())
        for worker in idle[: len(self._waiting)]:
            task = self._waiting.popleft()
            worker.task = task
            task.tries += 1
            task.given, task.kernel_kills = time.monotonic(), _kernel_kills()
            with contextlib.suppress(OSError):  # it has died: that will be noticed
                worker.child.line.send((task.job, task.limits.seconds))

    def _new_worker(self) -> _Worker:
        worker = _Worker(Child(self._guard, _worker.serve, os.getpid(), self._site))
        self._workers.append(worker)
        with interrupts_held():
            threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Pass on what a worker says, until it is dead; a thread of its own, as half a message may be its last."""
        with contextlib.suppress(Exception):  # what cannot be read is no better than silence
            while True:
                self._inbox.put(_Said(worker, worker.child.line.recv()))
        self._inbox.put(_Said(worker, ("silent",)))


@dataclass(eq=False)
class _Task:
    """A job that waits or is being done, and how far it is by our clock."""

    name: str
    job: Job
    limits: Limits
    given: float = 0.0
    begun: float | None = None
    tries: int = 0
    stage: Stage | None = None
    stage_begun: float = 0.0
    memory: int = 0  # when last seen
    kernel_kills: int = 0  # of any process, when it was given

    def beyond_its_time(self) -> TaskResult | None:
        """What is to be said of it if it has taken too long."""
        now = time.monotonic()
        if self.begun is None:
            late = now - self.given > _START
            return TaskResult(Status.CRASHED, reason=f"the worker did not start within {_START:g} s") if late else None
        limit = self.limits.seconds
        stage_limit = self.limits.stages.get(self.stage) if self.stage else None
        if limit and now - self.begun > limit + min(_GRACE, limit / 10):
            return TaskResult(Status.TIMED_OUT, stage=self.stage, reason=f"took longer than {limit:g} s")
        if stage_limit and now - self.stage_begun > stage_limit:
            reason = f"the stage {self.stage} took longer than {stage_limit:g} s"
            return TaskResult(Status.TIMED_OUT, stage=self.stage, reason=reason)
        return None

    def verdict(self, result: TaskResult, log: Path | None) -> TaskResult:
        """A result with all that is known of the task that it ends."""
        said = f"; what it printed is in {log}" if log and result.status is Status.CRASHED else ""
        seconds = {str(self.stage): time.monotonic() - self.stage_begun} if self.stage else {}
        stage = result.stage or self.stage
        return TaskResult(
            result.status, self.job.plugin.registered, stage, result.reason + said, bookkeeping=result.bookkeeping,
            seconds=seconds, peak_memory=max(result.peak_memory, self.memory),
        )  # fmt: skip


@dataclass(eq=False)
class _Worker:
    """A worker process, and the task that it does."""

    child: Child
    task: _Task | None = None
    heard: bool = False  # whether it has started


@dataclass(frozen=True)
class _Said:
    """Words from a worker."""

    worker: _Worker
    words: tuple[Any, ...]


def _death(status: int | None, task: _Task) -> TaskResult:
    """What a worker's death means: the kernel kills by the same signal as anybody, but it counts its kills."""
    how = how_it_ended(status)
    if status not in _FROM_OUTSIDE:
        return TaskResult(Status.CRASHED, reason=f"the worker process died ({how})")
    used = f"; it used {_gigabytes(task.memory)} when last seen" if task.memory else ""
    if status == -signal.SIGKILL and _kernel_kills() > task.kernel_kills:
        total = _gigabytes(psutil.virtual_memory().total)
        reason = f"killed by SIGKILL while the kernel ran out of memory (this machine has {total}){used}"
        return TaskResult(Status.OUT_OF_MEMORY, reason=f"{reason}: try fewer --workers, or --memory")
    reason = f"the worker process died ({how}, not by ctrbench: by hand, or by a memory limit from outside){used}"
    return TaskResult(Status.CRASHED, reason=reason, bookkeeping=KILLED_FROM_OUTSIDE)


def _kernel_kills() -> int:
    """How often the kernel has killed for want of memory since the machine started; 0 where it is not told."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
