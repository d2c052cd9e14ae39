"""A process beside the driver that talks to Ray: whatever Ray does to its own driver, ours only loses a child.

In: jobs over a line. Out: over the same line, events. Between them it keeps slots on a cluster: as many as there is
work and room for, handed a job each, replaced when they die with their nodes. It writes what comes back into the store.
"""

from __future__ import annotations

import io
import logging
import os
import queue
import re
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from ctrbench.executors import Finished, WorkerSettings
from ctrbench.executors._slot import Done, Slot, UnlikeError, installed
from ctrbench.executors._worker import print_to, settle_in
from ctrbench.jobs import Job, reads
from ctrbench.limits import Limits
from ctrbench.results import KILLED_FROM_OUTSIDE, NOBODY, Stage, Status, TaskResult
from ctrbench.store.artefacts import Artefacts, LostArtefactError
from ctrbench.text import one_line

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",  # then Ray ends this process
}
_OWN_CLUSTER = {
    "RAY_AUTH_MODE": "token",
    "RAY_prestart_worker_first_driver": "0",  # slots have an environment of their own, so these would idle
    "RAY_memory_monitor_refresh_ms": "0",  # memory is our business, as it is without Ray
    "RAY_worker_register_timeout_seconds": "600",  # after 60, Ray kills what starts slowly and begins again, for ever
}
_SLOT_ENVIRONMENT = {
    "RAY_kill_child_processes_on_worker_exit": "0"
}  # else Ray kills the guard before it has done its work
_TICK = 0.05  # seconds that a look at slots waits, while jobs come in
_LOOK = 1.0  # seconds between two looks at the cluster
_STUCK = 5.0  # seconds after which a slot that has not started is taken to wait for what others hold
_START = 600.0  # seconds after which a slot that has not started is asked for anew: Ray may have lost it
_NO_ANSWER = 300.0  # seconds after which a slot that has not answered, or whose answer does not come over, is given up
_TRIES = 3  # so many slots may die with a task
_GIVEN = 10  # so many may die before they have taken it
_FAILED_STARTS = 10  # so many slots may die one after the other before they are ready
_INPUTS = 64  # artefacts that are kept in Ray's object store for the next job


class Refused(Exception):
    """The cluster cannot be used, in one line."""


