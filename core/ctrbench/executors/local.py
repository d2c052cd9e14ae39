"""Does jobs in worker processes of this machine: spawned, warm, replaced when one hangs, dies or takes too much.

One thread keeps the workers: it hands jobs out, hears what is said, watches clocks and memory, and kills. Nothing is
shared between workers, so that one may die at any moment without harm to the others.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import pickle
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctrbench.endings import death, kernel_kills, with_log
from ctrbench.errors import UserError
from ctrbench.executors import Event, Finished, Progress, WorkerSettings, _output, _worker, thread_environment
from ctrbench.executors._processes import MORE, Child, Guard, kill
from ctrbench.jobs import Job
from ctrbench.limits import Limits
from ctrbench.resources import interrupts_held
from ctrbench.results import Stage, Status, TaskResult
from ctrbench.text import in_bytes, one_line

_TICK = 0.2  # seconds between two looks at clocks and memory
_GRACE = 5.0  # seconds that a task has to end by itself after its deadline
_TRIES = 3  # so many workers may die before they have begun a task
_AWAY = 2.0  # seconds between two looks at the clock beyond which this process was stopped
_LONGEST = 2**28  # bytes of what a worker says at once; a plug-in's stray bytes on its line may announce more
_START = 600.0  # seconds that a worker may take to start: it imports what is heavy


class LocalExecutor:
    """So many worker processes, one job each at a time; a temporary folder goes with them, however they end."""

    def __init__(self, workers: int, settings: WorkerSettings, temporary: Path | None = None) -> None:
        self.slots = workers
        self._settings = settings
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[_Task | _Said | None] = queue.SimpleQueue()  # None: stop
        self._waiting: deque[_Task] = deque()
        self._workers: list[_Worker] = []
        self._clock = _Clock()
        self._cleanup = contextlib.ExitStack()
        self._cleanup.enter_context(thread_environment(settings.threads))
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
                if isinstance(event, BaseException):  # no worker can be had, or a bug of this module: no run may hang
                    if not events:
                        raise event
                    self._events.put(event)  # what ended before it is to be kept first; after it nothing comes
                    break
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
                now = self._clock.now()
                if now - looked >= _TICK:
                    looked = now
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
                task.begun = self._clock.now()
            case "stage" if task:
                task.stage, task.stage_begun = about[0], self._clock.now()
            case "progress" if task:
                self._events.put(Progress(task.name, *about))
            case "done" if task:
                self._take_result(worker, task, *about)
            case "silent":
                self._on_death(worker)

    def _take_result(self, worker: _Worker, task: _Task, result: TaskResult, changed: list[str]) -> None:
        """Pass a result on, or try the task again; a worker that is not as it was serves nobody else."""
        worker.task = None
        again = self._try_alone(worker, task, result)
        if changed or again:
            worker.child.kill()
            self._workers.remove(worker)
        if not again:
            noted = replace(result.bookkeeping, changed=changed)
            self._events.put(Finished(task.name, replace(result, bookkeeping=noted)))

    def _try_alone(self, worker: _Worker, task: _Task, result: TaskResult) -> bool:
        """Whether a failure may be a neighbour's doing, so that the task is to be done again in a worker of its own."""
        mine = task.job.plugin.registered
        doubtful = result.status not in (Status.OK, Status.SKIPPED) and worker.served - {mine}
        if doubtful:
            task.alone = True
            self._put_back(task, worker)
            return True
        worker.served |= {mine} if task.job.plugin.foreign else set()
        return False

    def _put_back(self, task: _Task, worker: _Worker) -> None:
        """A task is to be done once more, before all others that wait; what it printed so far is nobody's."""
        with contextlib.suppress(OSError):
            self._settings.running_log(task.job, worker.child.number).unlink(missing_ok=True)
        task.begun, task.stage, task.memory = None, None, 0
        self._waiting.appendleft(task)

    def _watch(self, worker: _Worker) -> None:
        """Kill a worker whose task is beyond a limit, and notice the death of one."""
        if not worker.child.alive:
            self._on_death(worker)
            return
        task = worker.task
        if task is None:
            return
        worker.child.look()
        _output.bound(self._settings.running_log(task.job, worker.child.number))
        verdict = task.beyond_its_time(self._clock.now()) or self._beyond_its_memory(worker, task)
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
        reason = f"used {in_bytes(task.memory)} of memory, above the limit of {in_bytes(limit)}: raise it"
        return TaskResult(Status.OUT_OF_MEMORY, reason=reason, peak_memory=task.memory)

    def _on_death(self, worker: _Worker) -> None:
        """Take leave of a worker that has died, or has closed its line to us."""
        worker.child.wait(1)
        still_alive = worker.child.alive
        status = worker.child.kill()
        task = worker.task
        if task and (task.begun or task.tries >= _TRIES):
            closed = TaskResult(Status.CRASHED, reason="the worker process closed its line to the driver")
            verdict = closed if still_alive else death("worker process", status, task.kernel_kills, task.memory)
            if task.tries >= _TRIES or not verdict.bookkeeping.killed_from_outside:
                self._give_up(worker, verdict)
                return
        self._workers.remove(worker)
        if task:  # the worker died of something else
            self._put_back(task, worker)

    def _give_up(self, worker: _Worker, verdict: TaskResult) -> None:
        """The end of a task whose worker is dead."""
        self._workers.remove(worker)
        task = worker.task
        if task is None or self._try_alone(worker, task, verdict):
            return
        log = None
        with contextlib.suppress(OSError):
            log = self._settings.close_log(task.job, worker.child.number)
        self._events.put(Finished(task.name, task.verdict(with_log(verdict, log), self._clock.now())))

    def _hand_out(self) -> None:
        """Give waiting jobs to idle workers, those first that have started; more workers where there are too few."""
        while self._waiting and self._waiting[0].alone and len(self._workers) < self.slots:
            self._give(self._new_worker(), self._waiting.popleft())
        idle = sorted((worker for worker in self._workers if worker.task is None), key=lambda w: not w.heard)
        # With the first job all workers are started, so that their imports go on side by side.
        wanted = len(self._waiting) if self._workers else self.slots
        while self._waiting and len(self._workers) < self.slots and len(idle) < wanted:
            idle.append(self._new_worker())
        for worker in idle[: len(self._waiting)]:
            self._give(worker, self._waiting.popleft())

    def _give(self, worker: _Worker, task: _Task) -> None:
        worker.task = task
        task.tries += 1
        task.given, task.kernel_kills = self._clock.now(), kernel_kills()
        with contextlib.suppress(OSError):  # it has died: that will be noticed
            worker.child.line.send((task.job, task.limits.seconds))

    def _new_worker(self) -> _Worker:
        number = len(self._workers) + 1
        try:
            worker = _Worker(Child(self._guard, _worker.serve, os.getpid(), self._settings))
            self._workers.append(worker)
            with interrupts_held():
                threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        except (OSError, RuntimeError) as error:  # the latter of a thread, which counts as a process
            raise UserError(
                f"worker {number} cannot be started: {one_line(error)}; what is finished is kept: {MORE}, or run the "
                "same again with fewer workers"
            ) from None
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Pass on what a worker says, until it is dead; a thread of its own, as half a message may be its last."""
        with contextlib.suppress(Exception):  # what cannot be read is no better than silence
            while True:
                self._inbox.put(_Said(worker, pickle.loads(worker.child.line.recv_bytes(_LONGEST))))
        self._inbox.put(_Said(worker, ("silent",)))


class _Clock:
    """Seconds of which those are left out for which this process was stopped, by Ctrl-Z for one.

    What workers said meanwhile may not have been read yet, so a limit of time would be held against a task that has
    ended. It is asked several times a second.
    """

    def __init__(self) -> None:
        self._last, self._away = time.monotonic(), 0.0

    def now(self) -> float:
        """The time by this clock."""
        now = time.monotonic()
        gap, self._last = now - self._last, now
        self._away += gap if gap > _AWAY else 0.0
        return now - self._away


@dataclass(eq=False)
class _Task:
    """A job that waits or is being done, and how far it is by our clock."""

    name: str
    job: Job
    limits: Limits
    given: float = 0.0
    begun: float | None = None
    tries: int = 0
    alone: bool = False  # it failed where others had been: it is done again as the first task of a worker
    stage: Stage | None = None
    stage_begun: float = 0.0
    memory: int = 0  # when last seen
    kernel_kills: int = 0  # of any process, when it was given

    def beyond_its_time(self, now: float) -> TaskResult | None:
        """What is to be said of it if it has taken too long."""
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

    def verdict(self, result: TaskResult, now: float) -> TaskResult:
        """A result with all that is known of the task that it ends."""
        seconds = {str(self.stage): now - self.stage_begun} if self.stage else {}
        stage = result.stage or self.stage
        return TaskResult(
            result.status, self.job.plugin.registered, stage, result.reason, bookkeeping=result.bookkeeping,
            seconds=seconds, peak_memory=max(result.peak_memory, self.memory),
        )  # fmt: skip


@dataclass(eq=False)
class _Worker:
    """A worker process, and the task that it does."""

    child: Child
    task: _Task | None = None
    heard: bool = False  # whether it has started
    served: set[str] = field(default_factory=set)  # the plug-ins of third parties that it has worked for


@dataclass(frozen=True)
class _Said:
    """Words from a worker."""

    worker: _Worker
    words: tuple[Any, ...]
