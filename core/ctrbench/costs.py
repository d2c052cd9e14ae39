"""What tasks will cost, before they run.

In: a task, and what like tasks cost in earlier runs. Out: seconds and bytes: measured where there are such tasks, else
from the plug-in's own forecast and the speed of this machine; None where neither is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ctrbench import resources
from ctrbench.results import Cost

if TYPE_CHECKING:
    from ctrbench.plan import Task

LIBRARIES = 7e8
"""Bytes of a worker process that has only imported what plug-ins need: torch, FuxiCTR, SDV."""


@dataclass(frozen=True)
class Costs:
    """Costs of earlier tasks by what they are alike in, and the threads that a task will have."""

    earlier: Mapping[str, Cost]
    threads: int = 1

    def of(self, task: Task) -> Cost | None:
        """What a task will cost, as far as anybody knows."""
        if task.alike in self.earlier:
            return self.earlier[task.alike]
        if task.forecast is None:
            return None
        return Cost(task.forecast.operations / self._speed, task.forecast.memory + LIBRARIES)

    @cached_property
    def _speed(self) -> float:
        return resources.speed(self.threads)