class Shape(NamedTuple):
    """What a slot needs of its node."""

    cpus: float
    gpus: float

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many slots of this shape so much holds."""
        needs = (("CPU", self.cpus), ("GPU", self.gpus))
        return min(int(resources.get(name, 0) / need + 1e-6) for name, need in needs if need)

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


@dataclass(frozen=True)
class Cluster:
    """The cluster: an address, or None for one of our own in a folder, with so many CPUs; and how many slots."""

    address: str | None
    folder: str
    cpus: int
    workers: int | None  # None: as many as there is room for
    patience: float  # seconds that tasks may wait for a node


def serve(line: Connection, driver: int, settings: WorkerSettings, cluster: Cluster) -> None:
    """Do jobs until the driver closes the line or says stop; a last word tells why where it ends earlier."""
    settle_in(driver)
    print_to(Path(os.devnull))
    try:
        _connect(cluster, line)
        _Bridge(line, settings, cluster).go()
    except Refused as error:
        line.send(("refused", str(error)))
    except Exception as error:
        line.send(("failed", one_line(error)))


def _connect(cluster: Cluster, line: Connection) -> None:
    os.environ |= _ENVIRONMENT
    if cluster.address is None:
        os.environ |= _OWN_CLUSTER | {"RAY_AUTH_TOKEN": os.urandom(32).hex(), "TMPDIR": cluster.folder}
    import ray

    own = {"address": "local", "num_cpus": cluster.cpus, "include_dashboard": False, "_temp_dir": cluster.folder}
    if sys.platform == "linux":
        own["_node_ip_address"] = "127.0.0.2"  # Ray takes 127.0.0.1 for the machine's address on a network
    words = own if cluster.address is None else {"address": cluster.address}
    line.send(("connecting", None))
    try:
        ray.init(**words, log_to_driver=False, configure_logging=False, logging_level=logging.CRITICAL)
    except Exception as error:
        raise Refused(one_line(error)) from None


@dataclass(eq=False)
class _Task:
    name: str
    job: Job
    limits: Limits
    shape: Shape
    given: int = 0
    tries: int = 0  # how many slots have died with it


@dataclass(eq=False)
class _Slot:
    """A slot, the answer that it owes, and the task that it does."""

    actor: Any
    shape: Shape
    answer: Any
    asked: float = field(default_factory=time.monotonic)
    ready: bool = False
    task: _Task | None = None
    taken: bool = False  # whether it has said that it does the task

    def ask(self, answer: Any) -> None:
        """Wait for another answer, or for none."""
        self.answer, self.asked = answer, time.monotonic()


class _Bridge:
    """Slots on a cluster, and the tasks that wait for them."""

    def __init__(self, line: Connection, settings: WorkerSettings, cluster: Cluster) -> None:
        self._line = line
        self._settings = settings
        self._cluster = cluster
        self._artefacts = Artefacts(settings.artefacts)
        self._inbox: queue.SimpleQueue[tuple[str, Job, Limits] | None] = queue.SimpleQueue()  # None: stop
        self._waiting: deque[_Task] = deque()
        self._slots: list[_Slot] = []
        self._nodes: list[Mapping[str, float]] = []  # the resources of those that live
        self._looked = 0.0
        self._hopeless: dict[Shape, float] = {}  # since when no node has had so much
        self._failed_starts = 0
        self._put = lru_cache(_INPUTS)(self._put_anew)
        self._versions = installed()

    def go(self) -> None:
        """Do what comes until it is time to stop."""
        import ray

        self._home = ray.get_runtime_context().get_node_id()
        threading.Thread(target=self._receive, daemon=True).start()
        while self._take_what_came():
            if time.monotonic() - self._looked >= _LOOK:
                self._look()
            self._hand_out()
            owing = {slot.answer: slot for slot in self._slots if slot.answer is not None}
            if owing:
                answers, _ = ray.wait(list(owing), num_returns=1, timeout=_TICK, fetch_local=False)
                for answer in answers:
                    self._hear(owing[answer])
        ray.shutdown()

    def _receive(self) -> None:
        """Pass on what the driver sends, so that it never has to wait for us."""
        with suppress(EOFError, OSError):
            while True:
                self._inbox.put(self._line.recv())
        os._exit(1)

    def _take_what_came(self) -> bool:
        busy = any(slot.answer is not None for slot in self._slots)
        with suppress(queue.Empty):
            came = self._inbox.get(timeout=_TICK) if not busy else self._inbox.get_nowait()
            while came is not None:
                name, job, limits = came
                self._waiting.append(_Task(name, job, limits, self._shape(job)))
                came = self._inbox.get_nowait()
            return False
        return True

    def _shape(self, job: Job) -> Shape:
        """What a job needs: a GPU only where it computes on one."""
        compute = getattr(job, "compute", None)
        gpus = job.plugin.gpus if compute and compute.device.startswith("cuda") else 0.0
        return Shape(max(job.plugin.cpus, self._settings.threads), gpus)

    def _look(self) -> None:
        """See which nodes there are, and tell the driver how many tasks they can do; Refused where none can."""
        import ray

        self._looked = now = time.monotonic()
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        if self._home not in nodes:  # Ray has given up our slots, and does not tell us
            raise RuntimeError("the node on the driver's machine has died")
        self._nodes = list(nodes.values())
        for slot in list(self._slots):
            waited = now - slot.asked if slot.answer is not None else 0.0
            if slot.ready and waited > _NO_ANSWER:
                self._lose(slot, TimeoutError(f"no answer for {_NO_ANSWER:g} s"))
            elif not slot.ready and waited > _START:  # others may have the room, for days: no failure
                self._drop(slot)
        usual = Shape(max(1.0, self._settings.threads), 0.0)
        self._line.send(("slots", self._cluster.workers or max(1, self._capacity(usual))))
        wanted = {task.shape for task in self._waiting}
        self._hopeless = {shape: self._hopeless.get(shape, now) for shape in wanted if not self._capacity(shape)}
        for shape, since in self._hopeless.items():
            if now - since > self._cluster.patience:
                raise Refused(f"no living node has {shape} for a task, and none has had for {now - since:.0f} s")

    def _capacity(self, shape: Shape) -> int:
        return sum(shape.fits(resources) for resources in self._nodes)

    def _hand_out(self) -> None:
        """Give tasks to idle slots of their shape, in the order in which they came; start slots for the others."""
        idle = [slot for slot in self._slots if slot.ready and slot.task is None]
        lacking: Counter[Shape] = Counter()
        for task in list(self._waiting):
            slot = next((slot for slot in idle if slot.shape == task.shape), None)
            if slot is None:
                lacking[task.shape] += 1
                continue
            idle.remove(slot)
            self._waiting.remove(task)
            self._give(slot, task)
        for shape, number in lacking.items():
            self._grow(shape, number, [slot for slot in idle if not lacking[slot.shape]])

    def _grow(self, shape: Shape, number: int, spare: list[_Slot]) -> None:
        """Start slots of a shape for so many tasks; where they lack room, let go of those that nothing waits for."""
        alike = [slot for slot in self._slots if slot.shape == shape]
        starting = [slot for slot in alike if not slot.ready]
        if self._cluster.workers:
            room = self._cluster.workers - len(self._slots)
        else:
            room = max(1, self._capacity(shape)) - len(alike)
        for _ in range(min(number - len(starting), room)):
            self._slots.append(self._start(shape))
        stuck = any(time.monotonic() - slot.asked > _STUCK for slot in starting)
        if spare and (stuck or (room <= 0 and not starting)):
            self._drop(spare.pop())

    def _start(self, shape: Shape) -> _Slot:
        import ray

        actor = ray.remote(Slot).options(
            num_cpus=shape.cpus,
            num_gpus=shape.gpus,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": _SLOT_ENVIRONMENT},
        ).remote(self._settings)  # fmt: skip
        return _Slot(actor, shape, actor.open.remote(self._versions))

    def _give(self, slot: _Slot, task: _Task) -> None:
        try:
            inputs = {digest: self._put(digest) for digest in reads(task.job)}
        except LostArtefactError as error:
            failed = TaskResult(Status.FAILED, NOBODY, Stage.READ, one_line(error))
            self._line.send(("event", Finished(task.name, failed)))
            return
        task.given += 1
        slot.task, slot.taken = task, False
        slot.ask(slot.actor.take.remote(task.name, task.job, task.limits, inputs))

    def _put_anew(self, digest: str) -> Any:
        import ray

        return ray.put(self._artefacts.get_bytes(digest))

    def _hear(self, slot: _Slot) -> None:
        """Take an answer of a slot, and ask on while it has a task."""
        import ray

        try:
            said = ray.get(slot.answer, timeout=_NO_ANSWER)
        except ray.exceptions.RayError as error:
            self._lose(slot, error)
            return
        slot.ready, self._failed_starts = True, 0
        slot.taken = slot.task is not None
        for event in said:
            if isinstance(event, Done) and slot.task:
                self._line.send(("event", self._kept(event, slot.task.job)))
                slot.task = None
            else:
                self._line.send(("event", event))
        slot.ask(slot.actor.listen.remote() if slot.task else None)

    def _lose(self, slot: _Slot, error: Exception) -> None:
        """Take leave of a slot: its node has died, it was killed, or it fails; its task goes to another one."""

        self._drop(slot)
        if not slot.ready:
            self._failed_starts += 1
            if isinstance(getattr(error, "cause", None), UnlikeError) or getattr(error, "actor_init_failed", False):
                raise Refused(f"{_cause(error)}; install the same on every node")
            if self._failed_starts == _FAILED_STARTS:
                raise Refused(
                    f"{_FAILED_STARTS} slots ended, one after the other, before they were ready: {_cause(error)}"
                )
        if (task := slot.task) is None:
            return
        task.tries += slot.taken
        if task.tries < _TRIES and task.given < _GIVEN:
            self._waiting.appendleft(task)
            return
        count = f"{task.tries or task.given} slots of the Ray cluster died with it, one after the other"
        reason = f"{count}; the last one: {_cause(error)}"
        dead = TaskResult(Status.CRASHED, task.job.plugin.registered, reason=reason, bookkeeping=KILLED_FROM_OUTSIDE)
        self._line.send(("event", Finished(task.name, dead)))

    def _drop(self, slot: _Slot) -> None:
        import ray

        self._slots.remove(slot)
        ray.kill(slot.actor)

    def _kept(self, done: Done, job: Job) -> Finished:
        """An end whose artefacts and log are in the store."""
        result = done.result
        with suppress(OSError):
            self._settings.open_log(job, os.getpid()).write_bytes(done.log)
            self._settings.close_log(job, os.getpid())
        try:
            for digest, data in done.made.items():
                self._artefacts.take_in(digest, io.BytesIO(data))
        except (OSError, LostArtefactError) as error:
            result = TaskResult(Status.FAILED, result.plugin, Stage.KEEP, one_line(error))
        return Finished(done.task, result)


def _cause(error: Exception) -> str:
    """What went wrong, without Ray's own words about it."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return str(cause) if isinstance(cause, UnlikeError) else one_line(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if getattr(error, "actor_init_failed", False):  # the end of a traceback, after the node's address
        node = re.search(r"ip=([^,)]+)", lines[0])
        return f"the node {node[1] if node else ''} cannot hold a slot: {lines[-1]}"
    return lines[0]
