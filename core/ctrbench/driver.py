"""Walks the graph: ready tasks go to an executor, results to the store, as they arrive.

In: a suite, the registry, a store and an executor. Out: the name of a run, with everything it found in the store.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import TracebackType
from typing import Literal, Self

from ctrbench import choices, contract, digests, environment, loading, params, plan
from ctrbench.again import Earlier
from ctrbench.asking import NoAnswer
from ctrbench.choices import Chosen
from ctrbench.errors import RunFailed, UserError
from ctrbench.executors import Executor, Progress
from ctrbench.ids import TaskKind, score_name
from ctrbench.interfaces import Dataset, Published
from ctrbench.jobs import Compute, Job, ingredients
from ctrbench.limits import NO_LIMITS, Limits
from ctrbench.plan import Plan, Task
from ctrbench.registry import Registry
from ctrbench.results import (
    Bookkeeping,
    Cell,
    DataOutput,
    DatasetInfo,
    GeneratorInfo,
    MetricInfo,
    RunInfo,
    ScenarioInfo,
    Stage,
    Status,
    TaskResult,
    cell_result,
)
from ctrbench.store.store import Store
from ctrbench.suite import ALL, SECTIONS, Suite

_NOT_THE_METHODS = (Stage.LOAD, Stage.READ, Stage.KEEP, Stage.HAND_OVER)
"""Stages in which a failure is a file's or the machine's, not the method's: such tasks are always tried again."""


How = Literal["done", "equal", "stored", "blocked"]
"""How a run comes by a result: by doing the task, by an equal one that it did, from the store, or not at all."""


class Watcher:
    """Is told how a run progresses, as a context manager around it; this one ignores what it is told."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def planned(self, tasks: Mapping[str, Task]) -> None:
        """More tasks are known."""

    def begun(self, task: Task) -> None:
        """A task was handed to the executor."""

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result; `how` it came by it: done, equal (to another of this run), stored, or blocked."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


class Redo(StrEnum):
    """Which stored results a run makes anew."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


def why_again(found: TaskResult, redo: Redo, limits: Limits) -> str:
    """Why a stored result is to be made anew, "" where it is not.

    A higher limit of time or memory gives a task that hit its own another chance.
    """
    if redo is Redo.ALL:
        return "--fresh"
    if found.ok or found.status is Status.SKIPPED:
        return ""
    if redo is Redo.FAILED:
        return "failed before, --retry-failed"
    unlimited = found.status is Status.OUT_OF_MEMORY and not found.bookkeeping.memory_limit
    if found.stage in _NOT_THE_METHODS and (found.status is Status.FAILED or unlimited):
        return f"{found.status} before in {found.stage}, which may have been the machine's fault"
    if found.bookkeeping.killed_from_outside:
        return "its worker was killed from outside before"
    if found.bookkeeping.no_room:
        return f"{found.status} before, as the machine had no room"
    if found.bookkeeping.edited:
        return "what it is made of was edited while it ran"
    if _higher(found, limits):
        return f"{found.status} before, under a lower limit"
    return ""


