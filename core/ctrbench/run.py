"""Walks the graph: ready tasks go to an executor, results to the store, as they arrive.

In: a suite, the registry, a store and an executor. Out: the name of a run, with everything it found in the store.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from ctrbench import choices, environment, params, plan
from ctrbench.choices import Chosen
from ctrbench.errors import RunFailed, UserError
from ctrbench.executors import Executor, Progress
from ctrbench.interfaces import Dataset
from ctrbench.jobs import Compute, Job, ingredients, key
from ctrbench.limits import NO_LIMITS, Limits
from ctrbench.plan import Plan, Task
from ctrbench.registry import Registry
from ctrbench.results import Status, TaskResult
from ctrbench.store import Store
from ctrbench.suite import ALL, SECTIONS, Suite
from ctrbench.text import one_line

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


class Silent:
    """A watcher that says nothing."""

    def planned(self, tasks: Mapping[str, Task]) -> None:
        """Say nothing."""

    def begun(self, task: Task) -> None:
        """Say nothing."""

    def progressed(self, task: Task, progress: Progress) -> None:
        """Say nothing."""

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Again:
    """Which stored results a run does not take for granted."""

    failed: bool = False
    all: bool = False


def why_again(found: TaskResult, again: Again, limits: Limits) -> str:
    """Why a stored result is to be made anew, "" where it is not.

    A higher limit of time or memory gives a task that hit its own another chance.
    """
    if again.all:
        return "--fresh"
    if found.ok or found.status is Status.SKIPPED:
        return ""
    if again.failed:
        return "failed before, --retry-failed"
    unlimited = found.status is Status.OUT_OF_MEMORY and not found.values.get("memory_limit")
    if found.stage in _OURS and (found.status is Status.FAILED or unlimited):
        return f"{found.status} before in {found.stage}, which may have been the machine's fault"
    if found.values.get("from_outside"):
        return "its worker was killed from outside before"
    if _higher(found, limits):
        return f"{found.status} before, under a lower limit"
    return ""


def _higher(found: TaskResult, limits: Limits) -> bool:
    """Whether a limit that a task may have hit is higher by now, or gone."""
    if found.status is Status.TIMED_OUT:
        now_and_then = [
            (limits.seconds, found.values.get("limit")),
            (limits.stages.get(found.stage), found.values.get("stage_limit")),
        ]
    elif found.status is Status.OUT_OF_MEMORY:
        now_and_then = [(limits.memory, found.values.get("memory_limit"))]
    else:
        return False
    return any((now or math.inf) > (then or math.inf) for now, then in now_and_then)


@dataclass
class Driver:
    """A run under way."""

    suite: Suite
    registry: Registry
    store: Store
    executor: Executor
    compute: Compute
    watcher: Watcher
    limits: Limits = NO_LIMITS  # what the user says, over what the suite says
    again: Again = Again()
    results: dict[str, TaskResult] = field(default_factory=dict)
    _blamed: set[str] = field(default_factory=set)

    def run(self, command: str) -> str:
        """Do the whole suite; the run's name in the store. UserError where no data set can be used."""
        datasets, left_out = choices.choose_datasets(self.suite, self.registry, download=True)
        for reason in left_out:
            self.watcher.note(f"left out: {reason}")
        about: dict[str, Any] = {"suite": self.suite.name}
        brought = {plugin.distribution: plugin.version for plugin in self.registry.plugins}
        here = environment.describe(self.compute.device, self.compute.threads, brought)
        run = self.store.begin_run(command, about, here)
        loading = {plan.data_task(dataset, self.suite, self.limits): dataset for dataset in datasets}
        self._walk(run, {task.id: task for task in loading}, None)
        loaded, failed = self._usable({task.id: dataset for task, dataset in loading.items()})
        grid = plan.grid(self.suite, self.registry, loaded, self.compute, self.limits)
        about |= _about(self.suite, self.registry, grid, loaded) | {"left_out": left_out, "failed_data": failed}
        self.store.describe_run(run, about, grid)
        sound = len(self.registry.broken)
        self._walk(run, grid.tasks, grid)
        deaf = [f"{broken.source}: {broken.error}" for broken in self.registry.broken[sound:]]
        self.store.finish_run(run, about | {"broken": about["broken"] + deaf})
        return run

    def _usable(self, datasets: Mapping[str, Chosen]) -> tuple[dict[str, tuple[Chosen, TaskResult]], list[str]]:
        """The data sets that were loaded, and what is wrong with the others; the user's own mistake ends the run."""
        loaded, failed, mistakes = {}, [], 0
        for name, dataset in datasets.items():
            result = self.results[name]
            if result.ok:
                loaded[name] = (dataset, result)
                for text in result.values["notes"]:
                    self.watcher.note(f"{dataset.label}: {text}")
            elif result.users_mistake and choices.is_named(dataset, self.suite):
                raise UserError(result.reason)
            else:
                failed.append(result.describe())
                mistakes += result.users_mistake
        if not loaded:
            raise (UserError if mistakes == len(failed) else RunFailed)(
                f"no data set could be loaded: {'; '.join(failed)}"
            )
        return loaded, failed

    def _walk(self, run: str, tasks: Mapping[str, Task], grid: Plan | None) -> None:
        self.watcher.planned(tasks)
        _Walk(self, run, tasks, _Announcer(grid, self)).go()

    def blame(self, text: str) -> None:
        """Tell the user once what a plug-in did to its worker."""
        if text not in self._blamed:
            self._blamed.add(text)
            self.watcher.note(text)

    def stored(self, name: str, limits: Limits) -> TaskResult | None:
        """The stored result that makes a task unnecessary."""
        found = None if self.again.all else self.store.find(name)
        return None if found is None or why_again(found, self.again, limits) else found


