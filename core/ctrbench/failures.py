"""What failed in a run, and what it cost.

In: a `RunResults`. Out: a `Failure` for each way in which something failed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ctrbench.results import Status, TaskResult
from ctrbench.store.runs import RunResults
from ctrbench.text import counted, where


@dataclass(frozen=True)
class Failure:
    """What failed in one way, once or often: one of its results, and the cells and pools that it cost.

    As a string, one line that names the plug-in, file and line, and how many cells it cost.
    """

    result: TaskResult
    cost: tuple[str, ...]

    def __str__(self) -> str:
        return self._told(where(self.result.traceback))

    @property
    def to_publish(self) -> str:
        """The same line without the folders that the file lies in, which say whose machine it was."""
        return self._told(where(self.result.traceback, folder=False))

    def _told(self, place: str) -> str:
        return f"{self.result.describe()}{place} ({counted(len(self.cost), 'cell')})"


def failures(results: RunResults) -> list[Failure]:
    """Each failure of a run, in the order in which its cells stand."""
    found: dict[str, list[tuple[TaskResult, str]]] = defaultdict(list)
    for cell in results.cells:
        parts = (cell.dataset, cell.generator, cell.scenario, cell.model, f"repeat {cell.repeat + 1}")
        for result in [cell.result, *(cell.failed_scores.values() if cell.ok else ())]:
            found[result.describe()].append((result, " / ".join(filter(None, parts))))
    for pool in results.pools:
        name = f"{pool.dataset} / {pool.generator} / repeat {pool.repeat + 1}"
        for result in pool.failed_scores.values() if pool.ok else ():
            found[result.describe()].append((result, name))
    return [
        Failure(each[0][0], tuple(name for _, name in each))
        for each in found.values()
        if not each[0][0].ok and each[0][0].status is not Status.SKIPPED
    ]