def _higher(found: TaskResult, limits: Limits) -> bool:
    """Whether a limit that a task may have hit is higher by now, or gone."""
    noted = found.bookkeeping
    if found.status is Status.TIMED_OUT:
        stage = limits.stages.get(found.stage) if found.stage else None
        now_and_then = [(limits.seconds, noted.time_limit), (stage, noted.stage_limit)]
    elif found.status is Status.OUT_OF_MEMORY:
        now_and_then = [(limits.memory, noted.memory_limit)]
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
    compute: Compute = field(default_factory=Compute)
    watcher: Watcher = field(default_factory=Watcher)
    limits: Limits = NO_LIMITS  # what the user says, over what the suite says
    redo: Redo = Redo.NONE
    results: dict[str, TaskResult] = field(default_factory=dict)  # by the task's name
    _said: set[str] = field(default_factory=set)

    def run(self, command: str) -> str:
        """Do the whole suite; the run's name in the store. UserError where no data set can be used."""
        datasets, left_out = choices.choose_datasets(self.suite, self.registry, may_download=True)
        for reason in left_out:
            self.watcher.note(f"left out: {reason}")
        brought = {plugin.distribution: plugin.version for plugin in self.registry.plugins}
        here = environment.describe(self.compute.device, self.compute.threads, brought, self.registry.elsewhere)
        run = self.store.begin_run(command, self.suite.name, here)
        first = [(plan.data_task(dataset, self.suite, self.limits), dataset) for dataset in datasets]
        self._walk(run, Plan({task.name: task for task, _ in first}))
        loaded, failed = self._usable([(dataset, self.results[task.name]) for task, dataset in first])
        grid = plan.grid(self.suite, self.registry, loaded, self.compute, self.limits, self.store.artefacts)
        info = replace(self._info(grid, loaded), left_out=left_out, failed_data=failed)
        self.store.describe_run(run, info, grid.pools, grid.cells)
        sound = len(self.registry.broken)
        self._walk(run, grid)
        broken_meanwhile = [f"{broken.source}: {broken.error}" for broken in self.registry.broken[sound:]]
        self.store.finish_run(run, replace(info, broken=[*info.broken, *broken_meanwhile]))
        return run

    def _usable(self, datasets: Sequence[tuple[Chosen[Dataset], TaskResult]]) -> tuple[loading.Loaded, list[str]]:
        """The data sets that were loaded, and what is wrong with the others; the user's own mistake ends the run."""
        loaded, failed = loading.usable(datasets, self.suite)
        for dataset, result in loaded:
            for text in result.output_as(DataOutput).notes:
                self.watcher.note(f"{dataset.label}: {text}")
        wrong = [result.describe() for result in failed]
        if not loaded:
            mistaken = all(result.users_mistake for result in failed)
            raise (UserError if mistaken else RunFailed)(f"no data set could be loaded: {'; '.join(wrong)}")
        return loaded, wrong

    def _info(self, grid: Plan, loaded: Sequence[tuple[Chosen[Dataset], TaskResult]]) -> RunInfo:
        """What the run says of itself."""
        suite, broken = self.suite, [f"{broken.source}: {broken.error}" for broken in self.registry.broken]
        takes_all = any(ALL in getattr(suite, section) for section in SECTIONS)
        return RunInfo(
            suite.name,
            suite.seed,
            suite.budget,
            suite.repeats,
            suite.model_seeds,
            datasets={
                chosen.label: _dataset_info(chosen, result.output_as(DataOutput), _published(chosen, self.watcher.note))
                for chosen, result in loaded
            },
            scenarios={
                scenario.name: ScenarioInfo(scenario.help, scenario.keeps_real, scenario.role, *(scenario.dose or ()))
                for scenario in choices.choose_scenarios(suite, self.registry)
            },
            prediction_metrics={
                m.label: MetricInfo(m.plugin.better, m.plugin.unit, slice_of=m.plugin.slice_of)
                for m in grid.prediction_metrics
            },
            synthetic_metrics={
                m.label: MetricInfo(m.plugin.better, m.plugin.unit, m.plugin.aspect) for m in grid.synthetic_metrics
            },
            broken=broken if takes_all else [],
            generators={label: GeneratorInfo(role) for label, role in grid.roles.items()},
        )

    def _walk(self, run: str, planned: Plan) -> None:
        self.watcher.planned(planned.tasks)
        _Walk(self, run, planned.tasks, _Announcer(planned, self)).go()

    def tell(self, text: str) -> None:
        """Tell the user something once."""
        if text not in self._said:
            self._said.add(text)
            self.watcher.note(text)

    def stored(self, task: Task, job: Job, key: str) -> TaskResult | None:
        """The stored result that makes a task unnecessary; why another one does not, the user is told once."""
        if self.redo is Redo.ALL:
            return None
        found = self.store.find(key)
        if found is not None:
            why = why_again(found, self.redo, task.limits)
            if not why:
                return found
        else:
            change = self.earlier.change(task, job, key)
            why = change.words if change and not change.follows else ""
        if why:
            self.tell(f"done anew: {why}")
        return None

    @cached_property
    def earlier(self) -> Earlier:
        """What the store knew of such tasks before this run's first."""
        return Earlier(self.store)


