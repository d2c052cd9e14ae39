"""Shows a run as it goes: a live display on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ctrbench.executors import Progress
from ctrbench.plan import Task
from ctrbench.results import Status, TaskResult
from ctrbench.run import How
from ctrbench.text import plain

_REFRESH = 0.5  # seconds between two pictures of the live display


def make_watcher(slots: int, known_seconds: Mapping[tuple[str, str], float]) -> PlainWatcher:
    """The display that suits standard error."""
    return (LiveWatcher if sys.stderr.isatty() else PlainWatcher)(slots, known_seconds)


class PlainWatcher:
    """A line for each expensive task that ended, and for whatever went wrong."""

    def __init__(self, slots: int, known_seconds: Mapping[tuple[str, str], float]) -> None:
        self.console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._slots = slots
        self._known = known_seconds
        self._measured: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._open: dict[str, Task] = {}
        self._count: Counter[str] = Counter()
        self._total = 0
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.note(f"{self.summary()} in {_duration(time.monotonic() - self._start)}")

    def planned(self, tasks: Mapping[str, Task]) -> None:
        """More tasks are known."""
        self._open.update(tasks)
        self._total += len(tasks)

    def begun(self, task: Task) -> None:
        """A task was handed to the executor."""

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result."""
        self._open.pop(task.id, None)
        self._count[str(result.status) if how == "done" else how] += 1
        if how != "done":
            return
        spent = sum(result.seconds.values())
        if result.ok:
            self._measured[task.kind, task.plugin].append(spent)
        if self._worth_a_line(task, result):
            what = f"{spent:.1f} s" if result.ok else result.describe()
            self.note(f"[{self._done}/{self._total}] {task.id}: {what}{self._left()}")

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self.console.print(Text(plain(text)))

    def summary(self) -> str:
        """What became of the tasks so far, in words."""
        parts = [f"{self._count['ok']} tasks done", f"{self._count['stored']} found in the store"]
        parts += [f"{self._count[s]} {s}" for s in map(str, Status) if s != "ok" and self._count[s]]
        parts += [f"{self._count['blocked']} not run for want of what they need"] if self._count["blocked"] else []
        return ", ".join(parts)

    @property
    def _done(self) -> int:
        return sum(self._count.values())

    def _worth_a_line(self, task: Task, result: TaskResult) -> bool:
        """Whatever went wrong, and every expensive task."""
        return not result.ok or task.kind != "score"

    def _left(self) -> str:
        """The time left, from the tasks that have ended in this run or an earlier one; empty where nothing is known."""
        seconds = 0.0
        for task in self._open.values():
            guess = self._guess(task)
            if guess is None:
                return ""
            seconds += guess
        return f" · about {_duration(seconds / self._slots)} left" if self._open else ""

    def _guess(self, task: Task) -> float | None:
        same = self._measured.get((task.kind, task.plugin))
        if same:
            return sum(same) / len(same)
        if (task.kind, task.plugin) in self._known:
            return self._known[task.kind, task.plugin]
        alike = [value for (kind, _), values in self._measured.items() if kind == task.kind for value in values]
        return sum(alike) / len(alike) if alike else None


class LiveWatcher(PlainWatcher):
    """One block of lines that is drawn again in place: how far the run is, and what each worker does."""

    def __init__(self, slots: int, known_seconds: Mapping[tuple[str, str], float]) -> None:
        super().__init__(slots, known_seconds)
        self._flying: dict[str, tuple[float, str]] = {}
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
        self._flying[task.id] = (time.monotonic(), "")
        self._draw()

    def progressed(self, task: Task, progress: Progress) -> None:
        """A running task said how far it is."""
        start = self._flying.get(task.id, (time.monotonic(), ""))[0]
        of = f"/{progress.total}" if progress.total else ""
        values = " ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
        left = ""
        if progress.total and progress.step:
            left = f" · {_duration((time.monotonic() - start) * (progress.total / progress.step - 1))} left"
        self._flying[task.id] = (start, f"{progress.step}{of} {values}{left}")
        self._draw()

    def ended(self, task: Task, result: TaskResult, how: How) -> None:
        """A task has a result."""
        self._flying.pop(task.id, None)
        super().ended(task, result, how)
        self._draw()

    def _worth_a_line(self, task: Task, result: TaskResult) -> bool:
        """Only what went wrong: the rest shows in the block."""
        return not result.ok

    def _draw(self) -> None:
        if time.monotonic() - self._drawn < _REFRESH:
            return
        self._drawn = time.monotonic()
        picture = Table.grid(padding=(0, 2))
        bar = round(24 * self._done / max(1, self._total))
        head = f"{'━' * bar}{'─' * (24 - bar)} {self._done}/{self._total} tasks{self._left()}"
        picture.add_row(Text(head))
        for name, (start, said) in list(self._flying.items())[: self._slots]:
            picture.add_row(
                Text(
                    plain(f"  {name}  {_duration(time.monotonic() - start)}  {said}"), overflow="ellipsis", no_wrap=True
                )
            )
        self._live.update(picture, refresh=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
