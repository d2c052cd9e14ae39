"""What tasks will cost, before they run.

In: a task, and what like tasks cost in earlier runs. Out: seconds and bytes: measured where there are such tasks, their
fits scaled to this one's budget, else from the plug-in's own forecast and the speed of this machine; None where neither
is known.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import psutil

from ctrbench import resources
from ctrbench.results import Cost, Spent

if TYPE_CHECKING:
    from ctrbench.plan import Task

LIBRARIES = 7e8
"""Bytes of a worker process that has only imported what plug-ins need: torch, FuxiCTR, SDV."""


@dataclass(frozen=True)
class Costs:
    """What earlier tasks spent, by what they are alike in, and the threads that a task will have."""

    earlier: Mapping[str, Sequence[Spent]]
    threads: int = 1

    def of(self, task: Task) -> Cost | None:
        """What a task will cost, as far as anybody knows."""
        alike = self._nearest(task)
        if alike:
            seconds = statistics.fmean(spent.fit * task.effort / spent.effort + spent.rest for spent in alike)
            return Cost(seconds, max(spent.memory for spent in alike))
        if task.forecast is None:
            return None
        return Cost(task.forecast.operations / self._speed, task.forecast.memory + LIBRARIES)

    def basis(self, task: Task) -> str:
        """Where that is known from."""
        alike = self._nearest(task)
        if alike:
            return "earlier runs" if alike[0].effort == task.effort else "earlier runs, scaled"
        return "forecast" if task.forecast else "—"

    def _nearest(self, task: Task) -> list[Spent]:
        """Like tasks, of those the ones whose effort was nearest."""
        spent = [each for each in self.earlier.get(task.alike, ()) if each.effort > 0]
        gap = min((abs(each.effort - task.effort) for each in spent), default=0.0)
        return [each for each in spent if abs(each.effort - task.effort) == gap]

    @cached_property
    def _speed(self) -> float:
        return resources.speed(self.threads)


def warnings(graph: Iterable[Task], costs: Costs) -> list[str]:
    """What will not fit into this machine, in a line each."""
    memory, said = psutil.virtual_memory().total, dict[str, str]()
    for task in graph:
        cost = costs.of(task)
        if cost is not None and cost.memory > memory:
            needed = f"{cost.memory / 1e9:.0f} GB, and this machine has {memory / 1e9:.0f}"
            said[task.alike] = f"warning: {task.kind} {task.label} needs about {needed}: it will probably fail"
    return list(said.values())
