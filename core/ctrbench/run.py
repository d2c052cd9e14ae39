"""Walks the graph: ready tasks go to an executor, results to the store, as they arrive.

In: a suite, the registry, a store and an executor. Out: the name of a run, with everything it found in the store.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ctrbench import environment, params, plan
from ctrbench.errors import UserError
from ctrbench.executors import Executor, Progress
from ctrbench.jobs import Compute, key
from ctrbench.plan import Chosen, Plan, Task
from ctrbench.registry import Registry
from ctrbench.results import Status, TaskResult
from ctrbench.store import Store
from ctrbench.suite import ALL, SECTIONS, Suite

_OURS = ("load", "read", "keep", "hand over")
"""Stages in which a failure is a file's or the machine's, not the method's: such tasks are always tried again."""


How = Literal["done", "stored", "blocked"]
"""How a run comes by a result: by doing the task, from the store, or because a task before it has none."""


class Watcher(Protocol):
    """Hears how a run goes along."""

    def planned(self, tasks: Mapping[str, Task]) -> None:
        """More tasks are known."""

    def begun(self, task: Task) -> None:
        """A task was handed to the executor."""

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Again:
    """Which stored results a run does not take for granted."""

    failed: bool = False
    all: bool = False


def needed_again(found: TaskResult, again: Again) -> bool:
    """Whether a stored result is to be made anew."""
    if found.ok or found.status is Status.SKIPPED:
        return again.all
    return again.all or again.failed or found.stage in _OURS


@dataclass
class Driver:
    """A run under way."""

    suite: Suite
    registry: Registry
    store: Store
    executor: Executor
    compute: Compute
    watcher: Watcher
    timeout: float | None = None
    again: Again = Again()
    results: dict[str, TaskResult] = field(default_factory=dict)

    def run(self, command: str) -> str:
        """Do the whole suite; the run's name in the store. UserError where a data set cannot be used."""
        datasets, left_out = plan.choose_datasets(self.suite, self.registry, download=True)
        for reason in left_out:
            self.watcher.note(f"left out: {reason}")
        about: dict[str, Any] = {"suite": self.suite.name}
        run = self.store.begin_run(command, about, environment.describe(self.compute.device, self.compute.threads))
        data_tasks = [plan.data_task(dataset, self.suite, self.timeout) for dataset in datasets]
        self._execute(run, {task.id: task for task in data_tasks}, None)
        loaded = {task.id: (chosen, self._usable(task.id)) for task, chosen in zip(data_tasks, datasets, strict=True)}
        grid = plan.grid(self.suite, self.registry, loaded, self.compute, self.timeout)
        about |= _about(self.suite, self.registry, grid, loaded, left_out)
        self.store.describe_run(run, about, grid)
        self._execute(run, grid.tasks, grid)
        self.store.finish_run(run)
        return run

    def _usable(self, data_task: str) -> TaskResult:
        """A data set's result; what keeps it from being used is the user's to mend."""
        result = self.results[data_task]
        if not result.ok:
            raise UserError(result.reason if result.users_mistake else result.describe())
        for text in result.values["notes"]:
            self.watcher.note(f"{data_task.removeprefix('data/')}: {text}")
        return result

    def _execute(self, run: str, tasks: Mapping[str, Task], grid: Plan | None) -> None:
        """Do tasks in the order in which they become ready, a few more than there are workers in flight."""
        self.watcher.planned(tasks)
        after: dict[str, list[str]] = defaultdict(list)
        missing = {name: len(task.after) for name, task in tasks.items()}
        for name, task in tasks.items():
            for before in task.after:
                after[before].append(name)
        ready = deque(name for name, count in missing.items() if not count)
        flying: dict[str, list[str]] = {}  # key → the tasks that wait for its result
        keys: dict[str, str] = {}
        announcer = _Announcer(grid, self)

        def settle(name: str, result: TaskResult, how: How) -> None:
            self.results[name] = result
            self.watcher.ended(tasks[name], result, how)
            announcer.ended(name)
            for follower in after[name]:
                missing[follower] -= 1
                if not missing[follower]:
                    ready.append(follower)

        while ready or flying:
            while ready and len(flying) < 2 * self.executor.slots:
                task = tasks[ready.popleft()]
                blocker = next((before for before in task.after if not self.results[before].ok), None)
                if blocker is not None:
                    self.store.link(run, task.id, blocked_by=blocker)
                    settle(task.id, self.results[blocker], "blocked")
                    continue
                job = task.job(self.results)
                keys[task.id] = name = key(job)
                if name in flying:
                    flying[name].append(task.id)
                    continue
                found = self._stored(name)
                if found is not None:
                    self.store.link(run, task.id, name)
                    settle(task.id, found, "stored")
                    continue
                flying[name] = [task.id]
                self.watcher.begun(task)
                self.executor.submit(task.id, job, task.timeout)
            for event in self.executor.wait(0.2) if flying else ():
                task = tasks[event.task]
                if isinstance(event, Progress):
                    self.watcher.progressed(task, event)
                    continue
                done = keys[task.id]
                self.store.keep(run, task.id, task.kind, done, event.result)
                for name in flying.pop(done):
                    self.store.link(run, name, done)
                    settle(name, event.result, "done" if name == task.id else "stored")

    def _stored(self, name: str) -> TaskResult | None:
        """The stored result that makes a task unnecessary."""
        found = None if self.again.all else self.store.find(name)
        return None if found is None or needed_again(found, self.again) else found


