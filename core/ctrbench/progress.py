"""Shows a run as it goes: a live display on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ctrbench.costs import Costs, warnings
from ctrbench.driver import How, Watcher
from ctrbench.executors import Progress
from ctrbench.ids import TaskKind
from ctrbench.interfaces import Forecast
from ctrbench.plan import Task
from ctrbench.results import Status, TaskResult
from ctrbench.text import counted, plain, where

_REFRESH = 0.5  # seconds between two pictures of the live display
_PAUSE = 10.0  # seconds between two lines that say how far the run is, where there is no live display
_SAY = 60.0  # seconds between two lines about one long task, there


def make_watcher(slots: int, costs: Costs) -> PlainWatcher:
    """The display that suits standard error."""
    return (LiveWatcher if sys.stderr.isatty() else PlainWatcher)(slots, costs)


class PlainWatcher(Watcher):
    """A line now and then for an expensive task that ended, and one for whatever went wrong."""

    def __init__(self, slots: int, costs: Costs) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._slots = slots
        self._costs = costs
        self._measured: dict[tuple[TaskKind, str], _Mean] = defaultdict(_Mean)
        self._open: Counter[_Alike] = Counter()  # tasks that have not ended, by all that their cost depends on
        self._one_of: dict[_Alike, Task] = {}
        self._flying: dict[str, _Flight] = {}
        self._count: Counter[str] = Counter()
        self._skips: set[str] = set()  # said once: a metric may skip every training for the same reason
        self._total = 0
        self._start = time.monotonic()
        self._told = -math.inf  # when a line last said how far the run is

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.note(f"{self.summary()} in {duration(time.monotonic() - self._start)}")
        elif issubclass(kind, KeyboardInterrupt):
            self.note(f"interrupted: {self.summary()}; all of it is kept, and the same command resumes from here")

    def planned(self, tasks: Mapping[str, Task]) -> None:
        """More tasks are known."""
        for warning in warnings(tasks.values(), self._costs):
            self.note(warning)
        for task in tasks.values():
            self._open[_alike(task)] += 1
            self._one_of.setdefault(_alike(task), task)
        self._total += len(tasks)

    def begun(self, task: Task) -> None:
        """A task was handed to the executor."""
        self._flying[task.name] = _Flight()

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""
        flight = self._flying.get(task.name)
        if flight is None:  # its end was heard first
            return
        flight.heard(progress)
        if self._worth_a_word(task) and time.monotonic() - flight.shown > _SAY:
            flight.shown = time.monotonic()
            self.note(f"… {task.name}: {flight.said}")

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result."""
        self._open[_alike(task)] -= 1
        self._flying.pop(task.name, None)
        self._count[str(result.status) if how == "done" else how] += 1
        if how != "done" or (task.kind is TaskKind.DATA and result.users_mistake):  # the run ends with the mistake
            return
        spent = sum(result.seconds.values())
        if result.ok:
            self._measured[task.kind, task.cost_key].add(spent)
        if self._worth_a_line(task, result) and not self._said_before(result):
            self._told = time.monotonic() if result.ok else self._told
            failed = f"{result.describe()}{where(result.traceback)}"
            what = f"{spent:.1f} s{self._left()}" if result.ok else failed
            self.note(f"[{self._done}/{self._total}] {task.name}: {what}")

    def note(self, text: str) -> None:
        """Something that the user should know."""
        with suppress(OSError):  # a log on a full disk is no reason to stop
            self.console.print(Text(plain(text)))

    def summary(self) -> str:
        """What became of the tasks so far, in words."""
        parts = [f"{counted(self._count['ok'], 'task')} done", f"{self._count['stored']} found in the store"]
        parts += [f"{self._count['equal']} equal to others"] if self._count["equal"] else []
        parts += [f"{self._count[s]} {s}" for s in map(str, Status) if s != "ok" and self._count[s]]
        parts += [f"{self._count['blocked']} not run, as what they need is missing"] if self._count["blocked"] else []
        return ", ".join(parts)

    @property
    def _done(self) -> int:
        return sum(self._count.values())

    def _worth_a_line(self, task: Task, result: TaskResult) -> bool:
        """Whatever went wrong, and of expensive tasks one now and then: a log is read afterwards."""
        rested = time.monotonic() - self._told >= _PAUSE
        return not result.ok or (rested and task.kind is not TaskKind.SCORE)

    def _said_before(self, result: TaskResult) -> bool:
        """Whether this is a skip by the same plug-in, for the same reason, as one that had a line."""
        if result.status is not Status.SKIPPED:
            return False
        skip = result.describe()
        before = skip in self._skips
        self._skips.add(skip)
        return before

    def _worth_a_word(self, task: Task) -> bool:
        """A long task is heard of while it runs."""
        return True

    def _left(self) -> str:
        """The time left, from the tasks that have ended in this run or an earlier one; empty where nothing is known."""
        seconds = 0.0
        for alike, count in self._open.items():
            if count > 0:
                guess = self._guess(self._one_of[alike])
                if guess is None:
                    return ""
                seconds += count * guess
        return f" · about {duration(seconds / self._slots)} left" if self._open.total() > 0 else ""

    def _guess(self, task: Task) -> float | None:
        same = self._measured.get((task.kind, task.cost_key))
        if same:
            return same.total / same.count
        told = self._costs.of(task)
        if told is not None:
            return told.seconds
        of_kind = [mean for (kind, _), mean in self._measured.items() if kind == task.kind]
        return sum(mean.total for mean in of_kind) / sum(mean.count for mean in of_kind) if of_kind else None