@dataclass
class _Walk:
    """One way through a graph: tasks in the order in which they become ready, a few more in flight than workers."""

    driver: Driver
    run: str
    tasks: Mapping[str, Task]
    announcer: _Announcer

    def __post_init__(self) -> None:
        self._flying: dict[str, list[str]] = {}  # key → the tasks that wait for its result
        self._keys: dict[str, str] = {}
        self._jobs: dict[str, Job] = {}  # those that the executor has
        self._missing = {name: len(task.after) for name, task in self.tasks.items()}
        self._ready = deque(name for name, count in self._missing.items() if not count)
        self._followers: dict[str, list[str]] = defaultdict(list)
        for name, task in self.tasks.items():
            for before in task.after:
                self._followers[before].append(name)

    def go(self) -> None:
        """Walk until every task has ended."""
        executor = self.driver.executor
        while self._ready or self._flying:
            while self._ready and len(self._flying) < 2 * executor.slots:
                self._begin(self.tasks[self._ready.popleft()])
            for event in executor.wait(0.2) if self._flying else ():
                task = self.tasks[event.task]
                if isinstance(event, Progress):
                    self.driver.watcher.progressed(task, event)
                else:
                    self._take(task, event.result)

    def _begin(self, task: Task) -> None:
        """Settle a task at once where that is possible, else hand it to the executor."""
        results, store = self.driver.results, self.driver.store
        blocker = next((before for before in task.after if not results[before].ok), None)
        if blocker is not None:
            store.link(self.run, task.id, blocked_by=blocker)
            self._settle(task.id, results[blocker], "blocked")
            return
        try:
            job = task.job(results)
        except UserError:
            raise
        except Exception as error:  # a plug-in's `version()`, say
            self._settle(task.id, TaskResult(Status.FAILED, task.plugin, "plan", one_line(error)), "done")
            return
        self._keys[task.id] = name = key(job)
        if name in self._flying:
            self._flying[name].append(task.id)
            return
        found = self.driver.stored(name, task.limits)
        if found is not None:
            store.link(self.run, task.id, name)
            self._settle(task.id, found, "stored")
            return
        self._flying[name] = [task.id]
        self.driver.watcher.begun(task)
        self._jobs[task.id] = job
        self.driver.executor.submit(task.id, job, task.limits)

    def _take(self, task: Task, result: TaskResult) -> None:
        """Store a result at once, for all tasks that waited for it."""
        name = self._keys[task.id]
        told = {"alike": task.alike, "effort": task.effort, "made_from": ingredients(self._jobs.pop(task.id))}
        if result.status in (Status.TIMED_OUT, Status.OUT_OF_MEMORY):
            stage_limit = task.limits.stages.get(result.stage)
            told |= {"limit": task.limits.seconds, "stage_limit": stage_limit, "memory_limit": task.limits.memory}
        if changed := result.values.get("changed"):
            self.driver.blame(f"{result.plugin} left {', '.join(changed)} changed: its worker serves nobody else")
        result = replace(result, values={**result.values, **told})
        self.driver.store.keep(self.run, task.id, task.kind, name, result)
        for waiting in self._flying.pop(name):
            if waiting != task.id:
                self.driver.store.link(self.run, waiting, name)
            self._settle(waiting, result, "done" if waiting == task.id else "stored")

    def _settle(self, task: str, result: TaskResult, how: How) -> None:
        self.driver.results[task] = result
        self.driver.watcher.ended(self.tasks[task], result, how)
        self.announcer.ended(task)
        for follower in self._followers[task]:
            self._missing[follower] -= 1
            if not self._missing[follower]:
                urgent = self.tasks[follower].kind == "score"  # cheap, and what a leaderboard shows meanwhile
                (self._ready.appendleft if urgent else self._ready.append)(follower)


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
) -> dict[str, Any]:
    """What a leaderboard says of a run beside its numbers."""
    takes_all = any(ALL in getattr(suite, section) for section in SECTIONS)
    return {
        "suite": suite.name,
        "seed": suite.seed,
        "budget": suite.budget,
        "repeats": suite.repeats,
        "model_seeds": suite.model_seeds,
        "datasets": {
            chosen.label: {
                "plugin": str(chosen.registered),
                "parameters": params.values(chosen.plugin),
                **{
                    name: value
                    for name, value in result.values.items()
                    if name not in ("schema", "made_from", "history")
                },
                "published": _published(chosen.plugin),
            }
            for chosen, result in loaded.values()
        },
        "scenarios": {
            scenario.name: {"help": scenario.help, "keeps_real": scenario.keeps_real}
            for scenario in choices.choose_scenarios(suite, registry)
        },
        "prediction_metrics": {
            m.label: {"better": m.plugin.better, "unit": m.plugin.unit} for m in grid.prediction_metrics
        },
        "synthetic_metrics": {
            m.label: {"better": m.plugin.better, "unit": m.plugin.unit, "aspect": m.plugin.aspect}
            for m in grid.synthetic_metrics
        },
        "broken": [f"{broken.source}: {broken.error}" for broken in registry.broken] if takes_all else [],
    }


def _published(dataset: Dataset) -> list[dict[str, Any]]:
    """What others found on a data set, as JSON can hold it."""
    try:
        return [
            {"title": str(table.title), "source": str(table.source), "metric": str(table.metric),
             "figures": [[*map(str, names), float(value)] for names, value in table.figures.items()]}
            for table in dataset.published()
        ]  # fmt: skip
    except KeyboardInterrupt:
        raise
    except (
        BaseException
    ):  # a third party's, which may even call sys.exit; figures to compare with are no reason to stop
        return []