@dataclass
class _Announcer:
    """Calls `cell_finished` when a cell's training and all its scores have ended."""

    grid: Plan | None
    driver: Driver

    def __post_init__(self) -> None:
        self._open: dict[str, set[str]] = {}  # training → it and its scores, as far as they have not ended
        self._training: dict[str, str] = {}
        self._cells: dict[str, list[plan.Cell]] = defaultdict(list)
        if self.grid is not None and self.driver.registry.listeners:
            metrics = [metric.label for metric in self.grid.prediction_metrics]
            for cell in self.grid.cells:
                self._cells[cell.train].append(cell)
                self._open[cell.train] = {cell.train, *(plan.score_id(m, cell.train) for m in metrics)}
                self._training |= dict.fromkeys(self._open[cell.train], cell.train)

    def ended(self, task: str) -> None:
        """A task has ended; announce the cells that waited only for it."""
        train = self._training.get(task)
        if train is None or self.grid is None:
            return
        self._open[train].discard(task)
        if not self._open[train]:
            metrics = [metric.label for metric in self.grid.prediction_metrics]
            for cell in self._cells[train]:
                self.driver.registry.announce(plan.cell_result(cell, metrics, self.driver.results.__getitem__))


def _about(
    suite: Suite,
    registry: Registry,
    grid: Plan,
    loaded: Mapping[str, tuple[Chosen, TaskResult]],
    left_out: list[str],
) -> dict[str, Any]:
    """What a leaderboard says of a run beside its numbers."""
    takes_all = any(ALL in getattr(suite, section) for section in SECTIONS)
    return {
        "suite": suite.name,
        "seed": suite.seed,
        "budget": suite.budget,
        "repeats": suite.repeats,
        "datasets": {
            chosen.label: {
                "plugin": str(chosen.registered),
                "parameters": params.values(chosen.plugin),
                **{name: value for name, value in result.values.items() if name != "schema"},
            }
            for chosen, result in loaded.values()
        },
        "scenarios": {
            scenario.name: {
                "help": scenario.help,
                "keeps_real": bool(scenario.real.positives or scenario.real.negatives),
            }
            for scenario in plan.choose_scenarios(suite, registry)
        },
        "prediction_metrics": {
            m.label: {"better": m.plugin.better, "unit": m.plugin.unit} for m in grid.prediction_metrics
        },
        "synthetic_metrics": {
            m.label: {"better": m.plugin.better, "unit": m.plugin.unit} for m in grid.synthetic_metrics
        },
        "left_out": left_out,
        "broken": [f"{broken.source}: {broken.error}" for broken in registry.broken] if takes_all else [],
    }
