"""Runs that several test files share: a store in a folder, runs on it in this process, and what they did."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from ctrbench.driver import How, Redo, Watcher
from ctrbench.executors import inline
from ctrbench.executors.inline import InlineExecutor
from ctrbench.plan import Task
from ctrbench.registry import Registry
from ctrbench.results import TaskResult
from ctrbench.running import RunRequest
from ctrbench.store.runs import RunResults
from ctrbench.store.store import Store
from ctrbench.suite import Suite

SUITE = Suite(
    "toys", "", ("toy_log",), ("bootstrap",), ("rate",), ("hits", "same"), ("original", "S1", "S3", "S5")
)  # fmt: skip


class RunRecorder(Watcher):
    """Keeps the names of tasks that were done, found in the store or blocked, and what the user was told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.found: list[str] = []
        self.blocked: list[str] = []
        self.notes: list[str] = []

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        {"done": self.done, "equal": self.found, "stored": self.found, "blocked": self.blocked}[how].append(task.name)

    def note(self, text: str) -> None:
        self.notes.append(text)


def run_on(store: Store, registry: Registry, suite: Suite = SUITE, redo: Redo = Redo.NONE) -> tuple[RunRecorder, str]:
    """Run a suite in this process: what it did, and its name."""
    recorder = RunRecorder()
    request = RunRequest(suite, registry, redo=redo, executor="inline")
    return recorder, request.execute(store, "ctrbench run", recorder)


def fill(store: Store, registry: Registry, *generators: str) -> str:
    """Run a small suite of the toys; the run's name."""
    suite = Suite("toys", "", ("toy_log",), generators or ("bootstrap",), ("rate",), ("hits",), ("original", "S1"))
    return run_on(store, registry, suite)[1]


@dataclass
class Bench:
    """A store in a folder, and runs on it."""

    folder: Path
    registry: Registry
    executor: type[InlineExecutor] = InlineExecutor

    def run(self, suite: Suite = SUITE, redo: Redo = Redo.NONE) -> tuple[RunRecorder, RunResults]:
        """What a run did, and its results."""
        self.folder.mkdir(exist_ok=True)
        with (
            closing(Store.open(str(self.folder / "results.db"))) as store,
            mock.patch.object(inline, "InlineExecutor", self.executor),
        ):
            recorder, name = run_on(store, self.registry, suite, redo)
            return recorder, store.load_run(name)
