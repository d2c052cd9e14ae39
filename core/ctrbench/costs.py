"""What tasks will cost, before they run.

In: a task, and what like tasks cost in earlier runs. Out: seconds and bytes: measured where there are such tasks, their
fits scaled to this one's budget, else from the plug-in's own forecast and the speed of this machine; None where neither
is known.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ctrbench import resources
from ctrbench.results import Cost, Spent
from ctrbench.text import in_bytes

if TYPE_CHECKING:
    from ctrbench.plan import Task

NIGHT = 8 * 3600.0
"""Seconds of a task beyond which a run says so before it starts."""

WIDE = 10_000
"""Values of a field from which it is named as what makes a method slow or large."""

FORECAST = "forecast"
"""The basis of a cost that no earlier run knows."""

LIBRARIES = 7e8
"""Bytes of a worker process that has only imported what plug-ins need: torch, FuxiCTR, SDV."""


@dataclass(frozen=True)
class Costs:
    """What earlier tasks spent, by their cost keys, and the threads that a task will have."""

    earlier: Mapping[str, Sequence[Spent]]
    threads: int = 1
    _found: dict[tuple[str, float], Spent | None] = field(default_factory=dict, init=False, repr=False)

    def of(self, task: Task) -> Cost | None:
        """What a task will cost, as far as anybody knows."""
        like = self._like(task)
        if like:
            return Cost(like.fit * task.effort / like.effort + like.rest, like.memory)
        return Cost(task.forecast.operations / self._speed, self.memory(task)) if task.forecast else None

    def memory(self, task: Task) -> float:
        """The bytes of it, 0 where nobody knows; this asks nothing of the machine."""
        like = self._like(task)
        if like:
            return like.memory
        return task.forecast.memory + LIBRARIES if task.forecast else 0.0

    def basis(self, task: Task) -> str:
        """Where that is known from."""
        like = self._like(task)
        if like:
            return "earlier runs" if like.effort == task.effort else "earlier runs, scaled"
        return FORECAST if task.forecast else "—"

    def _like(self, task: Task) -> Spent | None:
        """What like tasks spent in the mean, of those the ones whose effort was nearest; asked again and again."""
        asked = task.cost_key, task.effort
        if asked not in self._found:
            like = [spent for spent in self.earlier.get(task.cost_key, ()) if spent.effort > 0]
            effort = min((spent.effort for spent in like), key=lambda each: abs(each - task.effort), default=0.0)
            nearest = [spent for spent in like if spent.effort == effort]
            self._found[asked] = _mean(nearest) if nearest else None
        return self._found[asked]

    @cached_property
    def _speed(self) -> float:
        return resources.speed(self.threads)


def _mean(spent: Sequence[Spent]) -> Spent:
    fit, rest = (statistics.fmean(getattr(each, part) for each in spent) for part in ("fit", "rest"))
    return Spent(fit, rest, max(each.memory for each in spent), spent[0].effort)


def warnings(graph: Iterable[Task], costs: Costs) -> list[str]:
    """What will not fit into this machine, or not into a night, in a line each; and what about the log makes it so."""
    memory, said = resources.memory(), dict[str, str]()
    for task in graph:
        if task.cost_key in said:
            continue
        needed, known = costs.memory(task), costs.of(task) if task.forecast else None
        what = f"warning: {task.kind} {task.label} needs about"
        if needed > memory:
            sizes = f"{in_bytes(needed)}, and this machine has {in_bytes(memory)}"
            said[task.cost_key] = f"{what} {sizes}: it will probably fail{_because(task)}"
        elif known and known.seconds > NIGHT:
            said[task.cost_key] = f"{what} {known.seconds / 3600:,.0f} hours{_because(task)}"
    return list(said.values())


def _because(task: Task) -> str:
    field, values = task.widest
    if values < WIDE:
        return ""
    return (
        f"; it grows with the values of a field, and {field!r} has {values:,}: min_count, top or hash of the data set "
        "leave fewer"
    )