@dataclass
class _Walk:
    """One way through a graph: of the tasks that are ready the first repeat's first, a few more in flight than workers.

    Scores come before all: they are cheap, and what a leaderboard shows meanwhile.
    """

    driver: Driver
    run: str
    tasks: Mapping[str, Task]
    announcer: _Announcer

    def __post_init__(self) -> None:
        self._flying: dict[str, list[str]] = {}  # key → the tasks that wait for its result
        self._keys: dict[str, str] = {}
        self._made: dict[str, TaskResult] = {}  # by key, what this walk has done
        self._jobs: dict[str, Job] = {}  # those that the executor has
        self._missing = {name: len(task.after) for name, task in self.tasks.items()}
        self._places = {
            name: (task.kind is not TaskKind.SCORE, task.id.repeat, number)
            for number, (name, task) in enumerate(self.tasks.items())
        }
        self._ready = sorted((self._places[name], name) for name, count in self._missing.items() if not count)  # a heap
        self._followers: dict[str, list[str]] = defaultdict(list)
        for name, task in self.tasks.items():
            for before in task.after:
                self._followers[before].append(name)

    def go(self) -> None:
        """Walk until every task has ended."""
        executor = self.driver.executor
        while self._ready or self._flying:
            while self._has_room():
                flying = len(self._flying)
                self._begin(self.tasks[heapq.heappop(self._ready)[1]])
                if len(self._flying) == flying:  # as thousands may be: what ends meanwhile is to be kept
                    break
            for event in executor.wait(0 if self._has_room() else 0.2) if self._flying else ():
                task = self.tasks[event.task]
                if isinstance(event, Progress):
                    self.driver.watcher.progressed(task, event)
                else:
                    self._take(task, event.result)

    def _has_room(self) -> bool:
        """Whether a task is ready, and may begin."""
        return bool(self._ready) and len(self._flying) < 2 * self.driver.executor.slots

    def _begin(self, task: Task) -> None:
        """Settle a task at once where that is possible, else hand it to the executor."""
        results, store = self.driver.results, self.driver.store
        blocker = next((before for before in task.after if not results[before].ok), None)
        if blocker is not None:
            store.link(self.run, task.name, blocked_by=blocker)
            self._settle(task.name, results[blocker], "blocked")
            return
        asked = task.keyed(results)
        if isinstance(asked, TaskResult):
            nobody_else_s = digests.digest(["plan", self.run, task.name])  # it is asked again by every run
            store.keep(self.run, task.name, task.kind, nobody_else_s, asked)
            self._settle(task.name, asked, "done")
            return
        job, cache_key = asked
        self._keys[task.name] = cache_key
        if cache_key in self._flying:
            self._flying[cache_key].append(task.name)
            return
        equal = self._made.get(cache_key)
        final = equal is not None and not why_again(equal, Redo.NONE, task.limits)
        found = equal if final else self.driver.stored(task, job, cache_key)
        if found is not None:
            store.link(self.run, task.name, cache_key)
            self._settle(task.name, found, "equal" if final else "stored")
            return
        self._flying[cache_key] = [task.name]
        self.driver.watcher.begun(task)
        self._jobs[task.name] = job
        self.driver.executor.submit(task.name, job, task.limits)

    def _take(self, task: Task, result: TaskResult) -> None:
        """Store a result at once, for all tasks that waited for it."""
        cache_key = self._keys[task.name]
        noted = replace(
            result.bookkeeping,
            position=task.id.position,
            cost_key=task.cost_key,
            effort=task.effort,
            made_from=ingredients(self._jobs.pop(task.name)),
        )
        if result.status in (Status.TIMED_OUT, Status.OUT_OF_MEMORY):
            noted = _with_limits(noted, task.limits, result.stage)
        if noted.changed:
            self.driver.tell(f"{result.plugin} left {', '.join(noted.changed)} changed: its worker serves nobody else")
        result = replace(result, bookkeeping=noted)
        self.driver.store.keep(self.run, task.name, task.kind, cache_key, result)
        self._made[cache_key] = result
        for waiting in self._flying.pop(cache_key):
            if waiting != task.name:
                self.driver.store.link(self.run, waiting, cache_key)
            self._settle(waiting, result, "done" if waiting == task.name else "equal")

    def _settle(self, task: str, result: TaskResult, how: How) -> None:
        self.driver.results[task] = result
        self.driver.watcher.ended(self.tasks[task], result, how)
        self.announcer.ended(task)
        for follower in self._followers[task]:
            self._missing[follower] -= 1
            if not self._missing[follower]:
                heapq.heappush(self._ready, (self._places[follower], follower))


def _with_limits(noted: Bookkeeping, limits: Limits, stage: Stage | None) -> Bookkeeping:
    """What is noted of a task that hit a limit."""
    of_stage = limits.stages.get(stage) if stage else None
    return replace(noted, time_limit=limits.seconds, stage_limit=of_stage, memory_limit=limits.memory)


@dataclass
class _Announcer:
    """Calls `cell_finished` when a cell's training and all its scores have ended."""

    grid: Plan
    driver: Driver

    def __post_init__(self) -> None:
        self._open: dict[str, set[str]] = {}  # training → it and its scores, as far as they have not ended
        self._training: dict[str, str] = {}
        self._cells: dict[str, list[Cell]] = defaultdict(list)
        self._metrics = [metric.label for metric in self.grid.prediction_metrics]
        for cell in self.grid.cells if self.driver.registry.listeners else ():
            self._cells[cell.train].append(cell)
            self._open[cell.train] = {cell.train, *(score_name(m, cell.train) for m in self._metrics)}
            self._training |= dict.fromkeys(self._open[cell.train], cell.train)

    def ended(self, task: str) -> None:
        """A task has ended; announce the cells that waited only for it."""
        train = self._training.get(task)
        if train is None:
            return
        self._open[train].discard(task)
        if not self._open[train]:
            for cell in self._cells[train]:
                self.driver.registry.announce(cell_result(cell, self._metrics, self.driver.results.__getitem__))


def _dataset_info(chosen: Chosen[Dataset], loaded: DataOutput, published: Sequence[Published]) -> DatasetInfo:
    return DatasetInfo(
        str(chosen.registered),
        params.recorded(params.values(chosen.plugin)),
        loaded.fingerprint,
        loaded.rows,
        loaded.click_rate,
        loaded.notes,
        loaded.ranking,
        published,
        chosen.train_share,
    )


def _published(dataset: Chosen[Dataset], note: Callable[[str], None]) -> list[Published]:
    """What others found on all of a data set; figures to compare with are no reason to stop."""
    if dataset.train_share < 1:
        return []
    told = dataset.ask(lambda plugin: contract.checked_tables(plugin.published()))
    if not isinstance(told, NoAnswer):
        return told
    note(f"{dataset.label}: no figures of others: its published() {told.says}")
    return []
