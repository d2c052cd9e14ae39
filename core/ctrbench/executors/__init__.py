"""Where jobs are done: in this process, in worker processes beside it, or on a Ray cluster.

An executor takes jobs and gives back events; it knows nothing of plans, stores or leaderboards.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ctrbench import resources
from ctrbench.executors._output import bound
from ctrbench.jobs import Job, key
from ctrbench.limits import Limits
from ctrbench.results import TaskResult


@dataclass(frozen=True)
class Progress:
    """A running task said how far it is."""

    task: str
    step: int
    total: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Finished:
    """A task ended."""

    task: str
    result: TaskResult


Event = Progress | Finished

EXECUTORS = ("local", "inline", "ray")
"""Worker processes here, this process, or a Ray cluster."""


@dataclass(frozen=True)
class WorkerSettings:
    """What all workers of an executor share: where artefacts and logs lie, threads, budget, and what to import."""

    artefacts: Path
    threads: int = 1
    budget: float = 1.0
    imports: tuple[str, ...] = ()  # heavy modules that a worker imports before its first task
    debug: bool = False  # of the executor in this process: output is shown, and a failure opens the debugger

    def import_all(self) -> None:
        """Import them here, so that no task's clock runs meanwhile."""
        for module in self.imports:
            with suppress(Exception):  # a task that needs it will say what is wrong with it
                importlib.import_module(module)

    @property
    def logs(self) -> Path:
        """The folder of what tasks print."""
        return self.artefacts / "logs"

    def running_log(self, job: Job, process: int) -> Path:
        """Where a process writes what a job prints while it runs; another run may be doing the same job."""
        return self.logs / f".{key(job)[:16]}-{process}.log"

    def open_log(self, job: Job, process: int) -> Path:
        """That file, in a folder that is there."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self.running_log(job, process)

    def close_log(self, job: Job, process: int) -> Path | None:
        """Give a finished job's log its name, which is returned; None where nothing was printed."""
        written = self.running_log(job, process)
        if not bound(written):
            written.unlink(missing_ok=True)
            return None
        return written.replace(self.logs / f"{key(job)[:16]}.log")

    @property
    def checkpoints(self) -> Path:
        """The folder of what long fits keep to go on from."""
        return self.artefacts / "checkpoints"


class Executor(Protocol):
    """Does jobs, up to `slots` at once; on a cluster that grows or shrinks they become more or fewer."""

    slots: int

    def submit(self, task: str, job: Job, limits: Limits) -> None:
        """Take a job; its end comes as `Finished`, always."""

    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call; waits up to so many seconds for the first."""

    def close(self) -> None:
        """Stop at once: what still runs is killed, with every process it started."""


def make_executor(name: str, workers: int | None, settings: WorkerSettings, address: str | None = None) -> Executor:
    """The executor of that name, one of `EXECUTORS`; so many workers, or as many as there are cores for."""
    if name == "inline":
        from ctrbench.executors.inline import InlineExecutor

        return InlineExecutor(settings)
    if name == "ray":
        from ctrbench.executors.ray import RayExecutor

        return RayExecutor(workers, settings, address)
    if name == "local":
        from ctrbench.executors.local import LocalExecutor

        return LocalExecutor(workers or max(1, resources.cores() // settings.threads), settings)
    raise ValueError(f"executor {name!r} is none of {', '.join(EXECUTORS)}")


def thread_environment(threads: int) -> AbstractContextManager[None]:
    """The environment under which libraries loaded from now on, here or in a child, use so many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS")
    return environment(**dict.fromkeys(names, str(threads)))


@contextmanager
def environment(**changes: str) -> Iterator[None]:
    """Variables that a process which is started meanwhile inherits."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