class LiveWatcher(PlainWatcher):
    """One block of lines that is drawn again in place: how far the run is, and what each worker does."""

    def __init__(self, slots: int, costs: Costs) -> None:
        super().__init__(slots, costs)
        self._live = Live(console=self.console, transient=True, auto_refresh=False)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        super().__exit__(kind, error, trace)

    def begun(self, task: Task) -> None:
        """A task was handed to the executor."""
        super().begun(task)
        self._draw()

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""
        super().progressed(task, progress)
        self._draw()

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result."""
        super().ended(task, result, how)
        self._draw()

    def _worth_a_line(self, task: Task, result: TaskResult) -> bool:
        """Only what went wrong: the rest shows in the block."""
        return not result.ok

    def _worth_a_word(self, task: Task) -> bool:
        """Nothing: the block says it."""
        return False

    def _draw(self) -> None:
        if time.monotonic() - self._drawn < _REFRESH:
            return
        self._drawn = time.monotonic()
        picture = Table.grid(padding=(0, 2))
        bar = round(24 * self._done / max(1, self._total))
        head = f"{'━' * bar}{'─' * (24 - bar)} {self._done}/{self._total} tasks{self._left()}"
        picture.add_row(Text(head))
        for name, flight in list(self._flying.items())[: self._slots]:
            line = f"  {name}  {duration(time.monotonic() - flight.start)}  {flight.said}"
            picture.add_row(Text(plain(line), overflow="ellipsis", no_wrap=True))
        self._live.update(picture, refresh=True)


_Alike = tuple[TaskKind, str, float, Forecast | None]


def _alike(task: Task) -> _Alike:
    """Equal for tasks that are expected to take equally long."""
    return task.kind, task.cost_key, task.effort, task.forecast


@dataclass
class _Mean:
    """Seconds of tasks that ended."""

    total: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Take in one more."""
        self.total += seconds
        self.count += 1


class _Flight:
    """A task under way: since when, and what it last said of itself."""

    def __init__(self) -> None:
        self.start = self.shown = time.monotonic()
        self.said = ""
        self._first: tuple[float, Progress] | None = None  # of the stage it is in, such as fit or sample

    def heard(self, progress: Progress) -> None:
        """Take in a report; a new total, or a step back, begins a new stage."""
        now = time.monotonic()
        if self._first is None or self._first[1].total != progress.total or progress.step < self._first[1].step:
            self._first = now, progress
        began, first = self._first
        of = f"/{progress.total}" if progress.total else ""
        values = "".join(f" {name} {value:.4g}" for name, value in progress.values.items())
        left = ""
        if progress.total and progress.step > first.step:
            rest = (now - began) * (progress.total - progress.step) / (progress.step - first.step)
            left = f" · {duration(rest)} left"
        self.said = f"{progress.step}{of}{values}{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
