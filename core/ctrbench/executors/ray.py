"""Does jobs on a Ray cluster: one that runs already, or one of its own on this machine.

The driver has no Ray in it. A bridge process talks to the cluster, for which a new one takes over when it dies; it and
a cluster of our own end with the driver as workers do. Data sets are loaded here, where their files are.
"""

from __future__ import annotations

import atexit
import os
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from ctrbench import resources
from ctrbench.errors import UserError
from ctrbench.executors import Event, Finished, WorkerSettings
from ctrbench.executors._bridge import Cluster, serve
from ctrbench.executors._processes import Child, Guard
from ctrbench.executors.local import LocalExecutor
from ctrbench.jobs import DataJob, Job
from ctrbench.limits import Limits
from ctrbench.text import how_it_ended

_CONNECT = 30.0  # seconds in which a cluster must answer
_START = 120.0  # seconds in which a bridge must be up, and a cluster of our own
_SILENCE = 600.0  # seconds after which a bridge that says nothing is taken for dead
_BRIDGES = 3  # so many may die one after the other
_LEAVE = 3.0  # seconds that a bridge has to take leave of a cluster
_LONGEST = 18  # letters of a folder below which the paths of Ray's sockets are not too long for any system


class RayExecutor:
    """Slots on the nodes of a cluster, one job each at a time: `workers`, or as many as there is room for."""

    slots = 1

    def __init__(
        self, workers: int | None, settings: WorkerSettings, address: str | None = None, patience: float = 60.0
    ) -> None:
        if address is not None:
            check_address(address)
        self._settings = settings
        self._address = address
        self._tasks: dict[str, tuple[Job, Limits]] = {}  # those that have not ended
        self._bridge: Child | None = None
        self._near: LocalExecutor | None = None  # for what is to be done on this machine
        self._deaths = 0  # of bridges, since the last task that ended
        self._why = ""  # the last one's last word
        self._guard = Guard()
        atexit.register(self.close)
        try:
            self._where = self._choose(workers, patience)
            self._connect()
        except BaseException:
            self.close()
            raise

    def submit(self, task: str, job: Job, limits: Limits) -> None:
        """Hand a job to the bridge; the loading of data to a worker of this machine."""
        if isinstance(job, DataJob):
            self._near = self._near or LocalExecutor(1, replace(self._settings, imports=()))
            self._near.submit(task, job, limits)
            return
        self._tasks[task] = job, limits
        self._say((task, job, limits))

    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call. UserError where the cluster is of no use any more."""
        events = self._near.wait(0) if self._near else []
        try:
            while not events and self._line.poll(seconds):  # the next word may be a refusal
                events = self._take(*self._line.recv())
        except (EOFError, OSError):
            self._replace()
        if not events and time.monotonic() - self._heard > _SILENCE:
            self._replace()
        return events

    def close(self) -> None:
        """Leave the cluster: what still runs there is killed, and a cluster of our own with it."""
        atexit.unregister(self.close)
        if self._near:
            self._near.close()
        if self._bridge:
            if self._address is not None:
                self._say(None)
                self._bridge.wait(_LEAVE)
            self._bridge.kill()
        self._guard.close()  # which removes the folder

    @property
    def _line(self) -> Connection:
        assert self._bridge is not None
        return self._bridge.line

    def _choose(self, workers: int | None, patience: float) -> Cluster:
        if self._address is not None:
            return Cluster(self._address, "", 0, workers, patience)
        workers = workers or max(1, resources.cores() // self._settings.threads)
        usual = tempfile.gettempdir()
        folder = tempfile.mkdtemp(prefix="ctrbench-ray-", dir=usual if len(usual) <= _LONGEST else "/tmp")
        self._guard.tell("folder", folder)
        return Cluster(None, folder, workers * self._settings.threads, workers, patience)

    def _connect(self) -> None:
        """Start a bridge, and wait until it knows the cluster; one that is killed meanwhile gives way to another."""
        self._bridge = Child(self._guard, serve, os.getpid(), self._settings, self._where)
        self._heard = 0.0
        patience, give_up = _START, time.monotonic() + _START
        while not self._heard:
            if time.monotonic() > give_up:
                perhaps = "is this machine overloaded?"
                if self._address is not None:
                    perhaps = "is that a Ray cluster's head, and this a node of it?"
                raise self._mistake(f"no answer within {patience:g} s; {perhaps}")
            try:
                if self._line.poll(0.1):
                    what, about = self._line.recv()
                    if what == "connecting" and self._address is not None:
                        patience, give_up = _CONNECT, time.monotonic() + _CONNECT
                    self._take(what, about)
            except (EOFError, OSError):
                if self._why:
                    raise self._mistake(f"no way to the cluster: {self._last_words()}") from None
                self._replace()
                return
        for task, (job, limits) in self._tasks.items():  # not before: nobody would read them, and the line could fill
            self._say((task, job, limits))

    def _say(self, words: object) -> None:
        with suppress(OSError):  # it has died: that will be noticed
            self._line.send(words)

    def _take(self, what: str, about: Any) -> list[Event]:
        """Hear one thing that the bridge says."""
        match what:
            case "slots":
                self.slots, self._heard = about, time.monotonic()
            case "refused":
                raise self._mistake(about)
            case "failed":
                self._why = about
            case "event":
                if isinstance(about, Finished):
                    self._deaths = 0
                    del self._tasks[about.task]
                return [about]
        return []

    def _replace(self) -> None:
        """Another bridge takes over from one that has died; what it had not finished begins anew."""
        self._deaths += 1
        words = self._last_words()
        if self._deaths > _BRIDGES:
            raise self._mistake(f"the process that talks to Ray died {self._deaths} times in a row: {words}")
        if self._address is not None:
            check_address(self._address)
        self._connect()

    def _last_words(self) -> str:
        """Why a bridge ended, which is seen to."""
        status = self._bridge.kill() if self._bridge else None
        why, self._why = self._why or how_it_ended(status), ""
        return why

    def _mistake(self, text: str) -> UserError:
        where = "executor ray" if self._address is None else f"ray address {self._address}"
        return UserError(f"{where}: {text}{'; what is finished is kept' if self._tasks else ''}")


def check_address(address: str) -> None:
    """UserError where that is no address of a cluster, or nobody answers there."""
    if address == "auto":
        return
    try:
        place = urlsplit(f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port or place.netloc != address:
        raise UserError(f"ray address {address}: give HOST:PORT of a Ray cluster's head, as in 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, port), timeout=5).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"ray address {address}: nobody answers there ({error}); `ray start --head` on that machine starts a "
            "cluster, and without an address one is started here"
        ) from None
